"""From rankings to a result: judge every query, then summarise, compare and split the loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from langchain_core.documents import Document

from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.data.relevance import Judgement, Relevance
from langchain_rerank.evaluation.run.stage import Found
from langchain_rerank.evaluation.score import bootstrap, statistics
from langchain_rerank.evaluation.score.measures import Measure, ceilings, value_of
from langchain_rerank.evaluation.score.results import (
    Comparison,
    Latency,
    LossSplit,
    MeasureSummary,
    QueryDifference,
    QueryRow,
    Status,
    SystemRow,
    SystemSummary,
)

_SHOWN_QUERIES = 10


def judge(
    relevance: Relevance, record: Record, keys: Sequence[str], documents: Mapping[str, Document]
) -> Judgement:
    """Return the judgement of a record over the documents `keys`."""
    return relevance.judge(record, {key: documents[key] for key in keys})


def query_row(
    record: Record,
    rankings: Mapping[str, Found],
    documents: Mapping[str, Document],
    measures: Sequence[Measure],
    relevance: Relevance,
    top_n: int | None = None,
    judgement: Judgement | None = None,
) -> QueryRow:
    """Return one query with every system judged; an invalid record has no rankings.

    Of each ranking the first `top_n` count. A `judgement` is given where more documents were seen
    than the rankings have.
    """
    if judgement is None:
        shown = dict.fromkeys(key for one in rankings.values() for key in one.keys)
        judgement = judge(relevance, record, list(shown), documents)
    labelled = relevance.rule_for(record) is not None
    systems, notes = {}, dict[str, None]()
    for name, ranking in rankings.items():
        keys = ranking.keys[:top_n]
        ids = relevance.ids(judgement, keys)
        values = {}
        for measure in measures if labelled else ():
            values[str(measure)], note = value_of(measure, ids, judgement.qrels)
            notes |= {f"{measure} {note}": None} if note else {}
        # Where repeats are left out, a score belongs to the first of its unit.
        kept = _kept(judgement, keys) if len(ids) < len(keys) else range(len(keys))
        systems[name] = SystemRow(
            ids=ids,
            scores=tuple(ranking.scores[one] for one in kept) if ranking.scores else (),
            measures=values,
            latency_ms=ranking.latency_ms,
            error=ranking.error,
            document_ids=tuple(keys[one] for one in kept),
        )
    unlabelled = None if labelled else "nothing says what is relevant to this question"
    return row_of(record, systems, judgement.qrels, unlabelled, tuple(notes))


def noted(rows: Sequence[QueryRow]) -> list[str]:
    """Return a sentence for each thing that was noted about measures, with the queries it is of."""
    queries: dict[str, list[str]] = {}
    for row in rows:
        for note in row.notes:
            queries.setdefault(note, []).append(row.query_id)
    return [
        f"{note} for {len(found)} of {len(rows)} queries ({', '.join(found[:3])}"
        f"{', ...' if len(found) > 3 else ''}), which count 0."
        for note, found in queries.items()
    ]


def _kept(judgement: Judgement, keys: Sequence[str]) -> list[int]:
    first: dict[str, int] = {}
    for position, key in enumerate(keys):
        first.setdefault(judgement.units[key], position)
    return list(first.values())


def row_of(
    record: Record,
    systems: dict[str, SystemRow],
    qrels: dict[str, int],
    unlabelled: str | None,
    notes: tuple[str, ...] = (),
) -> QueryRow:
    """Return the row of a query; `unlabelled` says why no measure has a value, where none has."""
    failed = next((f"{name}: {one.error}" for name, one in systems.items() if one.error), None)
    reasons: dict[Status, str | None] = {
        "invalid": record.problem,
        "failed": failed,
        "unlabelled": unlabelled,
    }
    fine: tuple[Status, str | None] = ("ok", None)
    status, error = next(((name, why) for name, why in reasons.items() if why), fine)
    return QueryRow(
        query_id=record.id,
        question=record.question,
        status=status,
        error=error,
        systems=systems,
        qrels=qrels,
        reference=record.reference,
        tags=record.tags,
        notes=notes,
    )


def summaries(
    rows: Sequence[QueryRow], systems: Sequence[str], measures: Sequence[Measure], seed: int = 0
) -> dict[str, SystemSummary]:
    """Return the summary of every system over the labelled queries."""
    names = [str(one) for one in measures]
    values = values_of([row for row in rows if counts(row)], systems, names)
    means = measure_summaries(values.reshape(len(values), len(systems) * len(names)), seed)
    found = {}
    for system in systems:
        ran = [row.systems[system] for row in rows if row.systems]
        found[system] = SystemSummary(
            measures={name: next(means) for name in names},
            latency=latency([one.latency_ms for one in ran]),
            failed=sum(one.error is not None for one in ran),
            empty=sum(one.error is None and not one.ids for one in ran),
        )
    return found


def measure_summaries(values: bootstrap.Floats, seed: int = 0) -> Iterator[MeasureSummary]:
    """Yield mean and interval of each column of `values`, `(n, m)`, under the same weights."""
    n = len(values)
    if not n:
        yield from [MeasureSummary(None, None, 0)] * values.shape[1]
        return
    drawn = bootstrap.draws(values, seed=seed)
    for column, one in enumerate(values.T):
        bounded = bootstrap.covered(one, bootstrap.MEANS)
        ci = drawn.interval(column, bootstrap.MEANS) if bounded else None
        yield MeasureSummary(bootstrap.mean(one.tolist()), ci, n)


def values_of(
    rows: Sequence[QueryRow], systems: Sequence[str], names: Sequence[str]
) -> bootstrap.Floats:
    """Return the values `(queries, systems, measures)` of labelled rows."""
    return np.array(
        [[[row.systems[s].measures[name] for name in names] for s in systems] for row in rows],
        dtype=np.float64,
    ).reshape(len(rows), len(systems), len(names))


def counts(row: QueryRow) -> bool:
    """Whether a query is in the means: a failed one is, with 0; one without labels is not."""
    return any(one.measures for one in row.systems.values())


def latency(times: Sequence[Mapping[str, float]]) -> dict[str, Latency]:
    """Return the latency by stage over the queries that were timed."""
    found = {}
    for stage in dict.fromkeys(stage for one in times for stage in one):
        values = [one[stage] for one in times if stage in one]
        p50, p90, p95 = (float(one) for one in np.percentile(values, [50, 90, 95]))
        found[stage] = Latency(p50, p90, p95, bootstrap.mean(values), len(values))
    return found


def comparisons(
    rows: Sequence[QueryRow],
    summary: Mapping[str, SystemSummary],
    baseline: str,
    systems: Sequence[str],
    measures: Sequence[str],
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Return each of `systems` against the baseline by each measure, which is named.

    `p_holm` is empty until `adjusted` has all comparisons of a report. Nothing is compared where no
    query counts.
    """
    counted = [row for row in rows if counts(row)]
    if not counted:
        return ()
    values = values_of(counted, [baseline, *systems], measures)
    columns = {
        (system, name): (values[:, place, column].tolist(), values[:, 0, column].tolist())
        for column, name in enumerate(measures)
        for place, system in enumerate(systems, 1)
    }
    pairs = statistics.paired(columns, seed=seed)
    found = []
    for (system, measure), (ours, theirs) in columns.items():
        changes = sorted(
            (
                QueryDifference(row.query_id, row.question, a - b)
                for row, a, b in zip(counted, ours, theirs, strict=True)
                if a != b
            ),
            key=lambda one: one.difference,
        )
        pair, base = pairs[system, measure], bootstrap.mean(theirs)
        added_ms, latency_factor = _cost(summary[system], summary[baseline])
        found.append(
            Comparison(
                system=system,
                baseline=baseline,
                measure=measure,
                baseline_mean=base,
                mean=bootstrap.mean(ours),
                **vars(pair),
                p_holm=None,
                improvement_percent=100.0 * pair.difference / base if base else None,
                gained=tuple(one for one in changes[::-1] if one.difference > 0)[:_SHOWN_QUERIES],
                lost=tuple(one for one in changes if one.difference < 0)[:_SHOWN_QUERIES],
                added_ms=added_ms,
                latency_factor=latency_factor,
                note=statistics.too_few_queries(len(counted)),
            )
        )
    return tuple(found)


def adjusted(
    compared: Sequence[Comparison], beside: Sequence[float | None] = ()
) -> tuple[Comparison, ...]:
    """Return all comparisons of a report with Holm's correction over them and p values beside."""
    corrected = statistics.holm([*(one.p_value for one in compared), *beside])
    return tuple(
        replace(one, p_holm=p_holm) for one, p_holm in zip(compared, corrected, strict=False)
    )


def _cost(system: SystemSummary, baseline: SystemSummary) -> tuple[float | None, float | None]:
    ours, theirs = system.median_ms, baseline.median_ms
    if ours is None or theirs is None:
        return None, None
    return ours - theirs, ours / theirs if theirs else None


def loss_split(
    rows: Sequence[QueryRow],
    candidates: Mapping[str, Sequence[str]],
    systems: Sequence[str],
    measures: Sequence[Measure],
    k: int,
    top_n: int | None = None,
) -> tuple[LossSplit, ...]:
    """Return what the first stage missed and what each system misordered, by measure.

    `candidates` are units in first-stage order by query id, which the systems reorder.
    """
    counted = [row for row in rows if counts(row)]
    found = []
    for measure in measures:
        name = str(measure)
        if not counted or name.startswith("Judged"):
            continue
        best, reach = mean_ceilings(counted, candidates, measure, top_n)
        for system in systems:
            actual = bootstrap.mean([row.systems[system].measures[name] for row in counted])
            found.append(LossSplit(system, name, k, best, actual, reach - best, best - actual))
    return tuple(found)


def mean_ceilings(
    rows: Sequence[QueryRow],
    candidates: Mapping[str, Sequence[str]],
    measure: Measure,
    top_n: int | None,
) -> tuple[float, float]:
    """Return the means of `measures.ceilings` over rows that count, at least one.

    `candidates` are units by query id.
    """
    # R@1 of three relevant documents is a third at most: nobody's loss.
    both = [ceilings(measure, candidates[one.query_id], one.qrels, top_n) for one in rows]
    best, reach = (bootstrap.mean(one) for one in zip(*both, strict=True))
    return best, reach
