"""Which depth to use: a pure rule on the values of every query at every depth.

The rule is non-inferiority: the smallest K whose mean is shown to be within a margin of the best.
"The smallest K that is not significantly worse" would reward having no data.

Source: non-inferiority, Walker and Nowacki 2011, doi:10.1007/s11606-010-1513-8; that rerankers can
get worse with depth, Jacob et al. 2024, arXiv:2411.11767; the knee, Satopää et al. 2011,
doi:10.1109/ICDCSW.2011.20.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from langchain_rerank.evaluation.statistics import Floats, bootstrap_means
from langchain_rerank.evaluation.summaries import Verdict

Bools = npt.NDArray[np.bool_]

_ONE_SIDED_95 = 1.6449  # the quantile of the normal distribution
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Recommendation:
    """The depth to use, and why; see `summaries.Sweep`.

    Attributes:
        position: Which of the depths.
        verdict: "recommended", "inconclusive" or "over_budget".
        reason: The verdict in a sentence.
        argmax: Position of the best mean (the smallest of equals).
        losses: `(k,)` mean of the best minus mean of each.
        upper: `(k,)` one-sided 95 % upper bounds of `losses`.
        selected: `(k,)` share of bootstrap samples that choose each.
        queries_needed: How many queries would settle it, as an estimate.
        falls: Positions beyond the best whose mean is lower by more than chance.
    """

    position: int
    verdict: Verdict
    reason: str
    argmax: int
    losses: tuple[float, ...]
    upper: tuple[float, ...]
    selected: tuple[float, ...]
    queries_needed: int | None
    falls: tuple[int, ...]


def recommend(
    values: Floats,
    ks: Sequence[int],
    *,
    margin: float = 0.01,
    allowed: Sequence[bool] | None = None,
    seed: int = 0,
    samples: int = 10_000,
) -> Recommendation:
    """Return which depth to use.

    Args:
        values: `(n, k)` value of each query at each depth; n at least 1.
        ks: `(k,)` depths, ascending.
        margin: How much of the mean may be given up, at least 0.
        allowed: `(k,)` whether each is within the budget; None where there is none.
        seed: Seed of the bootstrap.
        samples: Number of bootstrap samples.

    Examples:
        >>> flat = np.ones((20, 3))
        >>> recommend(flat, [10, 20, 50]).position
        0
    """
    inside = np.array([True] * len(ks) if allowed is None else allowed, dtype=bool)
    means = values.mean(axis=0)
    best = int(np.argmax(means > means.max() - _ROUNDING))
    drawn = bootstrap_means(values, samples=samples, seed=seed)
    losses = np.maximum(means[best] - means, 0.0)
    against_best = drawn[:, [best]] - drawn
    upper = np.maximum(np.percentile(against_best, 95.0, axis=0), losses)
    position = _chosen(means, upper, inside, margin)
    # Not knowing which K is best is part of what is not known: the chosen one has to hold against
    # whichever is best in each resample.
    doubt = float(np.percentile(drawn.max(axis=1) - drawn[:, position], 95.0))
    settled = doubt <= margin + _ROUNDING or not inside.all()
    needed = None if settled else _queries_needed(values, drawn, position, margin)
    verdict, reason = _verdict(ks, losses, upper, inside, position, best, margin)
    if not settled:
        verdict = "inconclusive"
        reason += (
            f" That it is within {margin:g} of whichever K is best is not shown by "
            f"{len(values)} queries (the bound is {doubt:.3f})"
            + (f"; about {needed} would show it." if needed else ".")
        )
    lower = np.percentile(against_best, 5.0, axis=0)
    return Recommendation(
        position=position,
        verdict=verdict,
        reason=reason,
        argmax=best,
        losses=tuple(losses.tolist()),
        upper=tuple(upper.tolist()),
        selected=_selected(drawn, upper - losses, inside, margin),
        queries_needed=needed,
        falls=tuple(i for i in range(best + 1, len(ks)) if lower[i] > _ROUNDING),
    )


def _chosen(means: Floats, upper: Floats, inside: Bools, margin: float) -> int:
    if not inside.any():
        return 0  # the smallest is the fastest
    good = np.flatnonzero(inside & (upper <= margin + _ROUNDING))
    return int(good[0]) if len(good) else int(np.argmax(np.where(inside, means, -np.inf)))


def _queries_needed(values: Floats, drawn: Floats, position: int, margin: float) -> int | None:
    """Return how many queries would bound what any other K may be better by, by the normal law."""
    rivals = values - values[:, [position]]
    rival = int(np.argmax(np.percentile(drawn - drawn[:, [position]], 95.0, axis=0)))
    gap = margin - float(rivals[:, rival].mean())
    if gap <= _ROUNDING:
        return None
    spread = float(rivals[:, rival].std(ddof=1)) if len(values) > 1 else 0.0
    needed = math.ceil((_ONE_SIDED_95 * spread / gap) ** 2)
    return needed if needed > len(values) else None


def _verdict(
    ks: Sequence[int],
    losses: Floats,
    upper: Floats,
    inside: Bools,
    position: int,
    best: int,
    margin: float,
) -> tuple[Verdict, str]:
    k = ks[position]
    if not inside.any():
        return "over_budget", f"No K is within the budget; K={k} is the fastest."
    if position == best:
        rest = "no smaller K is shown to be as good" if position else "it is the smallest tried"
        return "recommended", f"K={k} has the best mean, and {rest}."
    if upper[position] <= margin + _ROUNDING:
        return "recommended", (
            f"K={k} is the smallest that is within {margin:g} of the best, K={ks[best]}: it loses "
            f"{losses[position]:.3f}, with 95 % confidence at most {upper[position]:.3f}."
        )
    return "recommended", (
        f"K={k} is the best within the budget; without it K={ks[best]} would gain "
        f"{losses[position]:.3f}."
    )


def _selected(drawn: Floats, width: Floats, inside: Bools, margin: float) -> tuple[float, ...]:
    """Return how often each depth would be chosen, each resample with the bounds' width."""
    if not inside.any():
        return (1.0, *[0.0] * (drawn.shape[1] - 1))
    top = drawn.max(axis=1, keepdims=True)
    # What is best in a resample is within any margin of itself.
    loss = top - drawn
    good = inside & ((loss + width <= margin + _ROUNDING) | (loss <= _ROUNDING))
    allowed = np.where(inside, drawn, -np.inf)
    chosen = np.where(good.any(axis=1), good.argmax(axis=1), allowed.argmax(axis=1))
    counts = np.bincount(chosen, minlength=drawn.shape[1]) / len(drawn)
    return tuple(counts.tolist())


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
    return heights.index(top) if top > _ROUNDING else None
