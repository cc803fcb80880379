"""Quality against time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.report.plots.canvas import (
    BLUE,
    GREEN,
    GREY,
    LONGEST_NAME,
    canvas,
    legend,
    tidy,
)
from langchain_rerank.evaluation.report.plots.labels import name_points
from langchain_rerank.evaluation.report.rendering.words import short_names
from langchain_rerank.evaluation.score.pareto import pareto
from langchain_rerank.evaluation.score.results import EvaluationResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Timed(NamedTuple):
    """A system, or a K of a sweep: what it is called, its median time in ms, its quality."""

    label: str
    ms: float
    mean: float
    ci: tuple[float, float] | None


def timed(result: EvaluationResult) -> list[Timed]:
    """Return each system, or each K of a sweep, that was timed and has a mean."""
    measure = result.measures[0]
    if result.sweep is not None:  # its points say more, K = 0 among them
        found = [
            (f"K = {one.k}", one.latency, one.measures.get(measure)) for one in result.sweep.points
        ]
    else:
        names = short_names(result.systems, LONGEST_NAME)
        found = [
            (names[name], one.latency, one.measures.get(measure))
            for name, one in result.systems.items()
        ]
    return [
        Timed(label, latency["total"].p50, quality.mean, quality.ci)
        for label, latency, quality in found
        if "total" in latency and quality is not None and quality.mean is not None
    ]


def quality_latency(result: EvaluationResult) -> Figure:
    """Return quality against median time per query, with the points that nothing beats.

    Raises:
        ConfigurationError: Nothing was timed.
    """
    points = timed(result)
    if not points:
        raise ConfigurationError("Nothing was timed, so there is no latency to draw.")
    figure, axes = canvas()
    front = [points[at] for at in pareto([(one.ms, one.mean) for one in points])]
    best = [(one.ms, one.mean) for one in front]
    if len(front) > 1:
        axes.plot(
            *zip(*best, strict=True),
            color=GREEN,
            linewidth=1.6,
            linestyle="--",
            label="Pareto set: nothing is both faster and better",
            zorder=1,
        )
        legend(figure)
    for one in points:
        look: Any = {"fmt": "o", "color": BLUE} if one in front else {"fmt": "s", "color": GREY}
        if one.ci is not None:
            below, above = max(0.0, one.mean - one.ci[0]), max(0.0, one.ci[1] - one.mean)
            look["yerr"] = [[below], [above]]
        axes.errorbar(one.ms, one.mean, capsize=3, markersize=7, elinewidth=1, **look)
    times = [one.ms for one in points]
    if min(times) > 0 and max(times) / min(times) > 10:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.margins(x=0.18, y=0.18)
    axes.set_xlabel("Median time per query (ms)")
    axes.set_ylabel(f"{result.measures[0]} (mean, 95 % interval)")
    tidy(axes)
    whiskers = [[(one.ms, end) for end in one.ci] for one in points if one.ci is not None]
    # Of a sweep's many depths, those that something beats in both are nobody's choice.
    named = [(one, result.sweep is None or one in front) for one in points]
    names = [(one.ms, one.mean, one.label if shown else "") for one, shown in named]
    name_points(figure, axes, names, [best, *whiskers])
    return figure
