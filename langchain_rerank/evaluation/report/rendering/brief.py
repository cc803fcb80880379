"""A view of many systems for a terminal: one line each; the files have everything."""

from __future__ import annotations

from dataclasses import replace

from langchain_rerank.evaluation.report.rendering.tables import Table
from langchain_rerank.evaluation.report.rendering.view import View, view
from langchain_rerank.evaluation.report.rendering.words import (
    NOTHING,
    between,
    fraction,
    milliseconds,
    p_value,
    short_names,
    signed,
    system_label,
)
from langchain_rerank.evaluation.score.results import EvaluationResult

MANY = 4  # systems, the first stage among them: from here on, whole tables run off the screen


def brief(result: EvaluationResult) -> View:
    """Return what a terminal has room for of a result with many systems.

    One table: the main measure, its difference to the baseline with interval and p, the means of
    the other measures, and time; the baseline first, then the best.
    """
    main, *others = result.measures
    names = short_names(result.systems)
    compared = {
        one.system: one
        for one in result.comparisons
        if (one.measure, one.baseline) == (main, result.baseline)
    }

    def mean(system: str, measure: str) -> float | None:
        summary = result.systems[system].measures.get(measure)
        return None if summary is None else summary.mean

    rows = []
    for system in sorted(
        result.systems, key=lambda one: (one != result.baseline, -(mean(one, main) or 0.0))
    ):
        one, total = compared.get(system), result.systems[system].latency.get("total")
        interval = "" if one is None or one.ci is None else f" {between(one.ci, signed)}"
        means = [mean(system, measure) for measure in (main, *others)]
        shown = [NOTHING if value is None else fraction(value) for value in means]
        rows.append(
            (
                names[system],
                shown[0],
                NOTHING if one is None else f"{signed(one.difference)}{interval}",
                NOTHING if one is None else p_value(one.p_holm),
                *shown[1:],
                milliseconds(total.p50) if total else NOTHING,
            )
        )
    whole = view(result)
    note = whole.tables[0].note or ""
    table = Table(
        caption=f"{len(result.systems)} systems",
        columns=("System", main, "Difference", "p", *others, "Median time"),
        rows=tuple(rows),
        note=f"{note} Difference: to {system_label(result.baseline)} by {main}, with its 95 % "
        f"interval; p is adjusted for all comparisons (Holm). The report's files have every "
        f"measure, the latencies and the queries.".strip(),
    )
    return replace(whole, tables=(table,), extremes=())
