"""What happened to each query: gains and losses, rank movement."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.report.plots.canvas import (
    BLUE,
    GREY,
    INK,
    LONGEST_NAME,
    ORANGE,
    canvas,
    heading,
    tidy,
)
from langchain_rerank.evaluation.report.rendering.words import in_sentence, short_names
from langchain_rerank.evaluation.score.results import EvaluationResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELLED_QUERIES = 20  # more bars than that cannot carry names
RANK_TICKS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


def paired_differences(
    result: EvaluationResult, system: str, measure: str
) -> list[tuple[float, str]]:
    """Return (difference, query id) of every query that counts, best first."""
    found = []
    for row in result.queries:
        old, new = row.systems.get(result.baseline), row.systems.get(system)
        if old and new and measure in old.measures and measure in new.measures:
            found.append((new.measures[measure] - old.measures[measure], row.query_id))
    return sorted(found, key=lambda one: -one[0])


def differences(result: EvaluationResult, system: str, measure: str) -> Figure:
    """Return one bar per query, what it gained or lost, best first.

    Raises:
        ConfigurationError: No query has this measure for both systems.
    """
    found = paired_differences(result, system, measure)
    if not found:
        raise ConfigurationError(f"No query has {measure} for {result.baseline} and {system}.")
    values = [value for value, _ in found]
    named = len(found) <= LABELLED_QUERIES
    # Names stand beside bars that lie: they need no turning.
    figure, axes = canvas(height=max(2.4, 1.4 + 0.26 * len(found)) if named else 4.2)
    if named:
        colors = [BLUE if value > 0 else ORANGE for value in values]
        axes.barh(range(1, len(values) + 1), values, color=colors, height=0.7)
        labels = [_label(name) for _, name in found]
        axes.set_yticks(range(1, len(values) + 1), labels, fontsize=9, parse_math=False)
    else:
        # One outline for all: a thousand bars take seconds to draw and show seams.
        edges = [position + 0.5 for position in range(len(values) + 1)]
        for side, color in ((max, BLUE), (min, ORANGE)):
            steps = [side(0.0, one) for one in values]
            axes.stairs(steps, edges, fill=True, color=color, orientation="horizontal")
        axes.locator_params(axis="y", integer=True)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_ylim(len(values) + 0.8, 0.2)
    gained, lost = sum(value > 0 for value in values), sum(value < 0 for value in values)
    equal = len(values) - gained - lost
    heading(axes, f"{gained} better (right of 0), {equal} equal, {lost} worse (left of 0)")
    span = max(0.05, max(0.0, *values) - min(0.0, *values))
    axes.set_xlim(min(0.0, *values) - 0.06 * span, max(0.0, *values) + 0.06 * span)
    axes.set_xlabel(f"Change of {measure}")
    axes.set_ylabel(
        f"{len(values)} {'query' if len(values) == 1 else 'queries'}, best change first"
    )
    tidy(axes, across="x")
    return figure


def _label(name: str) -> str:
    # No font has half a character.
    name = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return name if len(name) <= 16 else f"{name[:15]}…"


def rank_movement(result: EvaluationResult, system: str) -> Figure:
    """Return the rank of the first relevant document before and after, one mark per pair of ranks.

    The area of a mark grows with the number of queries that share it. Queries without a relevant
    document in a ranking stand at "none".

    Raises:
        ConfigurationError: No labelled query has both systems.
    """
    pairs = Counter(
        (
            row.systems[result.baseline].first_relevant_rank(row.qrels),
            row.systems[system].first_relevant_rank(row.qrels),
        )
        for row in result.queries
        if {result.baseline, system} <= row.systems.keys() and row.systems[system].measures
    )
    if not pairs:
        raise ConfigurationError(f"No labelled query has both {result.baseline} and {system}.")
    found = [rank for pair in pairs for rank in pair if rank is not None]
    ticks = [tick for tick in RANK_TICKS if tick <= max([*found, 10])]
    if ticks[-1] > 100:  # or those of a thousand ranks stand in each other
        ticks = [tick for tick in ticks if tick not in {3, 5, 20, 200}]
    none = max([*found, ticks[-1]]) * 2.5
    figure, axes = canvas(width=5.6, height=5.4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot([0.8, none * 1.3], [0.8, none * 1.3], color=GREY, linewidth=1, linestyle="--")
    biggest = max(pairs.values())
    marks: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for (old, new), count in pairs.items():
        x, y = none if old is None else old, none if new is None else new
        look = ("^", BLUE) if y < x else ("v", ORANGE) if y > x else ("o", GREY)
        marks.setdefault(look, []).append((x, y, 45 * max(1.0, count * min(1.0, 12 / biggest))))
    for (marker, color), points in marks.items():
        xs, ys, sizes = zip(*points, strict=True)
        axes.scatter(xs, ys, s=sizes, marker=marker, color=color, alpha=0.75, linewidth=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks([*ticks, none], [*map(str, ticks), "none"])
        axis.set_ticks([], minor=True)
    axes.set_xlim(0.8, none * 1.3)
    axes.set_ylim(none * 1.3, 0.8)  # rank 1 on top
    better = sum(n for (old, new), n in pairs.items() if (new or none) < (old or none))
    worse = sum(n for (old, new), n in pairs.items() if (new or none) > (old or none))
    equal = pairs.total() - better - worse
    counts = f"▲ {better} better, ● {equal} equal, ▼ {worse} worse"
    heading(axes, f"{counts} (area: number of queries)")
    names = in_sentence(short_names(result.systems, LONGEST_NAME))
    axes.set_xlabel(f"Rank of the first relevant document:\n{names[result.baseline]}")
    axes.set_ylabel(f"Rank of the first relevant document:\n{names[system]}")
    tidy(axes)
    return figure
