"""Quality against time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.report.plots.canvas import BLUE, GREEN, GREY, canvas, tidy
from langchain_rerank.evaluation.report.rendering.words import system_label
from langchain_rerank.evaluation.score.pareto import pareto
from langchain_rerank.evaluation.score.results import EvaluationResult, MeasureSummary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Point = tuple[str, float, MeasureSummary]


def timed(result: EvaluationResult) -> list[_Point]:
    """Return (label, median time in ms, quality) of each system, or each K of a sweep."""
    measure = result.measures[0]
    points = []
    for name, summary in result.systems.items():
        if "total" in summary.latency and measure in summary.measures:
            label = system_label(name)
            if result.sweep is not None and name != result.baseline:
                continue  # the sweep's own points say more
            points.append((label, summary.latency["total"].p50, summary.measures[measure]))
    if result.sweep is not None:
        points.extend(
            (f"K = {one.k}", one.latency["total"].p50, one.measures[measure])
            for one in result.sweep.points
            if "total" in one.latency and measure in one.measures
        )
    return points


def quality_latency(result: EvaluationResult) -> Figure:
    """Return quality against median time per query, with the points that nothing beats.

    Raises:
        ConfigurationError: Nothing was timed.
        MissingExtraError: matplotlib is not installed.
    """
    points = timed(result)
    if not points:
        raise ConfigurationError("Nothing was timed, so there is no latency to draw.")
    figure, axes = canvas()
    front = [points[one] for one in pareto([(time, quality.mean) for _, time, quality in points])]
    axes.plot(
        [time for _, time, _ in front],
        [quality.mean for _, _, quality in front],
        color=GREEN,
        linewidth=1.6,
        linestyle="--",
        label="Pareto set: nothing is both faster and better",
        zorder=1,
    )
    for label, time, quality in points:
        on_front = (label, time, quality) in front
        axes.errorbar(
            time,
            quality.mean,
            yerr=_whiskers(quality),
            fmt="o" if on_front else "s",
            color=BLUE if on_front else GREY,
            capsize=3,
            markersize=7,
            elinewidth=1,
        )
        # Downhill below the Pareto line, which only rises, and uphill off it: names stay clear of
        # the line and, mostly, of each other.
        axes.annotate(
            label,
            (time, quality.mean),
            xytext=(7, -3 if on_front else 3),
            textcoords="offset points",
            rotation=-35 if on_front else 35,
            va="top" if on_front else "bottom",
            rotation_mode="anchor",
            fontsize=9,
            parse_math=False,
        )
    times = [time for _, time, _ in points]
    if min(times) > 0 and max(times) / min(times) > 10:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(_time_ticks)
        axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.margins(x=0.18, y=0.18)
    axes.set_xlabel("Median time per query (ms)")
    axes.set_ylabel(f"{result.measures[0]} (mean, 95 % interval)")
    figure.legend(loc="outside upper left", frameon=False, fontsize=9)
    tidy(axes)
    return figure


def _time_ticks(value: float, _position: int) -> str:
    return f"{value:g}"


def _whiskers(quality: MeasureSummary) -> list[list[float]]:
    low, high = quality.ci
    return [[max(0.0, quality.mean - low)], [max(0.0, high - quality.mean)]]
