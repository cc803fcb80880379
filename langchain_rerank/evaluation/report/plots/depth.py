"""Quality and time by first-stage depth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_rerank.evaluation.report.plots.canvas import BLUE, GREEN, GREY, ORANGE, canvas, tidy
from langchain_rerank.evaluation.report.rendering.words import milliseconds
from langchain_rerank.evaluation.score.results import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox


def depth_curve(sweep: Sweep) -> Figure:
    """Return quality (with interval and ceiling) and time (with the budget) by first-stage depth.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    timed = [one for one in sweep.points if "total" in one.latency]
    figure, panels = canvas(height=6.0 if timed else 4.2, rows=2 if timed else 1)
    axes = panels[0] if timed else panels
    _quality_by_depth(axes, sweep)
    if timed:
        below = panels[1]
        depths = [one.k for one in timed]
        below.plot(
            depths, [one.latency["total"].p50 for one in timed], "o-", color=BLUE, label="time, p50"
        )
        below.plot(
            depths, [one.latency["total"].p95 for one in timed], "s:", color=GREY, label="time, p95"
        )
        if sweep.budget_ms is not None:
            below.axhline(
                sweep.budget_ms,
                color=ORANGE,
                linestyle="-.",
                linewidth=1.6,
                label=f"budget {milliseconds(sweep.budget_ms)}",
            )
        below.axvline(sweep.recommended_k, color=GREEN, linewidth=1.2)
        below.set_ylim(bottom=0)
        below.margins(y=0.15)
        below.set_ylabel("Time per query (ms)")
        tidy(below)
    last = panels[1] if timed else axes
    last.set_xlabel("Depth K: how many candidates are reranked")
    depths = [one.k for one in sweep.points]
    smallest = min((depth for depth in depths if depth), default=1)
    if depths[-1] > 15 * smallest:
        # Or the small depths would lie on each other; linear up to the smallest, for K = 0.
        last.set_xscale("symlog", linthresh=smallest, linscale=0.5)
    last.set_xticks(depths, [str(depth) for depth in depths])
    last.set_xticks([], minor=True)
    # One for both panels, above them: beside lines there is not always room.
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=9)
    _leave_out_crowded(figure, last, sweep.recommended_k)
    return figure


def _leave_out_crowded(figure: Figure, axes: Axes, chosen: int) -> None:
    """Take the names of those depths away that would stand in another's, the chosen one's last."""
    figure.draw_without_rendering()  # Lays the figure out: from here on, places are known.
    kept: list[Bbox] = []
    labels = axes.get_xticklabels()
    for label in sorted(labels, key=lambda one: (one.get_text() != f"{chosen}", -_depth(one))):
        box = label.get_window_extent().expanded(1.25, 1)
        if box.count_overlaps(kept):
            label.set_visible(False)
        else:
            kept.append(box)


def _depth(label: Text) -> int:
    return int(label.get_text())


def _quality_by_depth(axes: Axes, sweep: Sweep) -> None:
    depths = [one.k for one in sweep.points]
    means = [one.measures[sweep.measure].mean or 0.0 for one in sweep.points]
    intervals = [one.measures[sweep.measure].ci for one in sweep.points]
    known = [ci for ci in intervals if ci is not None]
    if len(known) == len(depths):
        axes.fill_between(
            depths,
            [low for low, _ in known],
            [high for _, high in known],
            color=BLUE,
            alpha=0.18,
            linewidth=0,
            label="95 % interval",
        )
    axes.plot(depths, means, "o-", color=BLUE, label="reranked (K = 0: not reranked)")
    axes.plot(
        depths,
        [one.oracle for one in sweep.points],
        "^--",
        color=GREY,
        label="ceiling: best order of K candidates",
    )
    axes.axvline(
        sweep.recommended_k,
        color=GREEN,
        linewidth=1.2,
        label=f"{sweep.verdict.replace('_', ' ')}: K = {sweep.recommended_k}",
    )
    axes.set_ylabel(f"{sweep.measure} (mean)")
    axes.margins(y=0.08)
    tidy(axes)
