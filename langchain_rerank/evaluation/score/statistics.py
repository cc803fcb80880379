"""Comparisons of two systems over the same queries, and how many queries those take.

Intervals are those of `bootstrap`.

Sources: paired randomisation, Smucker, Allan and Carterette 2007, doi:10.1145/1321440.1321528; Holm
1979, Scand. J. Statist. 6, 65-70.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from langchain_rerank.evaluation.score.bootstrap import (
    CELLS,
    DIFFERENCES,
    MEANS,
    ROUNDING,
    SAMPLES,
    SIGNIFICANT,
    Floats,
    Interval,
    covered,
    draws,
    mean,
)

Key = TypeVar("Key", bound=Hashable)

_POWER = 0.8  # how often as many queries as are needed get there
FEWEST_QUERIES = 6  # if every one of five changes by 1, the interval still holds 0
_EXACT_UP_TO = 13  # 2**13 sign patterns are fewer than the 10,000 flips
_MOST_QUERIES = 10**6


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
    threshold = seen - ROUNDING * float(np.abs(differing).sum())
    if n <= _EXACT_UP_TO:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float(np.mean(np.abs((2.0 * patterns - 1.0) @ differing) >= threshold))
    generator = np.random.default_rng(seed)
    block = max(1, min(SAMPLES, CELLS // n))
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
    ascending = sorted((p, position) for position, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for step, (p, position) in enumerate(ascending):
        largest = max(largest, min(1.0, (len(ascending) - step) * p))
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

    All pairs are over the same queries, at least one, and see the same weights. Where values leave
    the range from 0 to 1 there is no interval and no p value.

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
    loss: float, sd: float, margin: float, *, tail: float = SIGNIFICANT
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

    Examples:
        >>> [queries_needed(0.0, 0.05, margin) for margin in (0.03, 0.02, 0.01)]
        [127, 200, 458]
        >>> queries_needed(0.02, 0.05, 0.01) is None
        True
    """
    if loss >= margin - ROUNDING:
        return None
    z, luck = NormalDist().inv_cdf(1.0 - tail), NormalDist().inv_cdf(_POWER)

    def bound(n: int) -> float:
        spread = math.sqrt(sd**2 / n + 1.0 / n**2)
        skewness = (z**2 - 1.0) / 3.0 / (n * (1.0 + n * sd**2))
        return loss + 1.0 / n + z * spread + skewness + luck * sd / math.sqrt(n)

    if bound(_MOST_QUERIES) > margin:
        return None
    fewest = 1 + bisect.bisect_left(range(1, _MOST_QUERIES), True, key=lambda n: bound(n) <= margin)
    # Where every query loses the same.
    return max(
        fewest, math.ceil(math.log(tail) / math.log((1.0 - margin) / (1.0 - loss)) - ROUNDING)
    )


def too_few_queries(n: int) -> str | None:
    """Return what to say about `n` queries where no difference can be shown, or None."""
    if n >= FEWEST_QUERIES:
        return None
    return (
        f"too few queries: with {n} labelled no difference can be shown; at least "
        f"{FEWEST_QUERIES} are needed, and 50 or more to see small differences"
    )
