"""The engine of a replica: logits of concurrent requests, in shared batches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from langchain_rerank.errors import RequestRejectedError
from langchain_rerank.scorers.contract import Scores
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine.metrics import Metrics
from langchain_rerank.scorers.engine.tokens.templates import copied_backend


class LogitModel:
    """A cross-encoder that gives logits, and its activation apart from it.

    The forms ask for different scales of the same computation; requests of both share batches.
    """

    def __init__(self, model: str, load_settings: Mapping[str, Any]) -> None:
        import torch

        self.scorer = CrossEncoderScorer(model, **load_settings)
        self.scorer.load()
        # Nobody else in this process has the engine, so it may be changed.
        engine = self.scorer._loaded_engine()  # noqa: SLF001 - of this package
        forward = engine._open_worker()._forward  # noqa: SLF001
        self._activation, forward.activation = forward.activation, torch.nn.Identity()
        self._raw = copied_backend(engine._model)  # noqa: SLF001
        self._engine = engine

    @property
    def name(self) -> str:
        """The model's name."""
        return self.scorer.name

    @property
    def alive(self) -> bool:
        """Whether the engine's thread runs."""
        return self._engine.alive

    def counts(self) -> Metrics:
        """Return what the engine counts: tokens, texts that wait."""
        return self.scorer.metrics()

    async def logits(self, query: str, texts: Sequence[str]) -> Scores:
        """Return the raw scores of `texts`, `(n,)`, in order."""
        return await self.scorer.ascore(query, texts)

    async def shortened(self, texts: Sequence[str], tokens: int) -> tuple[list[str], int]:
        """Return each text up to its first `tokens` tokens, and how many were longer.

        Raises:
            RequestRejectedError: The model's tokenizer does not say where a token ends.
        """
        most = self.scorer.max_length
        if isinstance(most, int) and tokens >= most:
            return list(texts), 0  # The model itself reads no more.
        if self._raw is None:
            raise RequestRejectedError(
                f"The tokenizer of {self.name} does not say where a token ends in the text, so "
                f"that no text can be cut to {tokens} tokens."
            )
        encode = partial(self._raw.encode_batch, list(texts), add_special_tokens=False)
        encodings = await asyncio.to_thread(encode)
        kept = [
            text[: one.offsets[tokens - 1][1]] if len(one) > tokens else text
            for text, one in zip(texts, encodings, strict=True)
        ]
        return kept, sum(len(one) > tokens for one in encodings)

    def activation(self, logits: Sequence[float]) -> list[float]:
        """Return what the model's `predict` gives for `logits`, `(n,)`."""
        import torch

        with torch.inference_mode():
            column = torch.tensor(list(logits), dtype=torch.float32)[:, None]
            scores: list[float] = self._activation(column)[:, 0].tolist()
        return scores
