"""The tokens that sentence-transformers gives a pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_rerank.scorers.engine.tokens.lengths import cut_at
from langchain_rerank.scorers.engine.tokens.pairs import Pair, Source

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


class Reference:
    """Tokenises with sentence-transformers: slower, cuts as it does, and right by definition."""

    def __init__(self, model: CrossEncoder, max_length: int) -> None:
        self._model, self._max_length = model, max_length

    def __call__(self, query: str, texts: Sequence[str], instruction: str | None) -> list[Pair]:
        """Return one pair per text, in order."""
        import numpy as np

        with cut_at(self._model, self._max_length):
            features: Any = self._model.preprocess(
                [(query, text) for text in texts],
                prompt=resolve_prompt(self._model, instruction),
                processing_kwargs={"text": {"max_length": self._max_length}},
            )
        rows = features["attention_mask"].bool().numpy()
        ids = features["input_ids"].numpy().astype(np.int32)
        types = features["token_type_ids"].numpy() if "token_type_ids" in features else 0 * ids
        pairs = []
        for text, row, row_ids, row_types in zip(texts, rows, ids, types, strict=True):
            real = row_ids[row]
            split = len(real) - int(row_types[row].sum())
            source = Source(query, text, instruction, self._max_length)
            pairs.append(Pair((real,), len(real), split, len(real) >= self._max_length, source))
        return pairs


def resolve_prompt(model: CrossEncoder, instruction: str | None) -> str | None:
    """Return the instruction, or the prompt that the model was saved with, if any."""
    if instruction is not None or model.default_prompt_name is None:
        return instruction
    prompt: str | None = model.prompts.get(model.default_prompt_name)
    return prompt
