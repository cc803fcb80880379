"""One loaded model and the worker that scores with it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from langchain_rerank.scorers.base import Scores
from langchain_rerank.scorers.engine.loading import LoadSettings, load_cross_encoder


class Engine:
    """A loaded model; `submit` is safe to call from any thread."""

    def __init__(self, settings: LoadSettings) -> None:
        self.model, device, dtype = load_cross_encoder(settings)
        self.device = str(device)
        self.dtype = str(dtype).removeprefix("torch.")
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="langchain-rerank-engine")

    def submit(self, query: str, texts: Sequence[str], instruction: str | None) -> Future[Scores]:
        """Return the future scores of `texts`."""
        return self._worker.submit(self._score, query, list(texts), instruction)

    def _score(self, query: str, texts: list[str], instruction: str | None) -> Scores:
        pairs = [(query, text) for text in texts]
        return Scores(
            self.model.predict(pairs, prompt=instruction, show_progress_bar=False).tolist()
        )

    def close(self) -> None:
        """Stop the worker."""
        self._worker.shutdown(wait=False, cancel_futures=True)
