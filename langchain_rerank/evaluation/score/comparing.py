"""Systems against a baseline, paired over queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from langchain_rerank.evaluation.score import bootstrap, statistics
from langchain_rerank.evaluation.score.assemble import counts, values_of
from langchain_rerank.evaluation.score.measures import Measure
from langchain_rerank.evaluation.score.results import (
    Comparison,
    QueryDifference,
    QueryRow,
    SystemSummary,
)

_SHOWN_QUERIES = 10


def comparisons(
    rows: Sequence[QueryRow],
    summary: Mapping[str, SystemSummary],
    baseline: str,
    systems: Sequence[str],
    measures: Sequence[Measure],
    seed: int = 0,
) -> tuple[Comparison, ...]:
    """Return each of `systems` against the baseline by each measure.

    `p_holm` is empty until `adjusted` has all comparisons of a report. Nothing is compared where no
    query counts.
    """
    counted = [row for row in rows if counts(row)]
    if not counted:
        return ()

    names = [str(one) for one in measures]
    values = values_of(counted, [baseline, *systems], names)
    columns = {
        (system, name): (values[:, place, column].tolist(), values[:, 0, column].tolist())
        for column, name in enumerate(names)
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
    ours, theirs = system.latency.get("total"), baseline.latency.get("total")
    if ours is None or theirs is None:
        return None, None
    return ours.p50 - theirs.p50, ours.p50 / theirs.p50 if theirs.p50 else None
