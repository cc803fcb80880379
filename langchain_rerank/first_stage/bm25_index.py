"""BM25 scores of every document for a query, by one of two packages that give the same numbers.

Both compute the Lucene form: for each query term (a repeated one counts each time) that occurs `tf`
times in a document of `length` terms,

    ln(1 + (N - df + 0.5) / (df + 0.5)) * tf / (tf + k1 * (1 - b + b * length / average length))

It is above zero exactly where a term occurs.

Source: Kamphuis, de Vries, Boytsov, Lin, "Which BM25 do you mean? A large-scale reproducibility
study of scoring variants", ECIR 2020, doi:10.1007/978-3-030-45442-5_4.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np
from langchain_core.documents import Document
from numpy.typing import NDArray

from langchain_rerank.checks import is_one_of, real_number, shown
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.optional import require

Backend: TypeAlias = Literal["auto", "rank_bm25", "bm25s"]

# rank_bm25 walks through all documents for every query term; bm25s builds an inverted index, which
# costs a little more to build and much less to ask.
AUTO_LIMIT = 1000

K1, B = 0.9, 0.4  # of the BEIR baselines (Anserini)


class Scoring(Protocol):
    """What an index asks of the package behind it."""

    def scores(self, terms: Sequence[str]) -> NDArray[np.float64]:
        """Return `(n,)` scores of the documents, in corpus order; 0 where no term occurs."""
        ...


class SearchedIndex(Scoring, Protocol):
    """What the retriever asks of an index."""

    documents: Sequence[Document]


class BM25Index:
    """Documents, their terms, and what scores them.

    It is never changed, so that a search that has begun sees one state of the corpus.

    Args:
        documents: `(n,)` the corpus; there may be none.
        corpus: `(n,)` the terms of each document; some may have none.
        backend: "auto" takes rank_bm25 up to 1,000 documents and bm25s above.
        k1: Saturation of the term frequency, above 0.
        b: Weight of the document length, from 0 to 1.

    Raises:
        ConfigurationError: A parameter is out of its range.
        MissingExtraError: The package of the back end is not installed.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        corpus: Sequence[Sequence[str]],
        *,
        backend: Backend = "auto",
        k1: float = K1,
        b: float = B,
    ) -> None:
        if not is_one_of(backend, ("auto", "rank_bm25", "bm25s")):
            raise ConfigurationError(
                f"backend={shown(backend)}: expected 'auto', 'rank_bm25' or 'bm25s'."
            )
        saturation, length_weight = real_number(k1), real_number(b)
        if saturation is None or not (saturation > 0 and math.isfinite(saturation)):
            raise ConfigurationError(
                f"k1={shown(k1)}: expected a number above 0 ({K1} is the default)."
            )
        if length_weight is None or not 0 <= length_weight <= 1:
            raise ConfigurationError(
                f"b={shown(b)}: expected a number from 0 to 1 ({B} is the default)."
            )
        self.documents = list(documents)
        # One object per term, however often it occurs: long corpora repeat few words.
        seen: dict[str, str] = {}
        self.corpus = [[seen.setdefault(term, term) for term in terms] for terms in corpus]
        self.settings: dict[str, Any] = {"backend": backend, "k1": saturation, "b": length_weight}
        self._scoring: Scoring | None = None
        if seen:
            small = backend == "auto" and len(corpus) <= AUTO_LIMIT
            make = RankBM25Index if backend == "rank_bm25" or small else BM25SIndex
            self._scoring = make(self.corpus, k1=saturation, b=length_weight)

    def scores(self, terms: Sequence[str]) -> NDArray[np.float64]:
        """Return `(n,)` scores of the documents, in corpus order; 0 where no term occurs."""
        if self._scoring is None:
            return np.zeros(len(self.documents))
        return self._scoring.scores(terms)

    @property
    def identity(self) -> dict[str, Any]:
        """What changes the scores besides documents and terms."""
        return self.settings

    def changed(
        self,
        without: AbstractSet[str],
        documents: Sequence[Document],
        corpus: Sequence[Sequence[str]],
    ) -> BM25Index:
        """Return an index without the documents of some ids, and with others at its end."""
        kept = [
            position
            for position, document in enumerate(self.documents)
            if not document.id or document.id not in without
        ]
        return BM25Index(
            [*(self.documents[position] for position in kept), *documents],
            [*(self.corpus[position] for position in kept), *corpus],
            **self.settings,
        )


class RankBM25Index:
    """BM25 by the package rank_bm25."""

    def __init__(self, corpus: Sequence[Sequence[str]], *, k1: float, b: float) -> None:
        okapi = require("rank_bm25", extra="bm25").BM25Okapi(corpus, k1=k1, b=b)
        # The package has no Lucene form. Its Okapi form differs in two things: the idf, which is
        # negative for frequent terms (and then a floor that ranks them by accident), and the
        # factor k1 + 1, which is the same for every document.
        documents_with = Counter(term for frequencies in okapi.doc_freqs for term in frequencies)
        okapi.idf = {
            term: math.log(1 + (okapi.corpus_size - df + 0.5) / (df + 0.5))
            for term, df in documents_with.items()
        }
        self._okapi = okapi

    def scores(self, terms: Sequence[str]) -> NDArray[np.float64]:
        """Return `(n,)` scores of the documents, in corpus order; 0 where no term occurs."""
        known = [term for term in terms if term in self._okapi.idf]
        # With b = 1 an empty document has 0 / 0, which stands for no score.
        with np.errstate(invalid="ignore"):
            scores = self._okapi.get_scores(known) / (self._okapi.k1 + 1)
        return cast("NDArray[np.float64]", np.nan_to_num(scores))


class BM25SIndex:
    """BM25 by the package bm25s."""

    def __init__(self, corpus: Sequence[Sequence[str]], *, k1: float, b: float) -> None:
        vocabulary: dict[str, int] = {}
        ids = [[vocabulary.setdefault(term, len(vocabulary)) for term in terms] for terms in corpus]
        # float64, unlike its default, so that both back ends order the same way.
        self._bm25 = require("bm25s", extra="bm25").BM25(
            method="lucene", k1=k1, b=b, dtype="float64"
        )
        self._bm25.index((ids, vocabulary), create_empty_token=False, show_progress=False)

    def scores(self, terms: Sequence[str]) -> NDArray[np.float64]:
        """Return `(n,)` scores of the documents, in corpus order; 0 where no term occurs."""
        ids = self._bm25.get_tokens_ids(list(terms))
        return cast("NDArray[np.float64]", self._bm25.get_scores_from_ids(ids))


class CountedIndex:
    """BM25 from counts of terms that were made before, by NumPy alone.

    Args:
        documents: `(n,)` the corpus.
        counts: `(n,)` for each document its terms' numbers and how often each occurs, `(terms, 2)`.
        numbers: The number of each term.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        counts: Sequence[NDArray[np.int32]],
        numbers: Mapping[str, int],
    ) -> None:
        self.documents = list(documents)
        self._numbers = numbers
        every = np.concatenate([*counts, np.empty((0, 2), dtype=np.int32)])
        sizes = np.fromiter((len(one) for one in counts), dtype=np.int64, count=len(counts))
        owners = np.repeat(np.arange(len(counts)), sizes)
        lengths = np.bincount(owners, weights=every[:, 1], minlength=len(counts))
        # The documents of a term stand together.
        order = np.argsort(every[:, 0], kind="stable")
        self._terms, self._owners = every[order, 0], owners[order]
        frequencies = every[order, 1].astype(np.float64)
        average = float(lengths.mean()) if len(counts) else 0.0
        relative = lengths[self._owners] / average if average else lengths[self._owners]
        self._parts = frequencies / (frequencies + K1 * (1 - B + B * relative))

    def scores(self, terms: Sequence[str]) -> NDArray[np.float64]:
        """Return `(n,)` scores of the documents, in corpus order; 0 where no term occurs."""
        n = len(self.documents)
        scores = np.zeros(n)
        for term, times in Counter(terms).items():
            number = self._numbers.get(term)
            if number is None:
                continue
            start, end = np.searchsorted(self._terms, [number, number + 1])
            idf = math.log(1 + (n - (end - start) + 0.5) / (end - start + 0.5))
            scores[self._owners[start:end]] += times * idf * self._parts[start:end]
        return scores
