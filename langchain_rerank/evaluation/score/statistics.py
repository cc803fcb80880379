"""Intervals and tests for values of queries: pure, seeded, vectorised.

Every interval is Gaffke's: means under random weights (the Bayesian bootstrap) with one more query
of the worst value there can be, since a sample never rules out that a share of about 3/n of the
queries does that badly. On values of 0 and 1 it is Clopper and Pearson's. `simulation` says how
often it holds, beside others.

Sources: Gaffke 2005, Math. Methods Statist. 14, 451-467; Learned-Miller and Thomas 2019,
arXiv:1905.06208; the Bayesian bootstrap, Rubin 1981, doi:10.1214/aos/1176345338; Clopper and
Pearson 1934, doi:10.1093/biomet/26.4.404; paired randomisation, Smucker, Allan and Carterette 2007,
doi:10.1145/1321440.1321528; Holm 1979, Scand. J. Statist. 6, 65-70.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Key = TypeVar("Key", bound=Hashable)
Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

SAMPLES = 10_000
LEVEL = 0.95
SIGNIFICANT = 1.0 - LEVEL  # a p value below it
POWER = 0.8
FEWEST_QUERIES = 6  # if every one of five changes by 1, the interval still holds 0
MEANS = (0.0, 1.0)  # the range of a measure
DIFFERENCES = (-1.0, 1.0)  # and of the difference of two
_EXACT_UP_TO = 13  # 2**13 sign patterns are fewer than the 10,000 flips
_CELLS = 5_000_000  # of one block of weights: 40 MB
_ROUNDING = 1e-9  # two sums of the same numbers in another order differ in their last bits
_MOST_QUERIES = 10**6


def mean(values: Sequence[float] | Floats) -> float:
    """Return the mean of at least one value, summed in order as ir_measures does it.

    Raises:
        ValueError: There is no value; a mean of nothing is empty and no number.

    Examples:
        >>> mean([1.0, 0.5])
        0.75
    """
    if not len(values):
        raise ValueError("a mean of nothing is no number; ask first whether there are values")
    return float(functools.reduce(operator.add, values, 0.0)) / len(values)


@dataclass(frozen=True)
class Draws:
    """What the means may be, `samples` times over.

    Attributes:
        means: `(samples, m)` means under random weights that leave out `extra`.
        extra: `(samples,)` the weight of the query that was not seen.
    """

    means: Floats
    extra: Floats

    def interval(self, column: int, ends: Interval, tail: float = SIGNIFICANT / 2) -> Interval:
        """Return the interval of a column's mean, with an error of at most `tail` at each side.

        Args:
            column: The column.
            ends: The smallest and the largest value that a query can have.
            tail: The error at each side.
        """
        values = self.means[:, column]
        return (
            max(ends[0], -_quantile(-(values + ends[0] * self.extra), tail)),
            min(ends[1], _quantile(values + ends[1] * self.extra, tail)),
        )

    def p_value(self, column: int) -> float:
        """Return the smallest error at which the interval of a mean difference excludes 0."""
        values, (worst, best) = self.means[:, column], DIFFERENCES
        below = np.count_nonzero(values + worst * self.extra <= 0.0)
        above = np.count_nonzero(values + best * self.extra >= 0.0)
        return min(1.0, 2.0 * (1 + int(min(below, above))) / (1 + len(values)))

    def upper(self, gain: int, against: int, tail: float = SIGNIFICANT) -> float:
        """Return the one-sided bound of how much column `gain` is better than `against`."""
        difference = self.means[:, gain] - self.means[:, against]
        return _quantile(difference + DIFFERENCES[1] * self.extra, tail)


def _quantile(values: Floats, tail: float) -> float:
    """Return the value that a share of at most `tail` of the values exceeds.

    The share is counted as in `Draws.p_value`: p < 2 * tail is the same as the interval without 0.
    """
    at = len(values) - max(1, math.floor(tail * (len(values) + 1) + _ROUNDING))
    return float(np.partition(values, at)[at])


def draws(values: Floats, *, samples: int = SAMPLES, seed: int = 0) -> Draws:
    """Return what the column means may be, every column under the same weights.

    The weights of n queries and one that was not seen are uniform over all that sum to 1. Those of
    the unseen one are stratified: without that chance alone moves the bound of equal values.

    Args:
        values: `(n, m)`: one row per query, one column per system, measure or difference; n at
            least 1.
        samples: How many.
        seed: Seed of the weights.
    """
    n = len(values)
    if samples * n <= _CELLS:
        extra, weights = _weights(n, samples, seed)
        return Draws(weights @ values, extra)
    extra, generator = _unseen(n, samples, seed)
    block = max(1, _CELLS // n)
    blocks = [
        _seen(generator, extra[start : start + block], n) @ values
        for start in range(0, samples, block)
    ]
    return Draws(np.concatenate(blocks), extra)


@functools.lru_cache(maxsize=1)
def _weights(n: int, samples: int, seed: int) -> tuple[Floats, Floats]:
    """Return the weights of the unseen query and of the others; a report needs the same often."""
    extra, generator = _unseen(n, samples, seed)
    return extra, _seen(generator, extra, n)


def _unseen(n: int, samples: int, seed: int) -> tuple[Floats, np.random.Generator]:
    generator = np.random.default_rng(seed)
    weights = 1.0 - (1.0 - (np.arange(samples) + 0.5) / samples) ** (1.0 / n)
    return generator.permutation(weights), generator


def _seen(generator: np.random.Generator, extra: Floats, n: int) -> Floats:
    weights = generator.standard_exponential((len(extra), n))
    weights *= ((1.0 - extra) / weights.sum(axis=1))[:, None]
    return weights


def covered(values: Sequence[float] | Floats, ends: Interval) -> bool:
    """Return whether all values are in the range for which an interval holds."""
    return bool(np.min(values) >= ends[0] - _ROUNDING and np.max(values) <= ends[1] + _ROUNDING)


def sign_flip_p(differences: Sequence[float] | Floats, *, seed: int = 0) -> float | None:
    """Return the two-sided p value of a paired sign-flip randomisation, or None.

    Under the null hypothesis either system could have had either value of a pair, so every pattern
    of signs is as likely as the one seen. That says more than that the mean difference is 0: it is
    rejected where rare large losses outweigh many small gains, so no verdict rests on it. Exact
    where at most 13 pairs differ, else from 10,000 random patterns, with 1 added to both counts.

    Args:
        differences: `(n,)` value of one system minus value of the other, per query.
        seed: Seed of the random patterns.

    Returns:
        The p value; None with fewer than 6 pairs, where none can be below 0.05.

    Examples:
        >>> sign_flip_p([1.0] * 6)
        0.03125
        >>> sign_flip_p([0.0] * 6)
        1.0
    """
    differing = np.asarray(differences, dtype=np.float64)
    if len(differing) < FEWEST_QUERIES:
        return None
    differing = differing[differing != 0.0]
    n = len(differing)
    if n == 0:
        return 1.0
    seen = abs(float(differing.sum()))
    threshold = seen - _ROUNDING * float(np.abs(differing).sum())
    if n <= _EXACT_UP_TO:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float(np.mean(np.abs((2.0 * patterns - 1.0) @ differing) >= threshold))
    generator = np.random.default_rng(seed)
    block = max(1, min(SAMPLES, _CELLS // n))
    extreme = 0
    for start in range(0, SAMPLES, block):
        size = min(block, SAMPLES - start)
        signs = 2.0 * generator.integers(0, 2, (size, n), dtype=np.int8) - 1.0
        extreme += int(np.count_nonzero(np.abs(signs @ differing) >= threshold))
    return (1 + extreme) / (1 + SAMPLES)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return the p values after Holm's step-down correction, in their order; None stays None.

    Examples:
        >>> holm([0.01, None, 0.04])
        [0.02, None, 0.04]
    """
    positions = [position for position, p in enumerate(p_values) if p is not None]
    positions.sort(key=lambda position: p_values[position] or 0.0)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for step, position in enumerate(positions):
        largest = max(largest, min(1.0, (len(positions) - step) * (p_values[position] or 0.0)))
        corrected[position] = largest
    return corrected


@dataclass(frozen=True)
class Paired:
    """What `paired` returns; see `results.Comparison`."""

    difference: float
    ci: Interval | None
    p_value: float | None
    p_sign_flip: float | None
    wins: int
    ties: int
    losses: int


def paired(
    pairs: Mapping[Key, tuple[Sequence[float] | Floats, Sequence[float] | Floats]],
    *,
    seed: int = 0,
    samples: int = SAMPLES,
) -> dict[Key, Paired]:
    """Return the comparison of each pair: values of a system and of its baseline, `(n,)` each.

    All pairs are over the same queries, at least one, and see the same weights.

    Args:
        pairs: System's and baseline's values, one per query, by any name. Where they leave the
            range from 0 to 1 there is no interval and no p value.
        seed: Seed of weights and randomisation.
        samples: Number of weightings.

    Examples:
        >>> found = paired({"a": ([1.0, 0.5], [0.5, 0.5])})["a"]
        >>> found.difference, found.wins, found.ties, found.losses, found.p_value
        (0.25, 1, 1, 0, 1.0)
    """
    if not pairs:
        return {}
    differences = np.array([np.subtract(*pair) for pair in pairs.values()], dtype=np.float64).T
    drawn = draws(differences, seed=seed, samples=samples)
    found = {}
    for column, (name, (system, baseline)) in enumerate(pairs.items()):
        change = differences[:, column]
        bounded = covered(system, MEANS) and covered(baseline, MEANS)
        found[name] = Paired(
            difference=mean(system) - mean(baseline),
            ci=drawn.interval(column, DIFFERENCES) if bounded else None,
            p_value=drawn.p_value(column) if bounded else None,
            p_sign_flip=sign_flip_p(change, seed=seed),
            wins=int(np.count_nonzero(change > 0.0)),
            ties=int(np.count_nonzero(change == 0.0)),
            losses=int(np.count_nonzero(change < 0.0)),
        )
    return found


def queries_needed(
    loss: float, sd: float, margin: float, *, tail: float = SIGNIFICANT, power: float = POWER
) -> int | None:
    """Return with how many queries the bound of a mean loss falls to the margin, or None.

    The bound is `Draws.upper`'s, by the normal law with the unseen query, its skewness and the
    sample's luck; never fewer than equal losses need. `sd` of a small sample is mostly too small,
    so say "at least about".

    Args:
        loss: Mean loss, negative for a gain.
        sd: Standard deviation of the loss over queries.
        margin: What the bound must not exceed; 0 asks when a gain is shown.
        tail: Error of the bound.
        power: How often the bound is to get there.

    Examples:
        >>> [queries_needed(0.0, 0.05, margin) for margin in (0.03, 0.02, 0.01)]
        [127, 200, 458]
        >>> queries_needed(0.02, 0.05, 0.01) is None
        True
    """
    if loss >= margin - _ROUNDING:
        return None
    z, luck = NormalDist().inv_cdf(1.0 - tail), NormalDist().inv_cdf(power)

    def bound(n: int) -> float:
        spread = math.sqrt(sd**2 / n + 1.0 / n**2)
        skewness = (z**2 - 1.0) / 3.0 / (n * (1.0 + n * sd**2))
        return loss + 1.0 / n + z * spread + skewness + luck * sd / math.sqrt(n)

    if bound(_MOST_QUERIES) > margin:
        return None
    low, high = 1, _MOST_QUERIES
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if bound(middle) <= margin else (middle + 1, high)
    # Where every query loses the same.
    return max(low, math.ceil(math.log(tail) / math.log((1.0 - margin) / (1.0 - loss)) - _ROUNDING))


def too_few_queries(n: int) -> str | None:
    """Return what to say about `n` queries where no difference can be shown, or None."""
    if n >= FEWEST_QUERIES:
        return None
    return (
        f"too few queries: with {n} labelled no difference can be shown; at least "
        f"{FEWEST_QUERIES} are needed, and 50 or more to see small differences"
    )
