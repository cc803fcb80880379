"""Embeddings of a corpus, kept on disk, so that a second run embeds nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings

from langchain_rerank.user_cache import cache_folder

BLOCK = 256  # texts in a file: what an interrupted run loses at most


def default_folder() -> Path:
    """Return the user's cache folder for embeddings."""
    return cache_folder("embeddings")


class KeptEmbeddings(Embeddings):
    """Embeddings that keep what they embed of documents, block by block.

    A block is found again by the model and the exact texts in it. Queries are embedded each time:
    that is part of what a first stage costs.

    Args:
        embeddings: What embeds.
        model: What tells the model from others (see `fingerprint`).
        folder: Where the blocks are kept; made when the first one is written.
        progress: Called with the number of texts done after each block.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        model: str,
        folder: Path,
        progress: Callable[[int], object] = lambda _: None,
    ) -> None:
        self._embeddings = embeddings
        self._folder = folder / _digest([model])
        self._progress = progress

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text, from disk where it is there."""
        vectors: list[list[float]] = []
        for start in range(0, len(texts), BLOCK):
            vectors.extend(self._block(texts[start : start + BLOCK]))
            self._progress(len(vectors))
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        return self._embeddings.embed_query(text)

    def _block(self, texts: list[str]) -> list[list[float]]:
        path = self._folder / f"{_digest(texts)}.npy"
        kept = _read(path, len(texts))
        if kept is not None:
            return kept
        vectors = self._embeddings.embed_documents(texts)
        self._folder.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed: a killed run leaves no half of a block, and two runs at once
        # do not write into each other's file.
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        with aside.open("wb") as file:
            np.save(file, np.asarray(vectors, dtype=np.float32))
        aside.replace(path)
        # What a first run uses is what every later run reads.
        return _read(path, len(texts)) or vectors


def _read(path: Path, n: int) -> list[list[float]] | None:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None  # not there, or damaged: it is made again
    if found.ndim != 2 or len(found) != n:
        return None
    vectors: list[list[float]] = found.tolist()
    return vectors


def _digest(texts: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big"))  # or ["ab", "c"] would be ["a", "bc"]
        digest.update(data)
    return digest.hexdigest()[:32]
