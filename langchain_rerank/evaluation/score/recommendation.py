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

from langchain_rerank.evaluation.score.statistics import Floats, bootstrap_means
from langchain_rerank.evaluation.score.summaries import Verdict

Bools = npt.NDArray[np.bool_]

FEWEST_QUERIES = (
    20  # a resample of fewer queries says little, all the more where few of them differ
)
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
    drawn = bootstrap_means(values, samples=samples, seed=seed)
    best = _best(means, np.ones_like(inside))
    losses, upper, lower = _losses(means, drawn, best)
    # Over budget everywhere: the smallest is the fastest.
    candidates = inside if inside.any() else np.arange(len(ks)) == 0
    top = _best(means, candidates)
    width = _losses(means, drawn, top)[1]
    position = int(np.flatnonzero(candidates & (width <= margin + _ROUNDING))[0])
    # Not knowing which K is best is part of what is not known: the chosen one has to hold against
    # whichever is best in each resample.
    rivals = drawn[:, candidates] - drawn[:, [position]]
    doubt = float(np.percentile(rivals.max(axis=1), 95.0))
    verdict: Verdict = "recommended" if inside.any() else "over_budget"
    reason = _reason(ks, losses, width - (means[top] - means), inside, position, top, best, margin)
    needed = None
    if inside.any() and (doubt > margin + _ROUNDING or len(values) < FEWEST_QUERIES):
        verdict = "inconclusive"
        needed = _queries_needed(values[:, candidates] - values[:, [position]], rivals, margin)
        reason += _doubt(len(values), doubt, margin, needed)
    return Recommendation(
        position=position,
        verdict=verdict,
        reason=reason,
        argmax=best,
        losses=tuple(losses.tolist()),
        upper=tuple(upper.tolist()),
        selected=_selected(drawn, width - (means[top] - means), candidates, margin),
        queries_needed=needed,
        falls=tuple(i for i in range(best + 1, len(ks)) if lower[i] > _ROUNDING),
    )


def _best(means: Floats, among: Bools) -> int:
    """Return the position of the best mean, the smallest of equals."""
    shown = np.where(among, means, -np.inf)
    return int(np.argmax(shown > shown.max() - _ROUNDING))


def _losses(means: Floats, drawn: Floats, best: int) -> tuple[Floats, Floats, Floats]:
    """Return what each loses against `best`, with the one-sided 95 % bounds above and below."""
    losses = np.maximum(means[best] - means, 0.0)
    low, high = np.percentile(drawn[:, [best]] - drawn, [5.0, 95.0], axis=0)
    return losses, np.maximum(high, losses), low


def _queries_needed(differences: Floats, rivals: Floats, margin: float) -> int | None:
    """Return how many queries would bound what any other K may be better by, by the normal law."""
    rival = int(np.argmax(np.percentile(rivals, 95.0, axis=0)))
    gap = margin - float(differences[:, rival].mean())
    if gap <= _ROUNDING:
        return None
    spread = float(differences[:, rival].std(ddof=1)) if len(differences) > 1 else 0.0
    needed = max(FEWEST_QUERIES, math.ceil((_ONE_SIDED_95 * spread / gap) ** 2))
    return needed if needed > len(differences) else None


def _reason(
    ks: Sequence[int],
    losses: Floats,
    width: Floats,
    inside: Bools,
    position: int,
    top: int,
    best: int,
    margin: float,
) -> str:
    k = ks[position]
    if not inside.any():
        return f"No K is within the budget; K={k} is the fastest."
    budget = "" if inside.all() else " that the budget allows"
    if position == top:
        rest = "no smaller K is shown to be as good" if position else "it is the smallest tried"
        reason = f"K={k} has the best mean{budget}, and {rest}."
    else:
        loss = losses[position] - losses[top]
        reason = (
            f"K={k} is the smallest that is within {margin:g} of the best{budget}, K={ks[top]}: it "
            f"loses {loss:.3f}, with 95 % confidence at most {loss + width[position]:.3f}."
        )
    if top != best:
        reason += f" Without a budget K={ks[best]} would gain {losses[position]:.3f}."
    return reason


def _doubt(queries: int, doubt: float, margin: float, needed: int | None) -> str:
    if doubt <= margin + _ROUNDING:
        return (
            f" {queries} queries are too few to rely on the bound ({doubt:.3f}); "
            f"{FEWEST_QUERIES} are needed."
        )
    more = f"; about {needed} would" if needed else ""
    return (
        f" {queries} queries do not show that it is within {margin:g} of whichever K is best (the "
        f"bound is {doubt:.3f}){more}."
    )


def _selected(drawn: Floats, width: Floats, among: Bools, margin: float) -> tuple[float, ...]:
    """Return how often each depth would be chosen, each resample with the bounds' width."""
    loss = drawn[:, among].max(axis=1, keepdims=True) - drawn
    # What is best in a resample is within any margin of itself.
    good = among & ((loss + width <= margin + _ROUNDING) | (loss <= _ROUNDING))
    counts = np.bincount(good.argmax(axis=1), minlength=drawn.shape[1]) / len(drawn)
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
