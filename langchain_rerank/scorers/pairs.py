"""A scorer over any function that scores (query, text) pairs, LangChain's cross-encoders first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_rerank.scorers.contract import Scores, check_request, checked

PairFunction = Callable[[list[tuple[str, str]]], Any]
"""Takes `(n,)` pairs and returns `(n,)` numbers: a list, a numpy array, an iterator."""


class PairScorer:
    """Scores texts through a function of (query, text) pairs."""

    def __init__(self, score_pairs: PairFunction, *, name: str) -> None:
        self.name = name
        self._score_pairs = score_pairs

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return one relevance score per text, `(n,)`, in order; nothing is called for no texts."""
        texts = check_request(query, texts)
        if not texts:
            return Scores()
        return checked(self._score_pairs([(query, text) for text in texts]), len(texts), self)
