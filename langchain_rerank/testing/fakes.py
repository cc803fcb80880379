"""Scorers for tests and documentation: pure, deterministic, nothing to load."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from langchain_rerank.scorers import contract
from langchain_rerank.scorers.contract import Request, Scorer, Scores, check_request

_WORD = re.compile(r"\w+")


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


class WordOverlapScorer:
    """Scores a text by the share of the query's distinct words that it holds, from 0 to 1.

    A query without words scores 0 everywhere.

    Examples:
        >>> WordOverlapScorer().score("low rank", ["Low-rank adapters.", "A low bridge.", ""])
        [1.0, 0.5, 0.0]
    """

    name = "word-overlap"
    identity = "word-overlap"
    pointwise = True

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one score per text, in order."""
        texts = check_request(query, texts)
        wanted = _words(query)
        return [len(wanted & _words(text)) / max(1, len(wanted)) for text in texts]


class CountingScorer:
    """Passes everything on to another scorer and keeps what it was asked.

    Attributes:
        asked: One entry per call, in the order of the calls: its requests, one for `score` and
            `ascore`, any number for `score_many`.

    Examples:
        >>> scorer = CountingScorer(WordOverlapScorer())
        >>> scorer.score("low rank", ["Low-rank adapters.", ""])
        [1.0, 0.0]
        >>> scorer.calls, scorer.texts
        (1, ['Low-rank adapters.', ''])
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.asked: list[list[Request]] = []  # `append` is atomic: no lock, so copies work
        self.closed = False

    @property
    def name(self) -> str:
        """The name of the scorer underneath."""
        return contract.scorer_name(self.scorer)

    @property
    def identity(self) -> Any:
        """The identity of the scorer underneath, or None."""
        return getattr(self.scorer, "identity", None)

    @property
    def pointwise(self) -> bool:
        """Whether the scorer underneath judges each text alone."""
        return getattr(self.scorer, "pointwise", True)

    @property
    def calls(self) -> int:
        """How many calls came in; one `score_many` is one call."""
        return len(self.asked)

    @property
    def texts(self) -> list[str]:
        """Every text that was asked for, in order, as often as it was."""
        return [text for requests in self.asked for _, texts in requests for text in texts]

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return the scores of the scorer underneath."""
        self.asked.append([(query, tuple(texts))])
        return contract.score(self.scorer, query, texts)

    async def ascore(self, query: str, texts: Sequence[str]) -> Scores:
        """Return the scores of the scorer underneath."""
        self.asked.append([(query, tuple(texts))])
        return await contract.ascore(self.scorer, query, texts)

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the scores of the scorer underneath, one list per request."""
        self.asked.append([(query, tuple(texts)) for query, texts in requests])
        return contract.score_many(self.scorer, requests)

    def close(self) -> None:
        """Close the scorer underneath."""
        self.closed = True
        contract.close(self.scorer)
