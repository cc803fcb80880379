"""What a reader should see: systems side by side, a metric a line, since RAGAS's names are long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from langchain_rerank.evaluation.ragas.metrics import METRICS
from langchain_rerank.evaluation.report.rendering.tables import Table, mean_of
from langchain_rerank.evaluation.report.rendering.view import View, view
from langchain_rerank.evaluation.report.rendering.words import (
    NOTHING,
    between,
    p_is,
    signed,
    system_label,
)
from langchain_rerank.evaluation.score.results import Comparison, EvaluationResult, SystemSummary

_NARROW = 24  # characters of a name that leave room for figures in 80 columns


def side_by_side(result: EvaluationResult, *, narrow: bool = False) -> View:
    """Return the view of a result with one line per metric in place of one column.

    Args:
        result: The result.
        narrow: Whether long names are broken into lines, for a terminal.
    """
    found = view(result)
    several = len(result.systems) > 2
    # With two systems the differences stand in the table itself.
    rest = [one for one in found.tables[1:] if several or not one.caption.startswith("Against")]
    return replace(found, tables=(_metrics(result, several, narrow), *rest))


def _metrics(result: EvaluationResult, several: bool, narrow: bool) -> Table:
    compared = {one.measure: one for one in result.comparisons}
    columns: list[tuple[str, Callable[[str], str]]] = [("Metric", _broken if narrow else str)]
    columns += [(system_label(one), partial(_mean, found)) for one, found in result.systems.items()]
    if not several:
        columns.append(("Difference", lambda name: _difference(compared.get(name))))
    lower = [one for one in result.measures if one in METRICS and METRICS[one].lower_is_better]
    return Table.of(
        "RAGAS metrics",
        result.measures,
        columns,
        note=" ".join(
            [
                "Means with 95 % intervals, over questions that have a value.",
                "Differences are over those that have one through every system.",
                "p is adjusted for all of them (Holm), the interval is not.",
                *(f"{one} is better the lower it is." for one in lower),
            ]
        ),
    )


def _mean(summary: SystemSummary, metric: str) -> str:
    return mean_of(summary.measures[metric], "\n")


def _difference(one: Comparison | None) -> str:
    if one is None:
        return NOTHING
    p = "" if one.p_holm is None else f" ({p_is(one.p_holm)})"
    interval = "" if one.ci is None else f"\n{between(one.ci, signed)}"
    return f"{signed(one.difference)}{p}{interval}"


def _broken(name: str) -> str:
    r"""Return a long name on two lines.

    Examples:
        >>> _broken("non_llm_context_precision_with_reference")
        'non_llm_context_\nprecision_with_reference'
    """
    if len(name) <= _NARROW:
        return name
    cut = name.rfind("_", 0, _NARROW) + 1
    return f"{name[:cut]}\n{name[cut:]}"
