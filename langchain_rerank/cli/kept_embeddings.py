"""The embeddings of documents, as the evaluating commands take them from the kept index."""

from __future__ import annotations

from pathlib import Path

from langchain_core.embeddings import Embeddings

from langchain_rerank.first_stage.kept.opening import with_store
from langchain_rerank.first_stage.kept.refresh import Progress, keep_vectors, no_progress
from langchain_rerank.first_stage.kept.store import Store, sha


class KeptEmbeddings(Embeddings):
    """Embeddings that keep what they embed of documents, each text once.

    Queries are embedded each time: that is part of what a first stage costs.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        model: str,
        store: Path | None,
        progress: Progress = no_progress,
    ) -> None:
        self._embeddings = embeddings
        self._model = model
        self._store = store
        self._progress = progress

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, kept ones as they were made first."""

        def embedded(store: Store) -> list[list[float]]:
            numbers = store.ask(texts)
            keep_vectors(store, self._model, self._embeddings.embed_documents, self._progress)
            rows, matrix = store.vectors(self._model)
            vectors: list[list[float]] = matrix[[rows[numbers[sha(t)]] for t in texts]].tolist()
            return vectors

        return with_store(self._store, embedded) if texts else []

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        return self._embeddings.embed_query(text)
