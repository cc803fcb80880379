"""What a reader should see of a result: sentences first, then tables of finished text.

Every renderer shows this one view, so that the terminal, the Markdown and the page say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from langchain_rerank.evaluation.report.rendering.depth_tables import depth_tables
from langchain_rerank.evaluation.report.rendering.sentences import headlines
from langchain_rerank.evaluation.report.rendering.tables import (
    CEILING,
    Table,
    cut_short,
    mean_with_interval,
)
from langchain_rerank.evaluation.report.rendering.words import (
    NOTHING,
    between,
    fraction,
    milliseconds,
    p_value,
    percent,
    signed,
    system_label,
)
from langchain_rerank.evaluation.score.results import (
    STAGES,
    Comparison,
    EvaluationResult,
)

STAGE_LABELS = {"first_stage": "first stage", "rerank": "rerank", "total": "total"}
COMPARED = (
    "In brackets the 95 % interval of the difference; p is the smallest error at which it excludes "
    "0, and better or worse is said where that is below 0.05."
)
ADJUSTED = "p is adjusted for all comparisons of this report (Holm), the interval is not."


@dataclass(frozen=True)
class View:
    """A result as text, in reading order.

    Attributes:
        title: What was evaluated.
        headlines: The answer in sentences.
        warnings: What a reader must know.
        tables: The figures.
        extremes: The queries that gained and lost most.
        facts: Settings and environment, by name.
    """

    title: str
    headlines: tuple[str, ...]
    warnings: tuple[str, ...]
    tables: tuple[Table, ...]
    extremes: tuple[Table, ...]
    facts: tuple[tuple[str, str], ...]


def view(result: EvaluationResult) -> View:
    """Return what a reader should see of `result`."""
    tables = [_systems(result)]
    if result.sweep is not None:
        tables.extend(depth_tables(result.sweep, result.settings.get("top_n")))
    several = len(result.comparisons) > 1 or result.sweep is not None
    note = f"{COMPARED} {ADJUSTED}" if several else COMPARED
    for baseline in dict.fromkeys(one.baseline for one in result.comparisons):
        found = [one for one in result.comparisons if one.baseline == baseline]
        tables.append(_comparisons(found, several=several, note=note))
        note = ""  # once
    if result.loss_split:
        tables.append(_losses(result))
    if any(summary.latency for summary in result.systems.values()):
        tables.append(_latency(result))
    return View(
        title=result.title,
        headlines=tuple(headlines(result)),
        warnings=result.warnings,
        tables=tuple(tables),
        extremes=tuple(_extremes(result)),
        facts=tuple(_facts(result)),
    )


def _systems(result: EvaluationResult) -> Table:
    summaries = result.systems.values()
    columns = ["System", *result.measures, "Median time"]
    # Nearly always zero: columns of their own only where there is something to see.
    counts = [
        (heading, [getattr(one, heading.lower()) for one in summaries])
        for heading in ("Failed", "Empty")
    ]
    counts = [(heading, values) for heading, values in counts if any(values)]
    rows = []
    for position, (name, summary) in enumerate(result.systems.items()):
        total = summary.latency.get("total")
        rows.append(
            (
                system_label(name),
                # On two lines, so that three measures fit in a narrow terminal.
                *(
                    mean_with_interval(summary.measures.get(measure), "\n")
                    for measure in result.measures
                ),
                milliseconds(total.p50) if total else NOTHING,
                *(str(values[position]) for _, values in counts),
            )
        )
    labelled = max((one.n for summary in summaries for one in summary.measures.values()), default=0)
    apart = ", ".join(
        f"{result.counts[status]} {status}"
        for status in ("unlabelled", "invalid")
        if result.counts[status]
    )
    notes = [f"Means over {labelled} labelled queries, each with its 95 % interval."]
    if apart:
        notes.append(f"In no mean: {apart}.")
    if result.decision is not None and result.sweep is None:
        top_n = result.settings.get("top_n")
        notes += cut_short([result.decision.compared_k], result.measures, top_n)
    return Table(
        caption="Systems",
        columns=(*columns, *(heading for heading, _ in counts)),
        rows=tuple(rows),
        note=" ".join(notes),
    )


def _comparisons(comparisons: Sequence[Comparison], *, several: bool, note: str) -> Table:
    rows = [
        (
            system_label(one.system),
            one.measure,
            signed(one.difference) + ("" if one.ci is None else f" {between(one.ci, signed)}"),
            percent(one.improvement_percent),
            p_value(one.p_holm if several else one.p_value),
            f"{one.wins}/{one.ties}/{one.losses}",
        )
        for one in comparisons
    ]
    return Table(
        caption=f"Against {system_label(comparisons[0].baseline)}, paired over queries",
        columns=(
            "System",
            "Measure",
            "Difference",
            "Change",
            "p",
            "Better / equal / worse",
        ),
        words=2,
        rows=tuple(rows),
        note=note or None,
    )


def _losses(result: EvaluationResult) -> Table:
    return Table(
        caption="What is missing to a perfect score",
        columns=("System", "Measure", "K", "Reached", "Ceiling", "Not retrieved", "Misordered"),
        words=2,
        rows=tuple(
            (
                system_label(one.system),
                one.measure,
                str(one.k),
                fraction(one.actual),
                fraction(one.oracle),
                fraction(one.missed),
                fraction(one.misordered),
            )
            for one in result.loss_split
        ),
        note=None if result.sweep is not None else CEILING,  # the sweep's table has it
    )


def _latency(result: EvaluationResult) -> Table:
    rows = [
        (
            system_label(name),
            STAGE_LABELS.get(stage, stage),
            *(milliseconds(value) for value in (one.p50, one.p90, one.p95, one.mean)),
            str(one.n),
        )
        for name, summary in result.systems.items()
        for stage, one in sorted(summary.latency.items(), key=lambda item: _stage_order(item[0]))
    ]
    return Table(
        caption="Time per query",
        columns=("System", "Stage", "p50", "p90", "p95", "Mean", "Queries"),
        words=2,
        rows=tuple(rows),
    )


def _stage_order(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def _extremes(result: EvaluationResult) -> Iterable[Table]:
    for one in result.comparisons:
        if (one.measure, one.baseline) != (result.measures[0], result.baseline):
            continue
        for word, queries in (("gained", one.gained), ("lost", one.lost)):
            if queries:
                yield Table(
                    caption=f"{system_label(one.system)}: {word} most",
                    columns=("Query", "Question", one.measure),
                    rows=tuple((q.query_id, q.question, signed(q.difference)) for q in queries),
                    words=2,
                )


def _facts(result: EvaluationResult) -> Iterable[tuple[str, str]]:
    for group in (result.settings, result.environment):
        for key, value in group.items():
            yield from _flat(key, value)


def _flat(key: str, value: object) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for inner, one in value.items():
            yield from _flat(f"{key}.{inner}", one)
    elif isinstance(value, (list, tuple)):
        yield key, ", ".join(str(one) for one in value)
    else:
        yield key, NOTHING if value is None else str(value)
