"""From cells to a report: means with intervals, paired differences, what failed and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.ragas.gathering import Gathered
from langchain_rerank.evaluation.ragas.metrics import Cell, Metric
from langchain_rerank.evaluation.ragas.report import RagasReport, texts_of
from langchain_rerank.evaluation.report.rendering.words import system_label
from langchain_rerank.evaluation.run.environment import environment
from langchain_rerank.evaluation.score import assemble
from langchain_rerank.evaluation.score.results import (
    Comparison,
    QueryRow,
    SystemRow,
    SystemSummary,
)

_REASONS_SHOWN = 3


def report_of(
    gathered: Gathered,
    cells: Sequence[Cell],
    metrics: Sequence[Metric],
    *,
    seed: int,
    started: str,
    settings: Mapping[str, Any],
) -> RagasReport:
    """Return the report on what was gathered and judged, by metrics of which the first is main."""
    dataset, rows = gathered.dataset, gathered.rows
    baseline, *others = rows
    values = {
        (one.system, one.query_id, one.metric): one.value for one in cells if one.value is not None
    }
    queries = tuple(_query(record, gathered, values, metrics) for record in dataset.records)
    summary = {name: _system(name, queries, metrics, seed) for name in rows}
    said = [one for one in metrics if any(s.measures[one.name].n for s in summary.values())]
    return RagasReport(
        title=f"RAGAS metrics on {dataset.name}",
        baseline=baseline,
        measures=tuple(one.name for one in said or metrics),
        systems=summary,
        comparisons=assemble.adjusted(
            [
                found
                for one in said
                for found in _comparisons(one, queries, summary, baseline, others, seed)
            ]
        ),
        queries=queries,
        settings={"dataset": dataset.name, "queries": len(dataset), "seed": seed, **settings},
        environment=environment(started),
        warnings=(*dataset.warnings, *_warnings(cells, metrics, list(rows)), *gathered.warnings),
        texts=texts_of({name: by_query.values() for name, by_query in rows.items()}),
        cells=tuple(cells),
        rows={name: tuple(by_query.values()) for name, by_query in rows.items()},
    )


def _query(
    record: Record,
    gathered: Gathered,
    values: Mapping[tuple[str, str, str], float],
    metrics: Sequence[Metric],
) -> QueryRow:
    systems = {}
    qrels: dict[str, int] = {}
    for name, by_query in gathered.rows.items():
        row = by_query.get(record.id)
        if row is None:
            continue
        qrels |= dict.fromkeys(row.reference_context_ids or (), 1)
        systems[name] = SystemRow(
            # A chunk may come twice, or two chunks of one source: a ranking has each id once.
            ids=tuple(dict.fromkeys(row.retrieved_context_ids or ())),
            measures={
                one.name: values[name, record.id, one.name]
                for one in metrics
                if (name, record.id, one.name) in values
            },
            error=gathered.errors.get((name, record.id)),
        )
    judged = any(one.measures for one in systems.values())
    unlabelled = None if judged else "no metric has a value for this question"
    return assemble.row_of(record, systems, qrels, unlabelled)


def _system(
    name: str, queries: Sequence[QueryRow], metrics: Sequence[Metric], seed: int
) -> SystemSummary:
    ran = [one.systems[name] for one in queries if name in one.systems]
    measures = {}
    for metric in metrics:
        values = [one.measures[metric.name] for one in ran if metric.name in one.measures]
        column = np.array(values, dtype=np.float64).reshape(-1, 1)
        measures[metric.name] = next(assemble.measure_summaries(column, seed))
    return SystemSummary(
        measures=measures,
        failed=sum(one.error is not None for one in ran),
        empty=sum(one.error is None and not one.ids for one in ran),
    )


def _comparisons(
    metric: Metric,
    queries: Sequence[QueryRow],
    summary: Mapping[str, SystemSummary],
    baseline: str,
    systems: Sequence[str],
    seed: int,
) -> Iterable[Comparison]:
    # Paired: only questions to which the metric has an answer through every system.
    names = [baseline, *systems]
    paired = [
        one
        for one in queries
        if all(name in one.systems and metric.name in one.systems[name].measures for name in names)
    ]
    for one in assemble.comparisons(paired, summary, baseline, systems, [metric.name], seed):
        if metric.lower_is_better:
            yield replace(one, wins=one.losses, losses=one.wins, gained=one.lost, lost=one.gained)
        else:
            yield one


def _warnings(
    cells: Sequence[Cell], metrics: Sequence[Metric], systems: Sequence[str]
) -> Iterable[str]:
    for metric in metrics:
        own = [one for one in cells if one.metric == metric.name]
        for status, words in (("failed", "failed"), ("not_applicable", "not applicable")):
            found = [one for one in own if one.status == status]
            if not found:
                continue
            by_system = Counter(one.system for one in found)
            where = ", ".join(
                f"{system_label(one)} {by_system[one]}" for one in systems if by_system[one]
            )
            reasons = Counter(one.reason for one in found).most_common()
            shown = "; ".join(f"{count} x {reason}" for reason, count in reasons[:_REASONS_SHOWN])
            more = len(reasons) - _REASONS_SHOWN
            yield (
                f"{metric.name}: {len(found)} of {len(own)} cells {words} ({where}) and in no "
                f"mean: {shown}{f'; {more} more reasons' if more > 0 else ''}."
            )
