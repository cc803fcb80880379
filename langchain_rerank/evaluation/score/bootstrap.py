"""Means under random weights, of which intervals are made: pure, seeded, vectorised.

Every interval is Gaffke's: means under random weights (the Bayesian bootstrap) with one more query
of the worst value there can be, since a sample never rules out that a share of about 3/n of the
queries does that badly. On values of 0 and 1 it is Clopper and Pearson's. `simulations` says how
often it holds, beside others.

Sources: Gaffke 2005, Math. Methods Statist. 14, 451-467; Learned-Miller and Thomas 2019,
arXiv:1905.06208; the bootstrap, Rubin 1981, doi:10.1214/aos/1176345338; Clopper and Pearson 1934,
doi:10.1093/biomet/26.4.404.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Interval = tuple[float, float]

SAMPLES = 10_000
LEVEL = 0.95
SIGNIFICANT = 1.0 - LEVEL  # a p value below it
MEANS = (0.0, 1.0)  # the range of a measure
DIFFERENCES = (-1.0, 1.0)  # and of the difference of two
CELLS = 5_000_000  # of one block of random numbers: 40 MB
ROUNDING = 1e-9  # two sums of the same numbers in another order differ in their last bits


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

        `ends` are the smallest and the largest value that a query can have.
        """
        values = self.means[:, column]
        return (
            max(ends[0], -_quantile(-(values + ends[0] * self.extra), tail)),
            min(ends[1], _quantile(values + ends[1] * self.extra, tail)),
        )

    def share_interval(self, part: int, whole: int) -> Interval:
        """Return the interval of the share that column `part` is of column `whole`, both 0 and 1.

        The weights of the queries that count in `whole`, and of the unseen one, are by themselves
        what `draws` gives for these queries alone, so this is their `interval`.
        """
        values, counted = self.means[:, part], self.means[:, whole] + self.extra
        return (
            max(0.0, -_quantile(-values / counted, SIGNIFICANT / 2)),
            min(1.0, _quantile((values + self.extra) / counted, SIGNIFICANT / 2)),
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
    at = len(values) - max(1, math.floor(tail * (len(values) + 1) + ROUNDING))
    return float(np.partition(values, at)[at])


def draws(values: Floats, *, samples: int = SAMPLES, seed: int = 0) -> Draws:
    """Return what the column means may be, every column under the same weights.

    The weights of n queries and one that was not seen are uniform over all that sum to 1. Those of
    the unseen one are stratified: without that chance alone moves the bound of equal values.
    `values` are `(n, m)`, n at least 1: a row per query, a column per system or difference.
    """
    n = len(values)
    if samples * n <= CELLS:
        extra, weights = _weights(n, samples, seed)
        return Draws(weights @ values, extra)
    extra, generator = _unseen(n, samples, seed)
    block = max(1, CELLS // n)
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
    return bool(np.min(values) >= ends[0] - ROUNDING and np.max(values) <= ends[1] + ROUNDING)
