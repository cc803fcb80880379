"""The embedded cross-encoder by transformers alone.

sentence-transformers takes longer to import than the model takes to load. What the engine asks a
`CrossEncoder` for is here, by the same computation; the tests hold that `predict` gives the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from langchain_rerank.embedded import MODEL_FOLDER
from langchain_rerank.embedded.weights import load_embedded_model

_MAX_LENGTH = 512


class PlainCrossEncoder(torch.nn.Sequential):
    """The embedded model with what `sentence_transformers.CrossEncoder` has and the engine reads.

    Raises:
        ModelLoadError: The model's files are not there or not readable.
    """

    num_labels = 1
    default_prompt_name = None
    activation_fn = torch.nn.Sigmoid()  # of the class: as an attribute it would be a layer

    def __init__(self) -> None:
        from transformers import BertTokenizer

        super().__init__(load_embedded_model(MODEL_FOLDER))
        self.tokenizer: Any = BertTokenizer.from_pretrained(MODEL_FOLDER, local_files_only=True)
        self.max_seq_length = _MAX_LENGTH
        self.prompts: dict[str, str] = {}

    @property
    def transformers_model(self) -> Any:
        """The network."""
        return self[0]

    @property
    def config(self) -> Any:
        """The network's configuration."""
        return self[0].config

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.parameters()).device

    def preprocess(
        self,
        inputs: Sequence[tuple[str, str]],
        prompt: str | None = None,
        processing_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Return the token ids of the pairs, the types and which are no padding, `(n, L)` each."""
        limits = {"max_length": self.max_seq_length, **(processing_kwargs or {}).get("text", {})}
        return dict(
            self.tokenizer(
                [(prompt or "") + query for query, _ in inputs],
                [text for _, text in inputs],
                padding=True,
                truncation=True,
                return_tensors="pt",
                **limits,
            )
        )

    def predict(
        self,
        inputs: Sequence[tuple[str, str]],
        prompt: str | None = None,
        batch_size: int = 32,
        activation_fn: Callable[[torch.Tensor], torch.Tensor] | None = None,
        processing_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> list[float]:
        """Return the relevance scores of the pairs, `(n,)`.

        Args:
            inputs: `(n,)` queries with texts.
            prompt: What is put before each query.
            batch_size: How many pairs are computed at once.
            activation_fn: What makes scores of logits; the model's own, a sigmoid, if None.
            processing_kwargs: As for sentence-transformers: `{"text": {"max_length": 256}}`.
        """
        activation = activation_fn or self.activation_fn
        scores: list[float] = []
        with torch.inference_mode():
            for start in range(0, len(inputs), batch_size):
                batch = self.preprocess(
                    inputs[start : start + batch_size], prompt, processing_kwargs
                )
                logits = self[0](
                    **{name: one.to(self.device) for name, one in batch.items()}
                ).logits
                scores += activation(logits[:, 0]).float().tolist()
        return scores
