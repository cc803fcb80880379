"""Whether a system got worse: an assertion for a continuous-integration run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_rerank import checks
from langchain_rerank.errors import ConfigurationError, RegressionError
from langchain_rerank.evaluation.report.rendering.words import (
    fraction,
    interval_of,
    p_value,
    signed,
)
from langchain_rerank.evaluation.score import statistics
from langchain_rerank.evaluation.score.bootstrap import SIGNIFICANT, Interval, mean

if TYPE_CHECKING:
    from langchain_rerank.evaluation.score.results import EvaluationResult

logger = logging.getLogger(__name__)

WORST_SHOWN = 5
ROUNDING = 1e-12  # a fall of exactly the margin is no regression, whatever the last bit says


@dataclass(frozen=True)
class _Pairs:
    """The values of one system, and `then` of the `reference`: `(n,)` of the queries of both."""

    system: str
    reference: str
    queries: tuple[str, ...]
    now: tuple[float, ...]
    then: tuple[float, ...]


def check_no_regression(
    result: EvaluationResult,
    measure: str,
    margin: float,
    system: str | None = None,
    against: EvaluationResult | None = None,
) -> None:
    """Raise when a system is worse by more than `margin`.

    What was observed decides, so that a run of the same questions always ends the same; the message
    says whether so few questions could show it, by the rules of every comparison (`statistics`).

    Arguments and errors are those of `Report.assert_no_regression`. Two reports are compared over
    the questions (id and text) that both have a value for; a warning in the log says where those
    are not all.
    """
    if (given := checks.real_number(margin)) is None or not given >= 0.0:
        raise ConfigurationError(f"margin must be at least 0, got {checks.shown(margin)}.")
    refuse_invalid(result)
    compared = [
        _paired(result, name, other, reference, measure)
        for name, reference, other in _systems(result, system, against)
    ]
    if not compared:
        raise ConfigurationError(
            f"There is nothing to compare: the systems are {_names(result)}"
            f"{f' and in the earlier report {_names(against)}' if against else ''}."
        )
    if against is not None and system is None:
        _check_new_systems(result, [one.system for one in compared], against)
    if not any(value for one in compared for value in (*one.now, *one.then)):
        raise ConfigurationError(
            f"Every {measure} is 0, now and before, so nothing could fall. Check that the labels "
            f"match the documents."
        )
    falls = [
        _fall(one, measure, ci, p)
        for one, (ci, p) in zip(
            compared, _evidence(result, compared, measure, against), strict=True
        )
        if mean(one.then) - mean(one.now) > margin + ROUNDING
    ]
    if falls:
        raise RegressionError(
            f"{measure} fell by more than the margin of {margin:g}: {'; '.join(falls)}."
        )


def _check_new_systems(
    result: EvaluationResult, compared: Sequence[str], against: EvaluationResult
) -> None:
    """Say which systems the earlier report has not."""
    new = [one for one in result.systems if one not in against.systems]
    if new and set(compared) <= {result.baseline}:
        raise ConfigurationError(
            f"Nothing of what is to be checked is in the earlier report: it has "
            f"{_names(against)}, and this one {_names(result)}. Call the same system by the same "
            f"name in both."
        )
    if new and len(compared) > 1:
        logger.warning("%s cannot be compared: the earlier report has no such system.", new)


def refuse_invalid(result: EvaluationResult) -> None:
    """Refuse a result of which most records could not be used: the others say little of them.

    Raises:
        ConfigurationError: They are more than half.
    """
    invalid = result.counts["invalid"]
    if 2 * invalid > len(result.queries):
        first = next(row for row in result.queries if row.status == "invalid")
        raise ConfigurationError(
            f"{invalid} of {len(result.queries)} records could not be used, so the others say "
            f"little about them. The first, {first.query_id!r}: "
            f"{(first.error or '').rstrip('.')}. Mend the data set."
        )


def _names(result: EvaluationResult) -> str:
    return ", ".join(result.systems) or "none"


def _systems(
    result: EvaluationResult, system: str | None, against: EvaluationResult | None
) -> Iterator[tuple[str, str, EvaluationResult]]:
    """Yield (system, what it is compared with, where that stands)."""
    if system is not None and system not in result.systems:
        raise ConfigurationError(
            f"There is no system {system!r} in this report; it has {_names(result)}."
        )
    for name in result.systems if system is None else [system]:
        if against is None:
            if name != result.baseline:
                yield name, result.baseline, result
        elif name in against.systems:
            yield name, name, against


def _paired(
    result: EvaluationResult, system: str, other: EvaluationResult, reference: str, measure: str
) -> _Pairs:
    """Return the values of the questions that both have a value for."""
    now = _values(result, system, measure)
    then = now if other is result and reference == system else _values(other, reference, measure)
    shared = [one for one in now if one in then]
    if not shared:
        raise ConfigurationError(
            f"The two reports share no question: this one has {_examples(list(now))}, the earlier "
            f"one {_examples(list(then))}. Compare runs on the same questions, with the same ids."
            if other is not result
            else f"No query has {measure} for both {system} and {reference}."
        )
    if other is not result and len(shared) < max(len(now), len(then)):
        counts = (len(shared), len(now), len(then))
        logger.warning(
            "%s of %s is compared over the %d questions that both reports have; this one has %d, "
            "the earlier one %d.",
            *(measure, system, *counts),
        )
    return _Pairs(
        system,
        reference if other is result else "the earlier report",
        tuple(query for query, _ in shared),
        tuple(now[one] for one in shared),
        tuple(then[one] for one in shared),
    )


def _values(result: EvaluationResult, system: str, measure: str) -> dict[tuple[str, str], float]:
    """Return the value of each question, by its id and text."""
    summary = result.systems[system].measures.get(measure)
    if summary is None:
        raise ConfigurationError(
            f"{measure} was not measured; this report has {', '.join(result.measures)}."
        )
    if summary.n == 0:
        raise ConfigurationError(
            f"No query is labelled, so the {measure} of {system} says nothing. "
            f"Check that the ids of the labels are those of the documents."
        )
    return {
        (row.query_id, row.question): row.systems[system].measures[measure]
        for row in result.queries
        if system in row.systems and measure in row.systems[system].measures
    }


def _examples(questions: Sequence[tuple[str, str]]) -> str:
    shown = ", ".join(f"{query} ({text[:40]!r})" for query, text in questions[:2])
    return f"{len(questions)} such as {shown}" if questions else "none with a value"


def _evidence(
    result: EvaluationResult,
    compared: Sequence[_Pairs],
    measure: str,
    against: EvaluationResult | None,
) -> list[tuple[Interval | None, float | None]]:
    """Return interval and adjusted p value of each: within a report, those that it shows."""
    if against is None:
        shown = {
            one.system: (one.ci, one.p_value if one.p_holm is None else one.p_holm)
            for one in result.comparisons
            if (one.baseline, one.measure) == (result.baseline, measure)
        }
        return [shown.get(one.system, (None, None)) for one in compared]
    tested = [statistics.paired({0: (one.now, one.then)})[0] for one in compared]
    p_holm = statistics.holm([one.p_value for one in tested])
    return [(one.ci, p) for one, p in zip(tested, p_holm, strict=True)]


def _fall(one: _Pairs, measure: str, ci: Interval | None, p: float | None) -> str:
    now, then = mean(one.now), mean(one.then)
    changes = sorted(
        (b - a, query) for a, b, query in zip(one.then, one.now, one.queries, strict=True)
    )
    better, worse = sum(by > 0 for by, _ in changes), sum(by < 0 for by, _ in changes)
    evidence = ""
    if ci is not None and p is not None:
        shown = "show" if p < SIGNIFICANT and ci[1] < 0 else "do not show"
        evidence = (
            f"{interval_of(ci)}, p {p_value(p)}, so {len(changes)} questions {shown} that it is "
            f"more than chance"
        )
    fell = [f"{name} {signed(value)}" for value, name in changes[:WORST_SHOWN] if value < 0]
    return (
        f"{one.system} has {measure} {fraction(now)} where {one.reference} has {fraction(then)} "
        f"(difference {signed(now - then)}){evidence}, {better} queries better, "
        f"{len(changes) - better - worse} equal, {worse} worse, worst: {', '.join(fell)}"
    )
