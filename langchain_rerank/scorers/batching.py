"""Scorers that compute several requests at once, and one request as the only one of several."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from langchain_rerank.scorers.contract import ClosedOnExit, Request, Scores, check_request


class BatchScorer(ClosedOnExit, ABC):
    """A scorer that computes several requests at once: subclasses write `_scored`."""

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return one relevance score per text, in order; higher is better.

        Args:
            query: What the texts are judged against.
            texts: `(n,)` texts; `n` may be 0, which gives `[]` and loads, starts or asks nothing.

        Raises:
            InputTypeError: The query or a text is not a string.
            ScorerError: The model could not be loaded or reached, or could not score.
        """
        return self.score_many([(query, texts)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the scores of each request, in order, computed at the same time.

        Args:
            requests: `(m,)` pairs of a query and its texts.

        Raises:
            InputTypeError: A query or a text is not a string.
            ScorerError: As from `score`; the requests that still wait are dropped.
        """
        checked = [(query, check_request(query, texts)) for query, texts in requests]
        if not any(texts for _, texts in checked):
            return [Scores() for _ in checked]
        return self._scored(checked)

    @abstractmethod
    def _scored(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the scores of each request; all are checked, and one at least has texts."""
