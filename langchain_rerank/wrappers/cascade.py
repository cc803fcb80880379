"""A cascade: a small model narrows the texts, a large one finishes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from langchain_rerank.checks import whole_number
from langchain_rerank.scorers.contract import Request, Scorer, Scores
from langchain_rerank.wrappers.wrapper import Ask, Steps, Wrapper


class CascadeScorer(Wrapper):
    """Scores all texts with a small model and the best `keep` of them with a large one.

    The texts that the large model finished have its scores, unchanged. Those that were cut rank
    below all of them, in the small model's order: the `k`-th of them (from 1, equals share a place)
    has the lowest finished score minus `k`. Such a score says the order and nothing more; a
    threshold on the large model's scores belongs to the first `keep` results only.

    The scores of a text depend on the other texts (`pointwise` is False), so cache the two scorers
    and not the cascade. Equal texts are scored once and share their score; where the small model's
    scores tie at the cut, the alphabet decides, so that the order of the texts never does.

    Args:
        small: The quick scorer, given every text.
        large: The good one, given the `keep` best distinct texts of the small one.
        keep: How many distinct texts the large one scores, at least 1.

    Raises:
        ConfigurationError: `keep` is less than 1.

    Examples:
        >>> from langchain_rerank.testing import WordOverlapScorer
        >>> scorer = CascadeScorer(WordOverlapScorer(), WordOverlapScorer(), keep=1)
        >>> scorer.score("red fox", ["a hen", "a fox", "the red fox"])
        [-1.0, 0.0, 1.0]
    """

    kind = "cascade"
    pointwise = False

    def __init__(self, small: Scorer, large: Scorer, *, keep: int = 30) -> None:
        keep = whole_number(keep, "keep")
        super().__init__(small, large, keep=keep)
        self._keep = keep

    def _steps(self, requests: Sequence[Request]) -> Steps:
        small, large = self.scorers
        distinct = [(query, list(dict.fromkeys(texts))) for query, texts in requests]
        narrowed = yield Ask(small, distinct)
        orders = [
            _best_first(scores, unique)
            for (_, unique), scores in zip(distinct, narrowed, strict=True)
        ]
        kept = [
            (query, [unique[i] for i in order[: self._keep]])
            for (query, unique), order in zip(distinct, orders, strict=True)
        ]
        finished = yield Ask(large, kept)
        return [
            _spread(_joined(narrow, order, final), unique, texts)
            for narrow, order, final, (_, unique), (_, texts) in zip(
                narrowed, orders, finished, distinct, requests, strict=True
            )
        ]


def _best_first(scores: Sequence[float], texts: Sequence[str]) -> list[int]:
    return sorted(range(len(texts)), key=lambda i: (-scores[i], texts[i]))


def _joined(small: Scores, order: Sequence[int], large: Scores) -> Scores:
    """Return the final scores: the large model's for the head of `order`, places for its tail."""
    values = list(small)
    passages = list(small.passages)
    for i, value, passage in zip(order[: len(large)], large, large.passages, strict=True):
        values[i], passages[i] = value, passage
    lowest = min(large)
    step = max(1.0, 2 * math.ulp(lowest))  # 1.0 would vanish beside a score of 1e16
    place, previous = 0, None
    for i in order[len(large) :]:
        place += small[i] != previous
        previous = small[i]
        values[i] = lowest - place * step
    counts = (small.truncated, large.truncated)
    truncated = None if None in counts else max(count or 0 for count in counts)
    return Scores(values, truncated=truncated, best_passages=passages if any(passages) else None)


def _spread(scores: Scores, unique: Sequence[str], texts: Sequence[str]) -> Scores:
    """Return the scores of `texts` from those of the distinct ones."""
    where = {text: i for i, text in enumerate(unique)}
    positions = [where[text] for text in texts]
    notes = scores.best_passages
    return Scores(
        (scores[i] for i in positions),
        truncated=scores.truncated,
        best_passages=[notes[i] for i in positions] if notes is not None else None,
    )
