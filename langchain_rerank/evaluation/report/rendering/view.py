"""What a reader should see of a result: sentences first, then tables of finished text.

Every renderer shows this one view, so that the terminal, the Markdown and the page say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from langchain_rerank.evaluation.report.rendering.sentences import headlines
from langchain_rerank.evaluation.report.rendering.words import (
    NOTHING,
    between,
    fraction,
    milliseconds,
    p_value,
    percent,
    signed,
    system_label,
    yes_no,
)
from langchain_rerank.evaluation.score.results import (
    STAGES,
    Comparison,
    EvaluationResult,
    MeasureSummary,
    Sweep,
)

STAGE_LABELS = {"first_stage": "first stage", "rerank": "rerank", "total": "total"}
CEILING = (
    "Ceiling: the best order of the K candidates. Not retrieved is the first stage's to improve, "
    "misordered is the reranker's. What no ranking can reach (R@1 of three relevant documents is a "
    "third at most) is in neither."
)


@dataclass(frozen=True)
class Table:
    """A table of finished text.

    Attributes:
        caption: What it shows.
        columns: `(m,)` headings, with units.
        rows: `(n,)` rows of `m` cells.
        words: How many of the first columns are words, which name the row; the others are figures.
        chosen: Which row (0-based) to point out; None for no row.
        note: How to read it; None where it needs no explanation.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    chosen: int | None = None
    note: str | None = None


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
        tables.extend(_sweep(result.sweep))
    tables.extend(
        _comparisons([one for one in result.comparisons if one.baseline == baseline])
        for baseline in dict.fromkeys(one.baseline for one in result.comparisons)
    )
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


def _mean(summary: MeasureSummary | None, separator: str = " ") -> str:
    if summary is None:
        return NOTHING
    return f"{fraction(summary.mean)}{separator}{between(summary.ci)}"


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
                *(_mean(summary.measures.get(measure), "\n") for measure in result.measures),
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
    note = f"Means over {labelled} labelled queries with 95 % bootstrap intervals."
    return Table(
        caption="Systems",
        columns=(*columns, *(heading for heading, _ in counts)),
        rows=tuple(rows),
        note=f"{note} In no mean: {apart}." if apart else note,
    )


def _comparisons(comparisons: Sequence[Comparison]) -> Table:
    several = len({one.system for one in comparisons}) > 1
    rows = []
    for one in comparisons:
        row = [
            system_label(one.system),
            one.measure,
            f"{signed(one.difference)} {between(one.ci, signed)}",
            percent(one.improvement_percent),
            p_value(one.p_value),
            f"{one.wins}/{one.ties}/{one.losses}",
        ]
        if several:
            row.insert(5, p_value(one.p_holm))
        rows.append(tuple(row))
    columns = ["System", "Measure", "Difference", "Change", "p", "Better / equal / worse"]
    if several:
        columns.insert(5, "p (Holm)")
    notes = dict.fromkeys(one.note for one in comparisons if one.note)
    return Table(
        caption=f"Against {system_label(comparisons[0].baseline)}, paired over queries",
        columns=tuple(columns),
        words=2,
        rows=tuple(rows),
        note=" ".join(notes) or None,
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
        note=CEILING,
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


def _sweep(sweep: Sweep) -> list[Table]:
    quality, choice = [], []
    for point in sweep.points:
        total = point.latency.get("total")
        quality.append(
            (
                str(point.k),
                _mean(point.measures.get(sweep.measure)),
                *(fraction(one) for one in (point.oracle, point.missed, point.misordered)),
            )
        )
        choice.append(
            (
                str(point.k),
                fraction(point.loss_upper),
                yes_no(point.within_margin),
                milliseconds(total.p50) if total else NOTHING,
                milliseconds(total.p95) if total else NOTHING,
                yes_no(point.within_budget),
                yes_no(point.pareto),
                f"{point.selected_share:.0%}",
            )
        )
    chosen = [point.k for point in sweep.points].index(sweep.recommended_k)
    return [
        Table(
            caption=f"{sweep.measure} by first-stage depth K",
            columns=("K", sweep.measure, "Ceiling", "Not retrieved", "Misordered"),
            rows=tuple(quality),
            chosen=chosen,
            note=CEILING,
        ),
        Table(
            caption="Which K to use",
            columns=(
                "K",
                "Loss at most",
                f"Within {sweep.margin:g}",
                "p50",
                "p95",
                "In budget",
                "Pareto",
                "Chosen",
            ),
            rows=tuple(choice),
            chosen=chosen,
            note="Loss at most: one-sided 95 % bound on the loss against the best K. Chosen: share "
            "of bootstrap samples of the queries that choose this K. " + " ".join(sweep.checks),
        ),
    ]


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
