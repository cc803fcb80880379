"""Whether a system got worse: an assertion for a continuous-integration run."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from langchain_rerank import checks
from langchain_rerank.errors import ConfigurationError, RegressionError
from langchain_rerank.evaluation.report.rendering.words import (
    fraction,
    interval_of,
    p_value,
    signed,
)
from langchain_rerank.evaluation.score import assemble
from langchain_rerank.evaluation.score.results import EvaluationResult, QueryRow, SystemRow
from langchain_rerank.evaluation.score.summaries import Comparison, QueryDifference, SystemSummary

logger = logging.getLogger(__name__)

WORST_SHOWN = 5
ROUNDING = 1e-12  # a fall of exactly the margin is no regression, whatever the last bit says


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
        _compared(result, name, other, reference, measure)
        for name, reference, other in _systems(result, system, against)
    ]
    if not compared:
        raise ConfigurationError(
            f"There is nothing to compare: the systems are {_names(result)}"
            f"{f' and in the earlier report {_names(against)}' if against else ''}."
        )
    if against is not None and system is None:
        _check_new_systems(result, [one.system for one in compared], against)
    if not any(one.mean or one.baseline_mean for one in compared):
        raise ConfigurationError(
            f"Every {measure} is 0, now and before, so nothing could fall. Check that the labels "
            f"match the documents."
        )
    if against is not None:
        compared = list(assemble.adjusted(compared))
    falls = [_fall(one) for one in compared if one.difference < -margin - ROUNDING]
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


def _compared(
    result: EvaluationResult, system: str, other: EvaluationResult, reference: str, measure: str
) -> Comparison:
    """Return the comparison over the questions that both have a value for.

    Its interval and p value are those that the report shows, where that has both.
    """
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
    rows = [
        QueryRow(
            *one,
            systems={
                "now": SystemRow(measures={measure: now[one]}),
                "then": SystemRow(measures={measure: then[one]}),
            },
        )
        for one in shared
    ]
    summaries = dict.fromkeys(("now", "then"), SystemSummary())
    [found] = assemble.comparisons(rows, summaries, "then", ["now"], [measure])
    changes = sorted((now[one] - then[one], one) for one in shared)
    worst = [QueryDifference(*one, by) for by, one in changes[:WORST_SHOWN] if by < 0]
    found = replace(found, system=system, baseline="the earlier report", lost=tuple(worst))
    if other is not result:
        return found
    names = (system, reference, measure)
    shown = (one for one in result.comparisons if (one.system, one.baseline, one.measure) == names)
    known = next(shown, replace(found, ci=None, p_value=None))
    figures = {name: getattr(known, name) for name in ("ci", "p_value", "p_holm")}
    return replace(found, baseline=reference, **figures)


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


def _fall(one: Comparison) -> str:
    evidence, queries = "", one.wins + one.ties + one.losses
    if one.ci is not None and one.decisive is not None:
        shown = "show" if one.shown < 0 else "do not show"
        evidence = (
            f"{interval_of(one.ci)}, p {p_value(one.decisive)}, so {queries} questions {shown} "
            f"that it is more than chance"
        )
    fell = ", ".join(f"{query.query_id} {signed(query.difference)}" for query in one.lost)
    return (
        f"{one.system} has {one.measure} {fraction(one.mean)} where {one.baseline} has "
        f"{fraction(one.baseline_mean)} (difference {signed(one.difference)}){evidence}, "
        f"{one.wins} queries better, {one.ties} equal, {one.losses} worse, worst: {fell}"
    )
