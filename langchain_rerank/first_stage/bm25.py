"""`BM25Retriever`: keyword search in memory, with scores, without langchain-community."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, ClassVar, Self

import numpy as np
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.config import run_in_executor
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from langchain_rerank.base_retrievers.depth import checked_depth
from langchain_rerank.documents import FIRST_STAGE_SCORE, with_metadata
from langchain_rerank.errors import ConfigurationError, InputTypeError
from langchain_rerank.first_stage.bm25_index import Backend, BM25Index, build_index
from langchain_rerank.first_stage.filters import DocumentFilter, predicate
from langchain_rerank.first_stage.terms import english_terms


class BM25Retriever(BaseRetriever):
    """Retriever that ranks documents held in memory by BM25.

    Only documents that share a term with the query are returned, so there may be fewer than `k`,
    and none for a query without a known term. Ties keep the order of the corpus. Each document
    comes as a copy with its score in `metadata["first_stage_score"]`.

    Build it with `from_documents` or `from_texts`. Per call, `k` and `filter` may be given:
    `retriever.invoke(query, k=10, filter={"source": "guide.md"})`.

    Examples:
        >>> retriever = BM25Retriever.from_texts(["Cats sleep.", "QLoRA quantises adapters."])
        >>> [document.page_content for document in retriever.invoke("quantised adapter")]
        ['QLoRA quantises adapters.']
        >>> retriever.invoke("weather")
        []
    """

    documents: list[Document] = Field(repr=False)
    """The corpus. Never changed."""
    index: Any = Field(repr=False)
    """The index of `documents`, as `from_documents` builds it."""
    k: int = Field(default=50, ge=1, strict=True)
    """How many documents to return at most."""
    preprocess_func: Callable[[str], list[str]] = english_terms
    """How a text becomes terms; the same for documents and queries."""

    # What a call may override; a hybrid hands its arguments to the stages that take them.
    call_arguments: ClassVar[frozenset[str]] = frozenset({"k", "filter"})

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    @classmethod
    def from_documents(
        cls,
        documents: Iterable[Document],
        *,
        k: int = 50,
        backend: Backend = "auto",
        k1: float = 0.9,
        b: float = 0.4,
        preprocess_func: Callable[[str], list[str]] = english_terms,
        **kwargs: Any,
    ) -> Self:
        """Return a retriever over `documents`.

        Args:
            documents: The corpus, kept in memory. The text alone is searched: put a title into it
                to search titles too.
            k: How many documents to return at most.
            backend: The package behind it, both with the same scores: "rank_bm25" reads every
                document for each query, "bm25s" has an inverted index. "auto" takes rank_bm25 up
                to 1,000 documents and bm25s above.
            k1: Saturation of the term frequency, above 0. The defaults are those of the BEIR
                baselines (Anserini).
            b: Weight of the document length, from 0 to 1.
            preprocess_func: How a text becomes terms: a top-level function, so that the retriever
                can be pickled. The default is for English.
            **kwargs: Further fields of a retriever (`tags`, `metadata`).

        Raises:
            InputError: There is no document, or none with a term.
            InputTypeError: One of `documents` is not a document.
            ConfigurationError: A setting is out of its range.
            MissingExtraError: The packages of the extra `bm25` are not installed.
        """
        corpus = list(documents)
        for position, document in enumerate(corpus):
            if not isinstance(document, Document):
                raise InputTypeError(
                    f"documents[{position}] is of type {type(document).__name__}; expected "
                    f"LangChain documents. Texts go into BM25Retriever.from_texts."
                )
        terms = [preprocess_func(document.page_content) for document in corpus]
        index = build_index(terms, backend=backend, k1=k1, b=b)
        return cls(
            documents=corpus,
            index=index,
            k=checked_depth(k),
            preprocess_func=preprocess_func,
            **kwargs,
        )

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any]] | None = None,
        *,
        ids: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return a retriever over `texts`.

        Args:
            texts: `(n,)` texts.
            metadatas: `(n,)` metadata of each.
            ids: `(n,)` ids of each.
            **kwargs: As for `from_documents`.

        Raises:
            ConfigurationError: `texts`, `metadatas` and `ids` differ in length.
            InputTypeError: One of `texts` is not a string.
            InputError: As for `from_documents`.
        """
        texts = list(texts)
        metadatas = [{}] * len(texts) if metadatas is None else list(metadatas)
        names = [None] * len(texts) if ids is None else list(ids)
        if not len(texts) == len(metadatas) == len(names):
            raise ConfigurationError(
                f"Got {len(texts)} texts, {len(metadatas)} metadatas and {len(names)} ids; "
                f"expected one of each per text."
            )
        for position, text in enumerate(texts):
            if not isinstance(text, str):
                raise InputTypeError(
                    f"texts[{position}] is of type {type(text).__name__}; expected a string. "
                    f"Documents go into BM25Retriever.from_documents."
                )
        documents = [
            Document(text, metadata=dict(metadata), id=name)
            for text, metadata, name in zip(texts, metadatas, names, strict=True)
        ]
        return cls.from_documents(documents, **kwargs)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - searching has no steps
        k: int | None = None,
        filter: DocumentFilter | None = None,  # noqa: A002 - the name that vector stores use
        **unknown: Any,
    ) -> list[Document]:
        if unknown:
            raise ConfigurationError(
                f"BM25Retriever takes k and filter per call, got {', '.join(sorted(unknown))}."
            )
        return self._search(query, self.k if k is None else checked_depth(k), filter)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: Any, **kwargs: Any
    ) -> list[Document]:
        # The default of BaseRetriever takes no arguments.
        return await run_in_executor(
            None, self._get_relevant_documents, query, run_manager=run_manager, **kwargs
        )

    def _search(self, query: str, k: int, given: DocumentFilter | None) -> list[Document]:
        if not isinstance(query, str):
            raise InputTypeError(
                f"The query must be a string, got {type(query).__name__}: {query!r}."
            )
        keep = predicate(given)
        index: BM25Index = self.index
        scores = index.scores(self.preprocess_func(query))
        # Without a filter the best k are enough to sort.
        ranked = _best_first(scores, limit=k if given is None else None)
        found = ((self.documents[position], float(scores[position])) for position in ranked)
        return [
            with_metadata(document, {FIRST_STAGE_SCORE: score})
            for document, score in islice((pair for pair in found if keep(pair[0])), k)
        ]


def _best_first(scores: NDArray[np.float64], limit: int | None) -> Sequence[int]:
    """Return the positions with a score above 0, best first; ties keep their order.

    Args:
        scores: `(n,)` scores.
        limit: At least this many are returned, if there are as many; None for all.
    """
    hits = np.flatnonzero(scores > 0)
    # Sums of the same terms in another order differ in the last bits; they are ties nevertheless.
    rounded = scores[hits].round(9)
    if limit is not None and len(hits) > limit:
        lowest = np.partition(rounded, len(hits) - limit)[len(hits) - limit]
        hits, rounded = hits[rounded >= lowest], rounded[rounded >= lowest]
    positions: list[int] = hits[np.argsort(-rounded, kind="stable")].tolist()
    return positions
