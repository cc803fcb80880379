"""Plots of a result: quality against latency, the depth curve, gains and losses, rank movement.

Nothing is told by colour alone. Needs matplotlib (extra `plots`): without it, drawing raises a
`MissingExtraError`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from langchain_rerank.evaluation.report.plots.by_query import (
    differences,
    paired_differences,
    rank_movement,
)
from langchain_rerank.evaluation.report.plots.canvas import LONGEST_NAME
from langchain_rerank.evaluation.report.plots.curves import depth_curve
from langchain_rerank.evaluation.report.plots.latency import quality_latency, timed
from langchain_rerank.evaluation.report.rendering.words import (
    file_names,
    in_sentence,
    short_names,
)
from langchain_rerank.evaluation.score.results import EvaluationResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Plot",
    "depth_curve",
    "differences",
    "draw",
    "png",
    "quality_latency",
    "rank_movement",
    "svg",
]


@dataclass(frozen=True)
class Plot:
    """A figure, the name of its file and what it shows."""

    name: str
    caption: str
    figure: Figure


def draw(result: EvaluationResult) -> list[Plot]:
    """Return the plots that `result` has the data for; at most one of each kind and system."""
    return list(_drawn(result))


def svg(plot: Plot) -> str:
    """Return `plot` as SVG, letters drawn as paths: it looks the same everywhere."""
    return _saved(plot.figure, "svg").decode()


def png(plot: Plot, dpi: int = 160) -> bytes:
    """Return `plot` as PNG."""
    return _saved(plot.figure, "png", dpi)


def _saved(figure: Figure, kind: Literal["svg", "png"], dpi: int = 160) -> bytes:
    target = io.BytesIO()
    with warnings.catch_warnings():
        # A query id in a script that the font lacks shows as boxes; that is no reason to fail.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        metadata = {"Date": None} if kind == "svg" else None
        figure.savefig(target, format=kind, dpi=dpi, metadata=metadata)
    return target.getvalue()


def _drawn(result: EvaluationResult) -> Iterator[Plot]:
    measure, sweep = result.measures[0], result.sweep
    if sweep is not None:
        caption = f"{sweep.measure} and time by first-stage depth K"
        yield Plot("depth", caption, depth_curve(sweep))
    if len(timed(result)) > 1:
        yield Plot("quality_latency", f"{measure} against time per query", quality_latency(result))
    files = file_names(result.systems)
    names = in_sentence(short_names(result.systems, LONGEST_NAME))
    for system in result.systems:
        if system == result.baseline or not paired_differences(result, system, measure):
            continue
        suffix = "" if len(result.systems) == 2 else f"_{files[system]}"
        pair = f"{names[result.baseline]} to {names[system]}"
        yield Plot(
            f"differences{suffix}",
            f"Change of {measure} by query, {pair}",
            differences(result, system, measure),
        )
        yield Plot(
            f"rank_movement{suffix}",
            f"Rank of the first relevant document, {pair}",
            rank_movement(result, system),
        )
