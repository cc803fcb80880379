"""`BM25Retriever`: keyword search in memory, with scores, without langchain-community."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from langchain_rerank.base_retrievers.overriding import AsyncFollowsSync
from langchain_rerank.base_retrievers.stages import corpus_of
from langchain_rerank.checks import check_call, check_text, listed, shown, whole_number
from langchain_rerank.documents import with_scores
from langchain_rerank.errors import ConfigurationError, InputError, InputTypeError
from langchain_rerank.fields import CheckedAssignment, Count
from langchain_rerank.first_stage.bm25_files import read_bm25, write_bm25
from langchain_rerank.first_stage.bm25_index import K1, B, Backend, BM25Index, SearchedIndex
from langchain_rerank.first_stage.filters import DocumentFilter, predicate
from langchain_rerank.first_stage.terms import (
    ENGLISH,
    Terms,
    TextToTerms,
    terms_of,
    terms_of_query,
    text_to_terms,
    warn_of_texts_without_terms,
)
from langchain_rerank.locks import ProcessLock

# One for all retrievers: a lock inside one could neither be copied nor pickled.
_changing = ProcessLock()


class BM25Retriever(AsyncFollowsSync, CheckedAssignment, BaseRetriever):
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
    """The corpus. Read it; `add_documents` and `delete` change it."""
    index: Any = Field(repr=False)
    """The index of `documents`, as `from_documents` builds it."""
    k: Count = 50
    """How many documents to return at most."""
    preprocess_func: TextToTerms = Terms(ENGLISH)
    """How a text becomes terms."""

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
        k1: float = K1,
        b: float = B,
        language: str | None = ENGLISH,
        preprocess_func: TextToTerms | None = None,
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
            k1: Saturation of the term frequency, above 0; 0.9 unless set, as for the BEIR baselines
                (Anserini).
            b: Weight of the document length, from 0 to 1; 0.4 unless set, as for these.
            language: Whose stemmer words get: a name ("german") or a code ("de"); None for none.
                Scripts without spaces (Chinese, Japanese, Thai) need no language.
            preprocess_func: How a text becomes terms, in place of `language`; the same for
                documents and queries. A top-level function, so that the retriever can be pickled.
            **kwargs: Further fields of a retriever (`tags`, `metadata`).

        Raises:
            InputError: There is no document, or none with a term.
            InputTypeError: One of `documents` is not a document.
            ConfigurationError: A setting is out of its range, or the language is unknown.
            MissingExtraError: The packages of the extra `bm25` are not installed.
        """
        corpus = _checked(documents)
        cut = text_to_terms(language, preprocess_func)
        terms = [terms_of(cut, document.page_content) for document in corpus]
        index = BM25Index(corpus, terms, backend=backend, k1=k1, b=b)
        _check_searchable(corpus, terms)
        return cls(
            documents=index.documents,
            index=index,
            k=whole_number(k, "k"),
            preprocess_func=cut,
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
        texts = listed(texts, "texts", "strings")
        metadatas = (
            [{}] * len(texts)
            if metadatas is None
            else listed(metadatas, "metadatas", "dictionaries")
        )
        names = [None] * len(texts) if ids is None else listed(ids, "ids", "strings")
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
        for position, metadata in enumerate(metadatas):
            if not isinstance(metadata, Mapping):
                raise InputTypeError(
                    f"metadatas[{position}] is of type {type(metadata).__name__}; expected a "
                    f"dictionary, {{}} for none."
                )
        documents = [
            Document(text, metadata=dict(metadata), id=name)
            for text, metadata, name in zip(texts, metadatas, names, strict=True)
        ]
        return cls.from_documents(documents, **kwargs)

    def add_documents(self, documents: Iterable[Document]) -> None:
        """Add documents at the end; one with the id of an earlier one takes its place.

        So does the last of several that are added with one id. A search that has begun sees the
        corpus as it was, and so do copies of this retriever. Everything but the terms of what was
        there is computed anew: add many at a time.

        Raises:
            InputTypeError: One of `documents` is not a document.
        """
        given = _checked(documents)
        last = {document.id: position for position, document in enumerate(given)}
        added = [d for n, d in enumerate(given) if not d.id or last[d.id] == n]
        terms = [terms_of(self.preprocess_func, document.page_content) for document in added]
        self._change({document.id for document in added if document.id}, added, terms)

    def delete(self, ids: Iterable[str]) -> None:
        """Remove the documents with these ids, for searches that begin later.

        Raises:
            InputError: There is no document with one of these ids; none is removed then.
            InputTypeError: `ids` is one string, or no series of strings.
        """
        if isinstance(ids, str):
            raise InputTypeError(
                f"ids={shown(ids)} is one string; expected several, as in [{shown(ids)}]."
            )
        self._change(set(listed(ids, "ids", "strings")), [], [])

    def _change(self, without: set[str], added: list[Document], terms: list[list[str]]) -> None:
        with _changing():
            if not isinstance(self.index, BM25Index):
                raise ConfigurationError(
                    "This retriever reads a kept index: change the files and refresh that."
                )
            missing = without.difference(d.id for d in [*self.index.documents, *added] if d.id)
            if missing:
                shown = ", ".join(map(repr, sorted(missing)[:5]))
                raise InputError(
                    f"No document has the id {shown}; nothing was removed from the "
                    f"{len(self.index.documents)} documents."
                )
            self.index = self.index.changed(without, added, terms)
            self.documents = self.index.documents

    def save(self, path: str | PathLike[str]) -> None:
        """Write the documents, their terms and the settings to one file, as JSON by line.

        Raises:
            InputError: Metadata would come back as something else than it is.
            InputTypeError: A document is of a class of its own, which no file remembers.
            OSError: The file cannot be written; what was there stays.
        """
        write_bm25(path, self.index, {"k": self.k}, self.preprocess_func)

    @classmethod
    def load(
        cls,
        path: str | PathLike[str],
        *,
        preprocess_func: TextToTerms | None = None,
        **kwargs: Any,
    ) -> Self:
        """Return the retriever that `save` wrote.

        Args:
            path: The file.
            preprocess_func: The function that the retriever was built with, if it was with one.
            **kwargs: Further fields of a retriever (`k`, `tags`, `metadata`).

        Raises:
            DataFileError: The file is missing, damaged, or not of `save`.
            ConfigurationError: The function is missing, or there was none.
            MissingExtraError: The packages of the extra `bm25` are not installed.
        """
        index, settings, cut = read_bm25(path, preprocess_func)
        fields = {**settings, **kwargs}
        return cls(documents=index.documents, index=index, preprocess_func=cut, **fields)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - searching has no steps
        k: int | None = None,
        filter: DocumentFilter | None = None,  # noqa: A002 - the name that vector stores use
        **unknown: Any,
    ) -> list[Document]:
        check_call("BM25Retriever", unknown)
        return self._search(query, self.k if k is None else whole_number(k, "k"), filter)

    def _search(self, query: str, k: int, given: DocumentFilter | None) -> list[Document]:
        check_text(query)
        keep = predicate(given)
        index: SearchedIndex = self.index
        scores = index.scores(terms_of_query(self.preprocess_func, query))
        # Without a filter the best k are enough to sort.
        ranked = _best_first(scores, limit=k if given is None else None)
        kept = (position for position in ranked if keep(index.documents[position]))
        best = list(islice(kept, min(k, len(ranked))))
        return with_scores(
            [index.documents[position] for position in best],
            [float(scores[position]) for position in best],
        )


def _checked(documents: Iterable[Document]) -> list[Document]:
    return corpus_of(documents, ". Texts go into BM25Retriever.from_texts.")


def _check_searchable(corpus: Sequence[Document], terms: Sequence[Sequence[str]]) -> None:
    if not corpus:
        raise InputError("BM25 got no documents; it needs at least one to search in.")
    if not any(terms):
        raise InputError(
            f"None of the {len(corpus)} documents has a term to search for: they are empty, or "
            f"only stop words and punctuation. Check the documents, or pass language= or a "
            f"preprocess_func that fits what they are written in."
        )
    warn_of_texts_without_terms([document.page_content for document in corpus], terms)


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
