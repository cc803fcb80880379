"""What an evaluation says about all queries together: means, differences, losses, a sweep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["recommended", "inconclusive", "over_budget"]


@dataclass(frozen=True)
class MeasureSummary:
    """A mean over queries.

    Attributes:
        mean: The mean; a failed query counts 0. 0.0 where `n` is 0.
        ci: 95 % percentile bootstrap interval over queries, low and high.
        n: How many queries the mean is over (the labelled ones).
    """

    mean: float
    ci: tuple[float, float]
    n: int


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one stage over `n` measured queries, after warm-up."""

    p50: float
    p90: float
    p95: float
    mean: float
    n: int


@dataclass(frozen=True)
class SystemSummary:
    """One system over all queries.

    Attributes:
        measures: Summary by measure name (`nDCG@10`).
        latency: Latency by stage; empty where nothing was timed.
        failed: How many queries raised (they count 0 in the means).
        empty: How many queries returned nothing (they count 0 in the means).
    """

    measures: dict[str, MeasureSummary] = field(default_factory=dict)
    latency: dict[str, Latency] = field(default_factory=dict)
    failed: int = 0
    empty: int = 0


@dataclass(frozen=True)
class QueryDifference:
    """How much one query gained (above 0) or lost (below 0)."""

    query_id: str
    question: str
    difference: float


@dataclass(frozen=True)
class Comparison:
    """One system against a baseline by one measure, paired over queries.

    Attributes:
        system: The system.
        baseline: What it is compared with.
        measure: The measure.
        baseline_mean: Mean of the baseline over the queries compared: those that both have a value
            for, which may be fewer than a system's own mean is over.
        mean: Mean of the system over the same.
        difference: Mean of system minus baseline.
        ci: 95 % percentile bootstrap interval of the difference.
        p_value: Two-sided paired sign-flip randomisation; None with fewer than 6 queries.
        p_holm: The same after Holm's correction over the systems compared by this measure.
        wins: Queries in which the system is better.
        ties: Queries in which both are equal.
        losses: Queries in which the baseline is better.
        improvement_percent: Difference in percent of the baseline's mean; None where that is 0.
        gained: The queries that gained most, best first (at most 10).
        lost: The queries that lost most, worst first (at most 10).
        added_ms: Difference of the median total latency; None where not timed.
        latency_factor: Quotient of the median total latencies; None where not timed.
        note: What to know when reading it ("too few queries ..."); None where there is nothing.
    """

    system: str
    baseline: str
    measure: str
    baseline_mean: float
    mean: float
    difference: float
    ci: tuple[float, float]
    p_value: float | None
    p_holm: float | None
    wins: int
    ties: int
    losses: int
    improvement_percent: float | None
    gained: tuple[QueryDifference, ...] = ()
    lost: tuple[QueryDifference, ...] = ()
    added_ms: float | None = None
    latency_factor: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class LossSplit:
    """What is missing to the best possible score, and whose it is.

    `missed + misordered == attainable - actual`. What is missing to 1 beyond that is out of reach
    of any ranking: with three relevant documents R@1 is a third at most.

    Attributes:
        system: The system whose order is judged.
        measure: The measure.
        k: How many candidates the first stage handed over.
        oracle: Mean of the best possible order of those candidates.
        actual: Mean of the system's order.
        missed: `attainable - oracle`: what the first stage did not find.
        misordered: `oracle - actual`: what the reranker put too low.
    """

    system: str
    measure: str
    k: int
    oracle: float
    actual: float
    missed: float
    misordered: float

    @property
    def attainable(self) -> float:
        """Mean of the best order of all relevant documents, with the same cutoffs."""
        return self.oracle + self.missed


@dataclass(frozen=True)
class SweepPoint:
    """One depth K of a sweep.

    Attributes:
        k: Number of candidates that are reranked.
        measures: Summary of the reranked order by measure name.
        oracle: Mean of the best possible order of these K candidates, by the sweep's measure.
        missed: What the first stage did not find, as in `LossSplit`.
        misordered: `oracle - actual`.
        loss: Mean of the best K minus the mean here.
        loss_upper: Upper end of the one-sided 95 % paired bootstrap bound of `loss`.
        within_margin: Whether `loss_upper` is at most the margin.
        within_budget: Whether the median total latency is within the budget; None without a budget
            or without a timing.
        pareto: Whether no other K is both at least as good and at least as fast.
        selected_share: Share of bootstrap samples of the queries in which this K would be chosen.
        latency: Latency by stage, measured at this K.
    """

    k: int
    measures: dict[str, MeasureSummary]
    oracle: float
    missed: float
    misordered: float
    loss: float
    loss_upper: float
    within_margin: bool
    within_budget: bool | None
    pareto: bool
    selected_share: float
    latency: dict[str, Latency] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """Quality and latency by first-stage depth, and the depth to use.

    Attributes:
        measure: The measure that decides.
        margin: How much quality may be given up.
        budget_ms: Largest median total latency that is allowed; None for no limit.
        points: One per K, ascending.
        recommended_k: Smallest K, of those within the budget, whose quality is within `margin` of
            the best of them by a one-sided 95 % bound; the fastest where none is within the budget
            ("over_budget"). "inconclusive": the choice of the same rule, but the queries do not
            show that no other K is better by more than the margin.
        verdict: "recommended", "inconclusive" or "over_budget".
        reason: The verdict in a sentence.
        argmax_k: The K with the best mean (the smallest of equals).
        knee_k: The K farthest above the line from the first point to the last; None with fewer than
            three points or no rise.
        pareto_ks: The K that nothing beats in both quality and latency.
        stability: Share of bootstrap samples that choose `recommended_k`.
        queries_needed: Estimated number of queries that would settle it; None where it is settled
            or cannot be estimated.
        scored_pairs: (query, text) pairs that were scored for the quality curve.
        latency_pairs: (query, text) pairs that were scored again to measure latency.
        single_pass: Whether every K came from one scoring pass at the largest K.
        checks: What was checked for that, in sentences.
    """

    measure: str
    margin: float
    budget_ms: float | None
    points: tuple[SweepPoint, ...]
    recommended_k: int
    verdict: Verdict
    reason: str
    argmax_k: int
    knee_k: int | None
    pareto_ks: tuple[int, ...]
    stability: float
    queries_needed: int | None
    scored_pairs: int
    latency_pairs: int
    single_pass: bool
    checks: tuple[str, ...] = ()
