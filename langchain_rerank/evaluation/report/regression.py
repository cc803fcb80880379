"""Whether a system got worse: an assertion for a continuous-integration run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from langchain_rerank.errors import ConfigurationError, RegressionError
from langchain_rerank.evaluation.report.rendering.words import between, fraction, p_value, signed

if TYPE_CHECKING:
    from langchain_rerank.evaluation.score.results import Comparison, EvaluationResult

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

    Args:
        result: The evaluation.
        measure: The measure that decides.
        margin: How much the mean may fall, at least 0.
        system: The system to check; every one by default.
        against: An earlier evaluation: each system is compared with itself there, the baseline
            included. None compares with the baseline of `result`.

    Raises:
        RegressionError: A mean fell by more than `margin`; the message has the figures.
        ConfigurationError: The measure or the system is not there, the margin is negative, there
            is nothing to compare, or no query is labelled.
    """
    if margin < 0:
        raise ConfigurationError(f"margin must be at least 0, got {margin}.")
    pairs = list(_pairs(result, system, against))
    if not pairs:
        raise ConfigurationError(
            f"There is nothing to compare: the systems are {_names(result)}"
            f"{f' and in the earlier report {_names(against)}' if against else ''}."
        )
    falls = []
    for name, reference, other in pairs:
        now, then = _mean(result, name, measure), _mean(other, reference, measure)
        compared = _compared(result, name, measure) if against is None else None
        if compared is not None:  # over the same queries, where some have no value for one of both
            now, then = compared.mean, compared.baseline_mean
        if then - now > margin + ROUNDING:
            falls.append(
                f"{name} has {measure} {fraction(now)} where "
                f"{'the earlier report' if against else reference} has {fraction(then)} "
                f"(difference {signed(now - then)})"
                f"{_evidence(compared) if compared else ''}"
                f"{_worst(result, name, other, reference, measure)}"
            )
    if falls:
        raise RegressionError(
            f"{measure} fell by more than the margin of {margin:g}: {'; '.join(falls)}."
        )


def _names(result: EvaluationResult) -> str:
    return ", ".join(result.systems) or "none"


def _pairs(
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


def _mean(result: EvaluationResult, system: str, measure: str) -> float:
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
    return summary.mean


def _compared(result: EvaluationResult, system: str, measure: str) -> Comparison | None:
    wanted = (system, result.baseline, measure)
    found = (one for one in result.comparisons if (one.system, one.baseline, one.measure) == wanted)
    return next(found, None)


def _evidence(one: Comparison) -> str:
    p = "" if one.p_value is None else f", p {p_value(one.p_value)}"
    return (
        f", 95 % interval {between(one.ci, signed)}{p}, {one.wins} queries better, "
        f"{one.ties} equal, {one.losses} worse"
    )


def _worst(
    result: EvaluationResult, system: str, other: EvaluationResult, reference: str, measure: str
) -> str:
    then = {
        row.query_id: row.systems[reference].measures[measure]
        for row in other.queries
        if reference in row.systems and measure in row.systems[reference].measures
    }
    differences = sorted(
        (row.systems[system].measures[measure] - then[row.query_id], row.query_id)
        for row in result.queries
        if row.query_id in then and measure in row.systems[system].measures
    )
    worst = [f"{name} {signed(value)}" for value, name in differences[:WORST_SHOWN] if value < 0]
    return f", worst: {', '.join(worst)}" if worst else ""
