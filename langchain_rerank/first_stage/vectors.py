"""`VectorIndex`: an exact search of embeddings in memory, as one matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, Self

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore
from numpy.typing import NDArray

from langchain_rerank.checks import check_call
from langchain_rerank.errors import InputError
from langchain_rerank.plain_text import well_formed


class VectorIndex(VectorStore):
    """Vector store whose scores are cosines, computed for every document at once.

    It finds what `InMemoryVectorStore` finds and keeps each vector as `dim` numbers of 4 bytes: ten
    thousand documents take milliseconds. Ties keep the order of the documents.

    Args:
        documents: `(n,)` what is searched.
        vectors: `(n, dim)` their embeddings.
        embeddings: What embeds queries.

    Raises:
        InputError: Not one vector per document, or one with a number that is not finite.

    Examples:
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> store = VectorIndex.from_texts(["cats", "dogs"], DeterministicFakeEmbedding(size=8))
        >>> [document.page_content for document in store.similarity_search("dogs", k=1)]
        ['dogs']
    """

    def __init__(
        self,
        documents: Sequence[Document],
        vectors: NDArray[np.float32] | Sequence[Sequence[float]],
        embeddings: Embeddings,
    ) -> None:
        matrix = finite_vectors(vectors)
        if len(matrix) != len(documents) or (len(documents) and matrix.ndim != 2):
            raise InputError(
                f"The embedding model gave {len(matrix)} vectors for {len(documents)} documents; "
                f"expected one each."
            )
        lengths = np.linalg.norm(matrix, axis=-1, keepdims=True)
        # A vector of zeros is similar to nothing.
        self._matrix = matrix / np.where(lengths > 0, lengths, 1)
        self.documents = list(documents)
        self._embeddings = embeddings

    @property
    def embeddings(self) -> Embeddings:
        """What embeds queries."""
        return self._embeddings

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: Callable[[Document], bool] | None = None,  # noqa: A002 - the name of every store
        **unknown: Any,
    ) -> list[tuple[Document, float]]:
        """Return the `k` most similar documents with their cosines, best first.

        Raises:
            ConfigurationError: Another argument.
        """
        check_call("VectorIndex", unknown)
        if not self.documents:
            return []
        (vector,) = finite_vectors([self._embeddings.embed_query(well_formed(query))])
        # The last bits depend on how the sums were made; documents that differ by them are ties.
        scores = (self._matrix @ (vector / (np.linalg.norm(vector) or 1))).round(6)
        ranked = np.argsort(-scores, kind="stable")
        found = ((self.documents[position], float(scores[position])) for position in ranked)
        return list(islice((one for one in found if filter is None or filter(one[0])), k))

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Return the `k` most similar documents, best first."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return float

    @classmethod
    def from_documents(
        cls, documents: Iterable[Document], embedding: Embeddings, **kwargs: Any
    ) -> Self:
        """Return an index of documents, embedded here."""
        corpus = list(documents)
        texts = [well_formed(document.page_content) for document in corpus]
        return cls(corpus, embedding.embed_documents(texts) if texts else [], embedding, **kwargs)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return an index of texts, embedded here."""
        documents = [
            Document(
                text,
                metadata=dict(metadatas[position]) if metadatas else {},
                id=ids[position] if ids else None,
            )
            for position, text in enumerate(texts)
        ]
        return cls.from_documents(documents, embedding, **kwargs)


def finite_vectors(given: NDArray[np.float32] | Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """Return vectors as a matrix, `(n, dim)`.

    Raises:
        InputError: One has a number that is not finite: it would be similar to nothing, and hits
            would go by chance.
    """
    matrix = np.asarray(given, dtype=np.float32)
    wrong = np.flatnonzero((~np.isfinite(matrix)).any(axis=tuple(range(1, matrix.ndim))))
    if len(wrong):
        raise InputError(
            f"The embedding model gave {len(wrong)} of {len(matrix)} vectors with NaN or infinity, "
            f"the first at position {wrong[0]}. Load it in float32 or bfloat16, and look at what "
            f"the texts hold."
        )
    return matrix
