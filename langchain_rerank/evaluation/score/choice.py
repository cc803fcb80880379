"""Which of several to use, the cheapest first: a pure rule on the values of every query.

The rule is non-inferiority: from the best mean down, as long as each next cheaper one is shown to
lose no more than a margin against every other. No correction is needed for how many there are: a
wrong choice has to pass against the one that is better by more than the margin. "The cheapest that
is not significantly worse" would reward having no data, and "the cheapest that passes" tries too
often.

With n queries and none that loses, a share of about 3/n may still lose all, so no smaller margin
can be shown, and the margin is named.

Sources: non-inferiority, Walker and Nowacki 2011, doi:10.1007/s11606-010-1513-8; against every
other, Berger 1982, doi:10.1080/00401706.1982.10487790; step by step, Hsu and Berger 1999,
doi:10.1080/01621459.1999.10474141; 3/n, Hanley and Lippman-Hand 1983,
doi:10.1001/jama.1983.03330370053031; the knee, Satopää et al. 2011, doi:10.1109/ICDCSW.2011.20.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from langchain_rerank.evaluation.score.bootstrap import (
    DIFFERENCES,
    MEANS,
    ROUNDING,
    SAMPLES,
    SIGNIFICANT,
    Floats,
    Interval,
    covered,
    draws,
)
from langchain_rerank.evaluation.score.statistics import queries_needed

Positions = npt.NDArray[np.intp]

FEWEST_QUERIES = 60  # a margin of 3/n above .05 is no recommendation
_RULE_OF_THREE = 3.0


@dataclass(frozen=True)
class Choice:
    """Which one to use, and how sure that is.

    Attributes:
        position: Which one: the choice of the rule, or where it does not get there the best mean
            (the cheapest of equals).
        recommended: Whether it is shown to lose at most `margin` against every other one allowed,
            which it does where there is no other.
        margin: The margin that was asked for, or 3/n where that is larger.
        best: Position of the best mean of all (the cheapest of equals).
        losses: `(k,)` mean of the best minus mean of each.
        upper: `(k,)` one-sided 95 % bound of how much any other one allowed may be better; 0 where
            there is no other. None where a value is not between 0 and 1, since then nothing bounds
            what was not seen.
        shares: `(k,)` how often each has the best mean under the random weights: a description.
        queries_needed: How many queries would get there with the margin asked for, as an estimate;
            None where it got there or more queries like these would not.
        falls: Positions after the best whose mean is shown to be lower.
    """

    position: int
    recommended: bool
    margin: float
    best: int
    losses: tuple[float, ...]
    upper: tuple[float | None, ...]
    shares: tuple[float, ...]
    queries_needed: int | None
    falls: tuple[int, ...]


def margin_of(asked: float, queries: int) -> float:
    """Return the margin that so many queries allow.

    Examples:
        >>> margin_of(0.01, 100), margin_of(0.01, 1000)
        (0.03, 0.01)
    """
    return max(asked, _RULE_OF_THREE / queries)


def choose(
    values: Floats,
    *,
    margin: float = 0.01,
    allowed: Sequence[bool] | None = None,
    seed: int = 0,
    samples: int = SAMPLES,
) -> Choice:
    """Return which column of `values`, `(n, k)`, to use: the cheapest is first, n at least 1.

    `margin` says how much of the mean may be given up, at least 0, and `allowed`, `(k,)`, which may
    be chosen, at least one; None for all.

    Examples:
        >>> equal = np.ones((60, 3))
        >>> found = choose(equal)
        >>> found.position, found.recommended, found.margin
        (0, True, 0.05)
        >>> choose(equal[:59]).recommended
        False
    """
    n, k = values.shape
    among = np.ones(k, dtype=bool) if allowed is None else np.asarray(allowed, dtype=bool)
    granted = margin_of(margin, n)
    means = values.mean(axis=0)
    drawn = draws(values, seed=seed, samples=samples)
    bounded, steps = covered(values, MEANS), np.flatnonzero(among)
    upper = [
        max((drawn.upper(int(other), one) for other in steps if other != one), default=0.0)
        if bounded
        else None
        for one in range(k)
    ]
    equals = np.flatnonzero(among & (means > means[among].max() - ROUNDING))
    best, last = int(np.argmax(means > means.max() - ROUNDING)), int(equals[-1])
    good = {
        one for one, most in enumerate(upper) if most is not None and most <= granted + ROUNDING
    }
    recommended = (n >= FEWEST_QUERIES and last in good) or len(steps) == 1
    cheaper = steps[steps < last][::-1].tolist()
    stepped_down = [last, *itertools.takewhile(good.__contains__, cheaper)]
    position = stepped_down[-1] if recommended else int(equals[0])
    return Choice(
        position=position,
        recommended=recommended,
        margin=granted,
        best=best,
        losses=tuple(np.maximum(means[best] - means, 0.0).tolist()),
        upper=tuple(upper),
        shares=_shares(drawn.means),
        queries_needed=(
            _needed(values, position, steps, margin) if bounded and not recommended else None
        ),
        falls=tuple(
            one
            for one in range(best + 1, k)
            # Each as likely to be a mistake as all of them may be together.
            if -drawn.upper(one, best, SIGNIFICANT / (k - 1)) > ROUNDING
        ),
    )


def _shares(means: Floats) -> tuple[float, ...]:
    best = np.argmax(means > means.max(axis=1, keepdims=True) - ROUNDING, axis=1)
    counts = np.bincount(best, minlength=means.shape[1]) / len(means)
    return tuple(counts.tolist())


def _needed(values: Floats, position: int, others: Positions, margin: float) -> int | None:
    """Return how many queries would bound what any other may be better by."""
    most = FEWEST_QUERIES
    for other in others[others != position]:
        needed = queries_to_bound(values[:, other] - values[:, position], margin)
        if needed is None:
            return None
        most = max(most, needed)
    return most if most > len(values) else None


def queries_to_bound(
    losses: Floats, margin: float = 0.0, *, tail: float = SIGNIFICANT
) -> int | None:
    """Return how many queries like these bound their mean loss by the margin; see `statistics`."""
    # Of one value, nothing says how far the next one may be.
    sd = float(losses.std(ddof=1)) if len(losses) > 1 else 0.0
    return queries_needed(float(losses.mean()), sd, margin, tail=tail)


def knee(ks: Sequence[int], means: Sequence[float]) -> int | None:
    """Return the position farthest above the line from the first point to the last, or None.

    None with fewer than three points, or where no point lies above it.

    Examples:
        >>> knee([10, 20, 100], [0.5, 0.7, 0.71])
        1
    """
    if len(ks) < 3 or means[-1] <= means[0]:
        return None
    heights = [
        (mean - means[0]) / (means[-1] - means[0]) - (k - ks[0]) / (ks[-1] - ks[0])
        for k, mean in zip(ks, means, strict=True)
    ]
    top = max(heights)
    return heights.index(top) if top > ROUNDING else None


@dataclass(frozen=True)
class Gain:
    """What queries gain over the first column by the column that other queries chose.

    The interval (95 %) and the p value hold where values are between 0 and 1. `best` is the column
    with the best mean, the first of equals; `fold_columns` has that of the queries outside each
    fold; `shown` says whether the interval lies above 0, and `queries_needed` how many queries
    would show a gain of this size, at the least.
    """

    mean: float
    ci: Interval
    p_value: float
    best: int
    shown: bool
    fold_columns: tuple[int, ...]
    queries_needed: int | None


def gain_of_choice(
    values: Floats, *, folds: int, seed: int = 0, ends: Interval = DIFFERENCES
) -> Gain:
    """Return what is gained over the first column by choosing the best one, cross-validated.

    No query helps to choose its own column, so that the best of many does not flatter itself.
    `values`, `(n, k)`, are of each query with each option, `ends` the smallest and the largest gain
    that a query can have. There is at most one fold per query.
    """
    order = np.random.default_rng(seed).permutation(len(values))
    gains = np.zeros(len(values))
    columns = []
    for part in np.array_split(order, min(folds, len(values))):
        others = np.setdiff1d(order, part)
        columns.append(int(np.argmax(values[others].mean(axis=0))))
        gains[part] = values[part, columns[-1]] - values[part, 0]
    drawn = draws(gains[:, None], seed=seed)
    ci, mean, best = drawn.interval(0, ends), float(gains.mean()), int(values.mean(axis=0).argmax())
    return Gain(
        mean=mean,
        ci=ci,
        p_value=drawn.p_value(0),
        best=best,
        shown=ci[0] > 0.0 and best > 0,
        fold_columns=tuple(columns),
        queries_needed=queries_to_bound(-gains, tail=SIGNIFICANT / 2),
    )
