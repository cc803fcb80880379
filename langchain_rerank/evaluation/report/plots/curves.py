"""Curves over a setting: quality and time by first-stage depth, answers by threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from langchain_rerank.evaluation.report.plots.canvas import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    band,
    canvas,
    legend,
    tidy,
)
from langchain_rerank.evaluation.report.rendering.words import milliseconds
from langchain_rerank.evaluation.score.results import Sweep, SweepPoint
from langchain_rerank.evaluation.score.thresholds import ThresholdPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox


def depth_curve(sweep: Sweep) -> Figure:
    """Return quality (interval, ceiling) and time (budget) by first-stage depth."""
    timed = [one for one in sweep.points if "total" in one.latency]
    figure, panels = canvas(height=6.0 if timed else 4.2, rows=2 if timed else 1)
    axes = panels[0] if timed else panels
    _quality_by_depth(axes, sweep)
    if timed:
        _time_by_depth(panels[1], sweep, timed)
    last = panels[1] if timed else axes
    last.set_xlabel("Depth K: how many candidates are reranked")
    depths = [one.k for one in sweep.points]
    smallest = min((depth for depth in depths if depth), default=1)
    if depths[-1] > 15 * smallest:
        # Or the small depths would lie on each other; linear up to the smallest, for K = 0.
        last.set_xscale("symlog", linthresh=smallest, linscale=0.5)
    last.set_xticks(depths, [str(depth) for depth in depths])
    last.set_xticks([], minor=True)
    legend(figure, ncols=2)
    _leave_out_crowded(figure, last, sweep.recommended_k)
    return figure


def _leave_out_crowded(figure: Figure, axes: Axes, chosen: int) -> None:
    """Take the names of those depths away that would stand in another's, the chosen one's last."""
    figure.draw_without_rendering()  # Lays the figure out: from here on, places are known.
    kept: list[Bbox] = []
    labels = axes.get_xticklabels()
    order = sorted(labels, key=lambda one: (one.get_text() != f"{chosen}", -int(one.get_text())))
    for label in order:
        box = label.get_window_extent().expanded(1.25, 1)
        if box.count_overlaps(kept):
            label.set_visible(False)
        else:
            kept.append(box)


def _quality_by_depth(axes: Axes, sweep: Sweep) -> None:
    depths = [one.k for one in sweep.points]
    found = [one.measures[sweep.measure] for one in sweep.points]
    intervals = [one.ci for one in found if one.ci is not None]
    if len(intervals) == len(depths):
        band(axes, depths, intervals, BLUE, label="95 % interval")
    means = [one.mean or 0.0 for one in found]
    axes.plot(depths, means, "o-", color=BLUE, label="reranked (K = 0: not reranked)")
    ceiling = "ceiling: best order of K candidates"
    axes.plot(depths, [one.oracle for one in sweep.points], "^--", color=GREY, label=ceiling)
    answer = f"{sweep.verdict.replace('_', ' ')}: K = {sweep.recommended_k}"
    axes.axvline(sweep.recommended_k, color=GREEN, linewidth=1.2, label=answer)
    axes.set_ylabel(f"{sweep.measure} (mean)")
    axes.margins(y=0.08)
    tidy(axes)


def _time_by_depth(axes: Axes, sweep: Sweep, timed: Sequence[SweepPoint]) -> None:
    depths = [one.k for one in timed]
    for share, look, color in (("p50", "o-", BLUE), ("p95", "s:", GREY)):
        times = [getattr(one.latency["total"], share) for one in timed]
        axes.plot(depths, times, look, color=color, label=f"time, {share}")
    if sweep.budget_ms is not None:
        budget = f"budget {milliseconds(sweep.budget_ms)}"
        axes.axhline(sweep.budget_ms, color=ORANGE, linestyle="-.", linewidth=1.6, label=budget)
    axes.axvline(sweep.recommended_k, color=GREEN, linewidth=1.2)
    axes.set_ylim(bottom=0)
    axes.margins(y=0.15)
    axes.set_ylabel("Time per query (ms)")
    tidy(axes)


def threshold_curve(points: Sequence[ThresholdPoint], threshold: float | None) -> Figure:
    """Return the share answered, and of those the share that is right, by threshold.

    Args:
        points: As of `ThresholdChoice`, two or more; the first, without a threshold, is drawn where
            the lines begin.
        threshold: The recommendation; None for no threshold.
    """
    figure, axes = canvas()
    drawn = [one for one in points if one.threshold is not None]
    first = drawn[0].threshold or 0.0
    step = ((drawn[-1].threshold or 0.0) - first) / len(drawn) or max(abs(first), 1.0) / 10
    at = [first - step, *(one.threshold or 0.0 for one in drawn)]
    answered = [one.answered_share for one in points]
    axes.plot(at, answered, "s--", color=ORANGE, label="answered, of all questions")
    band(axes, at, [one.answered_ci for one in points], ORANGE, 0.12)
    told = [
        (place, one.right_share, one.right_ci)
        for place, one in zip(at, points, strict=True)
        if one.right_share is not None and one.right_ci is not None
    ]
    places, shares, intervals = zip(*told, strict=True) if told else ((), (), ())
    axes.plot(places, shares, "o-", color=BLUE, label="first document relevant, of those answered")
    band(axes, places, intervals, BLUE)
    chosen = at[0] if threshold is None else threshold
    words = "no threshold" if threshold is None else f"threshold {threshold:g}"
    axes.axvline(chosen, color=GREEN, linewidth=1.2, label=f"recommended: {words}")
    axes.set_ylim(0.0, 1.04)
    axes.set_ylabel("Share of questions (band: 95 % interval)")
    axes.set_xlabel("Lowest relevance score that is returned (leftmost: no threshold)")
    legend(figure)
    tidy(axes)
    return figure
