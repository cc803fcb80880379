"""From rounds to a row per system and scenario: medians with their spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from langchain_rerank.bench.rounds import Measured, Round, Scenario
from langchain_rerank.bench.systems import REFERENCE
from langchain_rerank.scorers.contract import Request


@dataclass(frozen=True)
class Spread:
    """The median of several rounds, with the quartiles around it."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Row:
    """What was measured of one system in one scenario.

    Attributes:
        system: Its name.
        scenario: How the requests came in.
        rounds: How many rounds were measured.
        pairs_per_second: Over the rounds.
        tokens_per_second: Over the rounds, special tokens counted and padding not.
        times_reference: Tokens per second over the reference's in the same round. A call with
            everything is compared with the reference's single caller, since it has no such call.
        p50_ms, p95_ms, p99_ms: Of the latencies of all calls of all rounds.
        peak_mb: Most memory on top of what was in use before, in MB.
        ceiling_share: Share of the machine's matrix-product ceiling in this precision.
        rank_correlation: Spearman's, with the fp32 reference; the mean over the queries.
        max_difference: Greatest absolute difference from the reference's scores.
        times_bulk: Tokens per second over those of one call with everything (1 is as good).
        p99_over_ideal: p99 over the time that the waiting work takes in one call.
    """

    system: str
    scenario: Scenario
    rounds: int
    pairs_per_second: Spread
    tokens_per_second: Spread
    p50_ms: float
    p95_ms: float
    p99_ms: float
    peak_mb: float | None
    ceiling_share: float | None
    times_reference: Spread | None
    rank_correlation: float | None
    max_difference: float | None
    times_bulk: float | None = None
    p99_over_ideal: float | None = None


@dataclass(frozen=True)
class Work:
    """How much there is in requests: tokens and FLOP."""

    tokens: Callable[[Sequence[Request]], float]
    flop: Callable[[Sequence[Request]], float]


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles.

    Examples:
        >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
        Spread(median=3.0, low=2.0, high=4.0)
    """
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return Spread(median, low, high)


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Return Spearman's rank correlation; equal values share their mean rank.

    Where one side is constant there is no correlation: 1 if both are, else 0.

    Source: Spearman, The Proof and Measurement of Association between Two Things, 1904,
        https://doi.org/10.2307/1412159.

    Examples:
        >>> spearman([1.0, 2.0, 3.0], [10.0, 20.0, 30.0])
        1.0
        >>> spearman([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
        -1.0
    """
    constant = [len(set(side)) == 1 for side in (left, right)]
    if any(constant):
        return 1.0 if all(constant) else 0.0
    return round(float(spearmanr(left, right).statistic), 12)


def rows(measured: Measured, work: Work, ceilings: Mapping[str, float]) -> list[Row]:
    """Return a row for each system and scenario that was measured, in order.

    Args:
        measured: The rounds.
        work: Counts tokens and FLOP.
        ceilings: FLOP/s that each system could reach, by its name.
    """
    return [_row(key, measured, work, ceilings) for key in measured]


def _row(
    key: tuple[str, Scenario], measured: Measured, work: Work, ceilings: Mapping[str, float]
) -> Row:
    system, scenario = key
    rounds = measured[key]

    def speed(r: Round) -> float:
        return work.tokens(r.requests) / r.timing.seconds

    latencies = [1000 * latency for r in rounds for latency in r.timing.latencies]
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99]).tolist()
    ceiling = ceilings.get(system)
    peaks = [r.peak_mb for r in rounds if r.peak_mb is not None]
    against = Scenario.callers if scenario is Scenario.callers else Scenario.one
    pairs = _pairs_of_rounds(rounds, measured.get((REFERENCE, against), []))
    agreements = [
        (spearman(mine, theirs), float(np.abs(np.subtract(mine, theirs)).max()))
        for ours, reference in pairs
        if ours.timing.scores
        for mine, theirs in zip(ours.timing.scores, reference.timing.scores, strict=True)
    ]
    times_bulk, over_ideal = _against_bulk(rounds, measured.get((system, Scenario.bulk), []), work)
    return Row(
        system=system,
        scenario=scenario,
        rounds=len(rounds),
        pairs_per_second=spread(
            [sum(len(texts) for _, texts in r.requests) / r.timing.seconds for r in rounds]
        ),
        tokens_per_second=spread([speed(r) for r in rounds]),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        peak_mb=max(peaks) if peaks else None,
        ceiling_share=float(
            np.median([work.flop(r.requests) / r.timing.seconds / ceiling for r in rounds])
        )
        if ceiling
        else None,
        times_reference=spread([speed(r) / speed(theirs) for r, theirs in pairs])
        if pairs
        else None,
        rank_correlation=float(np.mean([rank for rank, _ in agreements])) if agreements else None,
        max_difference=max(gap for _, gap in agreements) if agreements else None,
        times_bulk=times_bulk if scenario is Scenario.callers else None,
        p99_over_ideal=over_ideal if scenario is Scenario.callers else None,
    )


def _pairs_of_rounds(
    rounds: Sequence[Round], reference: Sequence[Round]
) -> list[tuple[Round, Round]]:
    by_number = {r.number: r for r in reference}
    return [(r, by_number[r.number]) for r in rounds if r.number in by_number]


def _against_bulk(
    rounds: Sequence[Round], bulk: Sequence[Round], work: Work
) -> tuple[float | None, float | None]:
    """Return throughput over that of bulk calls, and p99 over the ideal; medians over rounds."""
    throughputs, delays = [], []
    for mine, theirs in _pairs_of_rounds(rounds, bulk):
        bulk_speed = work.tokens(theirs.requests) / theirs.timing.seconds
        waiting = work.tokens(mine.requests)
        throughputs.append(waiting / mine.timing.seconds / bulk_speed)
        delays.append(float(np.percentile(mine.timing.latencies, 99)) / (waiting / bulk_speed))
    if not throughputs:
        return None, None
    return float(np.median(throughputs)), float(np.median(delays))
