"""Which relevance score a document needs to be returned: a pure rule on the rankings of questions.

A threshold trades questions that go unanswered for first documents that are right. What is best
depends on what no answer is worth beside a right one (1) and a wrong one (0): at a worth of .5 it
pays to answer where the first document is as likely right as wrong.

The threshold that is best on a sample flatters itself, so its gain is what questions gain by the
threshold that the other folds chose, with Gaffke's interval; where that does not lie above 0, no
threshold is the recommendation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from langchain_rerank.checks import real_number, shown
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.score.bootstrap import (
    DIFFERENCES,
    MEANS,
    Floats,
    Interval,
    draws,
)
from langchain_rerank.evaluation.score.choice import gain_of_choice

Ranking: TypeAlias = Sequence[tuple[float, bool]]
"""Of each document in the order in which it is returned, relevance score and whether it is
relevant."""

MOST_TRIED = 20  # thresholds: more lie closer together than a sample can tell


@dataclass(frozen=True)
class ThresholdPoint:
    """What a threshold does.

    Attributes:
        threshold: The lowest score that is returned; None for no threshold.
        answered: How many questions get a document.
        right: How many of these get a relevant one first.
        answered_share: Share of the questions that get a document.
        answered_ci: Its 95 % interval over questions.
        right_share: Share of those answered whose first document is relevant; None where none is
            answered.
        right_ci: Its 95 % interval over questions; None where none is answered.
        worth: Mean over the questions of 1 for a right first document, 0 for a wrong one, and the
            worth of no answer where there is none.
    """

    threshold: float | None
    answered: int
    right: int
    answered_share: float
    answered_ci: Interval
    right_share: float | None
    right_ci: Interval | None
    worth: float


@dataclass(frozen=True)
class ThresholdChoice:
    """Which threshold to use, and how sure that is.

    Attributes:
        threshold: The recommendation; None for no threshold, which is it where no gain is shown.
        has_gain: Whether the interval of `gain` lies above 0.
        gain: Mean gain of worth over no threshold, each question judged with the threshold that the
            other folds chose.
        ci: 95 % interval of `gain`.
        best_threshold: The threshold with the best mean worth over all questions, which flatters
            itself; None for no threshold.
        fold_thresholds: The threshold that was best without each fold: how stable the choice is.
        points: No threshold, then the thresholds ascending.
        queries_needed: How many questions would show a gain of this size, at the least; None where
            it is shown, or there is none.
    """

    threshold: float | None
    has_gain: bool
    gain: float
    ci: Interval
    best_threshold: float | None
    fold_thresholds: tuple[float | None, ...]
    points: tuple[ThresholdPoint, ...]
    queries_needed: int | None


def check_no_answer(worth: object) -> float:
    """Return what no answer is worth, if it can be that.

    Raises:
        ConfigurationError: Not a number between 0 and 1, or one of them.
    """
    number = real_number(worth)
    if number is None or not 0.0 < number < 1.0:
        raise ConfigurationError(
            f"no_answer={shown(worth)}: expected what no answer is worth, between that of a wrong "
            f"first document (0) and of a right one (1)."
        )
    return number


def choose_threshold(
    rankings: Sequence[Ranking | None],
    thresholds: Sequence[float] | None = None,
    *,
    no_answer: float = 0.5,
    folds: int = 5,
    seed: int = 0,
) -> ThresholdChoice:
    """Return which threshold to use.

    Args:
        rankings: `(n,)` of each question, at least two; None where it failed, which is worth 0 at
            every threshold.
        thresholds: The thresholds to try; None for `thresholds_between`.
        no_answer: What no answer is worth, 0 to 1.
        folds: How many folds the questions are split into, at most one per question.
        seed: Seed of folds and intervals.

    Raises:
        ConfigurationError: `no_answer` is not between 0 and 1.

    Examples:
        >>> rankings = [[(0.9, True)]] * 30 + [[(0.1, False)]] * 30
        >>> found = choose_threshold(rankings)
        >>> found.threshold, found.points[1].answered, found.points[1].right
        (0.5, 30, 30)
    """
    check_no_answer(no_answer)
    tried = sorted({*(thresholds_between(rankings) if thresholds is None else thresholds)})
    columns: list[float | None] = [None, *tried]
    answered, right = _outcomes(rankings, columns)
    failed = np.array([one is None for one in rankings])
    worth = np.where(answered, right, no_answer)
    worth[failed] = 0.0
    # In an order by score a threshold takes an answer away; in another one it may change it.
    falling = all(b[0] <= a[0] for one in rankings for a, b in itertools.pairwise(one or ()))
    ends = (no_answer - 1.0, no_answer) if falling else DIFFERENCES
    gained = gain_of_choice(worth, folds=folds, seed=seed, ends=ends)
    return ThresholdChoice(
        threshold=columns[gained.best] if gained.shown else None,
        has_gain=gained.shown,
        gain=gained.mean,
        ci=gained.ci,
        best_threshold=columns[gained.best],
        fold_thresholds=tuple(columns[one] for one in gained.fold_columns),
        points=_points(columns, answered, right, worth, seed),
        queries_needed=None if gained.shown else gained.queries_needed,
    )


def thresholds_between(rankings: Sequence[Ranking | None]) -> list[float]:
    """Return thresholds that part the best scores of the questions, ascending, as short decimals.

    At most 20, at even distances among the questions; with each, at least one question is answered.

    Examples:
        >>> thresholds_between([[(0.91, True)], [(0.2, True), (0.1, False)], [(0.4312, True)], []])
        [0.3, 0.7]
    """
    best = sorted({max(score for score, _ in one) for one in rankings if one})
    gaps = list(itertools.pairwise(best))
    if len(gaps) > MOST_TRIED:
        places = np.linspace(0, len(gaps) - 1, MOST_TRIED).round().astype(int)
        gaps = [gaps[place] for place in places]
    return [_shortest_between(low, high) for low, high in gaps]


def _shortest_between(low: float, high: float) -> float:
    """Return the number with the fewest digits above `low`, and at most `high`."""
    middle = low / 2 + high / 2
    for digits in range(1, 17):
        shown = float(f"{middle:.{digits}g}")
        if low < shown <= high:
            return shown
    return high


def _outcomes(
    rankings: Sequence[Ranking | None], thresholds: Sequence[float | None]
) -> tuple[Floats, Floats]:
    """Return whether each question gets a document at each threshold, and a relevant one first.

    `(n, t)` each, 0 or 1.
    """
    answered = np.zeros((len(rankings), len(thresholds)))
    right = np.zeros_like(answered)
    for row, ranking in enumerate(rankings):
        for column, threshold in enumerate(thresholds):
            kept = (hit for score, hit in ranking or () if threshold is None or score >= threshold)
            first = next(kept, None)
            answered[row, column] = first is not None
            right[row, column] = bool(first)
    return answered, right


def _points(
    thresholds: Sequence[float | None], answered: Floats, right: Floats, worth: Floats, seed: int
) -> tuple[ThresholdPoint, ...]:
    count = len(thresholds)
    drawn = draws(np.hstack([answered, right]), seed=seed)
    points = []
    for column, threshold in enumerate(thresholds):
        given, hits = int(answered[:, column].sum()), int(right[:, column].sum())
        points.append(
            ThresholdPoint(
                threshold=threshold,
                answered=given,
                right=hits,
                answered_share=given / len(answered),
                answered_ci=drawn.interval(column, MEANS),
                right_share=hits / given if given else None,
                right_ci=drawn.share_interval(count + column, column) if given else None,
                worth=float(worth[:, column].mean()),
            )
        )
    return tuple(points)
