"""Orders and mixtures of scores: pure functions on plain lists."""

from __future__ import annotations

import math
from collections.abc import Sequence


def order(scores: Sequence[float]) -> list[int]:
    """Return the positions of `scores`, best first; ties keep their order.

    Args:
        scores: `(n,)` finite scores, higher is better.

    Examples:
        >>> order([0.1, 0.9, 0.1])
        [1, 0, 2]
    """
    return sorted(range(len(scores)), key=lambda position: -scores[position])


def z_scores(values: Sequence[float]) -> list[float]:
    """Return `values` shifted to mean 0 and scaled to (population) standard deviation 1.

    Values that are all equal become 0: they say nothing about the order.

    Examples:
        >>> z_scores([1.0, 3.0])
        [-1.0, 1.0]
        >>> z_scores([2.0, 2.0])
        [0.0, 0.0]
    """
    if not values:
        return []
    # Within -1 to 1, so that no sum or square is infinite, nor vanishes where all are tiny. By a
    # power of two, which changes no digit.
    exponent = math.frexp(max(map(abs, values)))[1]
    values = [math.ldexp(value, -exponent) for value in values]
    mean = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    # Rounding leaves a spread of the order of the last bit where all values are equal.
    if spread <= 1e-12:
        return [0.0] * len(values)
    return [(value - mean) / spread for value in values]


def reciprocal_ranks(n: int) -> list[float]:
    """Return `1 / rank` for the ranks 1 to `n`.

    Examples:
        >>> reciprocal_ranks(2)
        [1.0, 0.5]
    """
    return [1.0 / rank for rank in range(1, n + 1)]


def interpolate(
    rerank_scores: Sequence[float],
    first_stage_scores: Sequence[float] | None,
    first_stage_weight: float,
) -> list[float]:
    """Return `(1 - w)` z-scores of the reranker plus `w` z-scores of the first stage.

    Both are scaled within the candidates of one query, so the result orders the candidates of that
    query and says nothing across queries.

    Args:
        rerank_scores: `(n,)` scores of the reranker, in first-stage order.
        first_stage_scores: `(n,)` scores of the first stage, higher is better; None stands for
            reciprocal ranks.
        first_stage_weight: `w`, from 0 (the reranker alone) to 1 (the first stage alone).

    Examples:
        >>> interpolate([0.0, 1.0], [5.0, 1.0], 0.5)
        [0.0, 0.0]
        >>> interpolate([0.0, 1.0], None, 1.0)
        [1.0, -1.0]
    """
    if first_stage_scores is None:
        first_stage_scores = reciprocal_ranks(len(rerank_scores))
    return [
        (1.0 - first_stage_weight) * mine + first_stage_weight * theirs
        for mine, theirs in zip(z_scores(rerank_scores), z_scores(first_stage_scores), strict=True)
    ]
