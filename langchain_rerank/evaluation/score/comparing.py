"""Systems against a baseline, paired over queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from langchain_rerank.evaluation.score import bootstrap, statistics
from langchain_rerank.evaluation.score.assemble import counts
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

    def values(system: str, measure: str) -> list[float]:
        return [row.systems[system].measures[measure] for row in counted]

    names = [str(one) for one in measures]
    theirs = {name: values(baseline, name) for name in names}
    ours = {(s, name): values(s, name) for name in names for s in systems}
    pairs = statistics.paired({key: (one, theirs[key[1]]) for key, one in ours.items()}, seed=seed)
    return tuple(
        _comparison(
            (system, baseline, name),
            counted,
            (ours[system, name], theirs[name]),
            pairs[system, name],
            _cost(summary[system], summary[baseline]),
        )
        for name in names
        for system in systems
    )


def _comparison(
    named: tuple[str, str, str],
    rows: Sequence[QueryRow],
    values: tuple[Sequence[float], Sequence[float]],
    pair: statistics.Paired,
    cost: tuple[float | None, float | None],
) -> Comparison:
    """Return a comparison: system, baseline and measure, by their values of the same rows."""
    ours, theirs = values
    changes = sorted(
        (
            QueryDifference(row.query_id, row.question, a - b)
            for row, a, b in zip(rows, ours, theirs, strict=True)
            if a != b
        ),
        key=lambda one: one.difference,
    )
    base = bootstrap.mean(theirs)
    system, baseline, measure = named
    return Comparison(
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
        added_ms=cost[0],
        latency_factor=cost[1],
        note=statistics.too_few_queries(len(rows)),
    )


def adjusted(
    compared: Sequence[Comparison], beside: Sequence[float | None] = ()
) -> tuple[Comparison, ...]:
    """Return all comparisons of a report with Holm's correction over all of them.

    Args:
        compared: The comparisons.
        beside: p values of what else the report compares.
    """
    corrected = statistics.holm([*(one.p_value for one in compared), *beside])
    return tuple(
        replace(one, p_holm=p_holm) for one, p_holm in zip(compared, corrected, strict=False)
    )


def _cost(system: SystemSummary, baseline: SystemSummary) -> tuple[float | None, float | None]:
    ours, theirs = system.latency.get("total"), baseline.latency.get("total")
    if ours is None or theirs is None:
        return None, None
    return ours.p50 - theirs.p50, ours.p50 / theirs.p50 if theirs.p50 else None
