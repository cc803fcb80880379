"""The engine of a replica: logits of concurrent requests, in shared batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_rerank.scorers.contract import Scores
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer


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
        self._engine = engine

    @property
    def name(self) -> str:
        """The model's name."""
        return self.scorer.name

    @property
    def alive(self) -> bool:
        """Whether the engine's thread runs."""
        return self._engine.alive

    def counts(self) -> Any:
        """Return what the engine counts (tokens, texts that wait), or None where it does not."""
        counts = getattr(self.scorer, "metrics", None)
        return counts() if callable(counts) else None

    async def logits(self, query: str, texts: Sequence[str]) -> Scores:
        """Return the raw scores of `texts`, `(n,)`, in order."""
        return await self.scorer.ascore(query, texts)

    def activation(self, logits: Sequence[float]) -> list[float]:
        """Return what the model's `predict` gives for `logits`, `(n,)`."""
        import torch

        with torch.inference_mode():
            column = torch.tensor(list(logits), dtype=torch.float32)[:, None]
            scores: list[float] = self._activation(column)[:, 0].tolist()
        return scores
