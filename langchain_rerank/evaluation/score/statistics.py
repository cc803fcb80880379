"""Intervals and tests for paired values of queries: pure, seeded, vectorised.

Sources: paired randomisation, Smucker, Allan and Carterette 2007, doi:10.1145/1321440.1321528;
which test to use, Urbano, Lima and Hanjalic 2019, arXiv:1905.11096; corrections over several
systems, Ihemelandu and Ekstrand 2023, doi:10.1145/3539618.3592072; percentile bootstrap, Efron and
Tibshirani 1993, doi:10.1007/978-1-4899-4541-9; Holm 1979, Scand. J. Statist. 6, 65-70.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Key = TypeVar("Key")
Floats = npt.NDArray[np.float64]

SAMPLES = 10_000
SIGNIFICANT = 0.05  # a p value below it
FEWEST_QUERIES = 6  # 2 / 2**5 > 0.05: with five, no outcome at all is significant
_EXACT_UP_TO = 13  # 2**13 sign patterns are fewer than the 10,000 flips
_CELLS = 4_000_000  # of one block of resampling: 32 MB
_ROUNDING = 1e-9  # two sums of the same numbers in another order differ in their last bits


def mean(values: Sequence[float]) -> float:
    """Return the mean, summed in order as ir_measures does it; 0.0 of nothing.

    Examples:
        >>> mean([1.0, 0.5])
        0.75
    """
    return functools.reduce(operator.add, values, 0.0) / len(values) if len(values) else 0.0


def bootstrap_means(values: Floats, *, samples: int = SAMPLES, seed: int = 0) -> Floats:
    """Return the column means of `samples` resamples of the rows, `(samples, m)`.

    Every column sees the same resamples, so the difference of two columns is a paired bootstrap.

    Args:
        values: `(n, m)`: one row per query, one column per system or measure; n at least 1.
        samples: How many resamples.
        seed: Seed of the generator.
    """
    n = len(values)
    generator = np.random.default_rng(seed)
    block = max(1, min(samples, _CELLS // n))
    means = np.empty((samples, values.shape[1]))
    for start in range(0, samples, block):
        size = min(block, samples - start)
        drawn = generator.integers(0, n, (size, n), dtype=np.int32)
        drawn += (np.arange(size, dtype=np.int32) * n)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        means[start : start + size] = counts.astype(np.float64) @ values / n
    return means


def interval(means: Floats, level: float = 0.95) -> tuple[float, float]:
    """Return the central percentile interval of bootstrap means `(samples,)`.

    Examples:
        >>> interval(np.arange(201.0), level=0.5)
        (50.0, 150.0)
    """
    tail = 100.0 * (1.0 - level) / 2.0
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return float(low), float(high)


def sign_flip_p(differences: Sequence[float] | Floats, *, seed: int = 0) -> float | None:
    """Return the two-sided p value of a paired sign-flip randomisation, or None.

    Under the null hypothesis either system could have had either value of a pair, so every pattern
    of signs is as likely as the one seen. Exact where at most 13 pairs differ, else from 10,000
    random patterns, with 1 added to both counts.

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
    ci: tuple[float, float]
    p_value: float | None
    wins: int
    ties: int
    losses: int


def paired(
    pairs: Mapping[Key, tuple[Sequence[float], Sequence[float]]],
    *,
    seed: int = 0,
    samples: int = SAMPLES,
) -> dict[Key, Paired]:
    """Return the comparison of each pair: values of a system and of its baseline, `(n,)` each.

    All pairs are over the same queries and see the same resamples.

    Args:
        pairs: System's and baseline's values, one per query, by any name.
        seed: Seed of bootstrap and randomisation.
        samples: Number of bootstrap samples.

    Examples:
        >>> found = paired({"a": ([1.0, 0.5], [0.5, 0.5])})["a"]
        >>> found.difference, found.wins, found.ties, found.losses, found.p_value
        (0.25, 1, 1, 0, None)
    """
    differences = np.array([np.subtract(*pair) for pair in pairs.values()], dtype=np.float64).T
    if not differences.size:
        return dict.fromkeys(pairs, Paired(0.0, (0.0, 0.0), None, 0, 0, 0))
    means = bootstrap_means(differences, seed=seed, samples=samples)
    return {
        name: Paired(
            difference=mean(system) - mean(baseline),
            ci=interval(means[:, column]),
            p_value=sign_flip_p(differences[:, column], seed=seed),
            wins=int(np.count_nonzero(differences[:, column] > 0.0)),
            ties=int(np.count_nonzero(differences[:, column] == 0.0)),
            losses=int(np.count_nonzero(differences[:, column] < 0.0)),
        )
        for column, (name, (system, baseline)) in enumerate(pairs.items())
    }


def too_few_queries(n: int) -> str | None:
    """Return what to say about `n` queries where no difference can be significant, or None."""
    if n >= FEWEST_QUERIES:
        return None
    return (
        f"too few queries: with {n} labelled, p < 0.05 is impossible; "
        f"at least {FEWEST_QUERIES} are needed, and 50 or more to see small differences"
    )
