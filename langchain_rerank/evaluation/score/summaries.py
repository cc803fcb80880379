"""What an evaluation says about all queries together: means, differences, losses, a sweep."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["recommended", "inconclusive", "over_budget"]
Answer = Literal["rerank", "do_not_rerank", "undecided"]


@dataclass(frozen=True)
class MeasureSummary:
    """A mean over queries.

    Attributes:
        mean: The mean; a failed query counts 0. None where `n` is 0: of nothing there is no mean.
        ci: 95 % interval of the mean over queries, low and high (`statistics`); None where there is
            no mean, or where a value is not between 0 and 1.
        n: How many queries the mean is over (the labelled ones).
    """

    mean: float | None
    ci: tuple[float, float] | None
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

    @property
    def median_ms(self) -> float | None:
        """Median total time of a query; None where nothing was timed."""
        return self.latency["total"].p50 if "total" in self.latency else None

    def mean(self, measure: str) -> float | None:
        """Return the mean of a measure; None where there is none."""
        return self.measures[measure].mean if measure in self.measures else None


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
        ci: 95 % interval of the difference, not adjusted for the other comparisons; None where a
            value is not between 0 and 1.
        p_value: The smallest error at which that interval excludes 0; None where there is none.
        p_holm: The same after Holm's correction over all comparisons of the report. Only where it
            is below .05 is a system called better or worse.
        p_sign_flip: Two-sided paired sign-flip randomisation, for readers who know it: it asks
            whether the systems are interchangeable, which is more than a difference of 0, and no
            verdict rests on it. None with fewer than 6 queries.
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
    ci: tuple[float, float] | None
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
    p_sign_flip: float | None = None

    @property
    def decisive(self) -> float | None:
        """The p value that a verdict rests on: after Holm's correction, where that was made."""
        return self.p_value if self.p_holm is None else self.p_holm

    @property
    def shown(self) -> int:
        """1 where the system is shown to have the larger mean, -1 the smaller, else 0."""
        from langchain_rerank.evaluation.score.bootstrap import SIGNIFICANT  # which loads numpy

        if self.ci is None or self.decisive is None or self.decisive >= SIGNIFICANT:
            return 0
        return int(self.ci[0] > 0) - int(self.ci[1] < 0)


@dataclass(frozen=True)
class Decision:
    """Whether to rerank, with what and how deep: the first line of a report.

    Attributes:
        answer: "rerank" or "do_not_rerank" where the queries show it, else "undecided".
        measure: The measure that decides.
        system: The system to use; where it is undecided, the one with the best mean so far.
        k: How many candidates it reranks; 0 for the first stage's own order.
        compared: The system that `gain` is about: `system`, or where that is the first stage, the
            best of those that rerank.
        compared_k: How many candidates that one reranks.
        before: Mean of the first stage, over the queries compared.
        after: Mean of `compared` over the same.
        gain: `after - before`.
        ci: 95 % interval of `gain`, not adjusted.
        added_ms: What `compared` adds to the median time of a query; None where not timed.
        margin: How much of the mean a choice may give up, as large as so few queries need.
        queries: How many queries this rests on.
        queries_needed: How many would settle it, at the least; None where it is settled or more
            queries like these would not.
        reason: Why, in sentences that do not repeat the figures above.
    """

    answer: Answer
    measure: str
    system: str
    k: int
    compared: str
    compared_k: int
    before: float
    after: float
    gain: float
    ci: tuple[float, float] | None
    added_ms: float | None
    margin: float
    queries: int
    queries_needed: int | None
    reason: str


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
        k: Number of candidates that are reranked; 0 is the first stage's own order, cut where the
            measures stop looking.
        measures: Summary of the order by measure name. A depth K returns K documents, as in
            production, also where a measure looks at more.
        oracle: Mean of the best possible order of these K candidates, by the sweep's measure.
        missed: What the first stage did not find, as in `LossSplit`.
        misordered: `oracle - actual`.
        loss: Mean of the best K minus the mean here.
        loss_upper: One-sided 95 % bound of how much any other K (within the budget) may be better;
            None where a value is not between 0 and 1.
        within_margin: Whether `loss_upper` is at most the sweep's `granted_margin`.
        within_budget: Whether the median total latency is within the budget; None without a budget
            or without a timing.
        pareto: Whether no other K is both at least as good and at least as fast.
        selected_share: Share of resamples of the queries (Bayesian bootstrap) in which this K has
            the best mean, the smallest of equals: a description, no confidence.
        latency: Latency by stage, measured at this K.
    """

    k: int
    measures: dict[str, MeasureSummary]
    oracle: float
    missed: float
    misordered: float
    loss: float
    loss_upper: float | None
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
        margin: How much quality may be given up, as asked for.
        budget_ms: Largest median total latency that is allowed; None for no limit.
        points: One per K, ascending.
        recommended_k: The K to use, 0 for not reranking. "recommended": each K from the best mean
            down to this one is shown to lose at most `granted_margin` against any other.
            "inconclusive": the queries do not show that of the best mean, and this is it (the
            smallest of equals). "over_budget": no K is within the budget, and this is the fastest.
        verdict: "recommended", "inconclusive" or "over_budget".
        reason: The verdict in a sentence.
        argmax_k: The K with the best mean, whatever it takes (the smallest of equals).
        knee_k: The K farthest above the line from the first point to the last; None with fewer than
            three points or no rise.
        pareto_ks: The K that nothing beats in both quality and latency.
        stability: `selected_share` of `recommended_k`.
        queries_needed: Estimated number of queries that would settle it with the margin asked for;
            None where it is settled or more queries like these would not.
        scored_pairs: (query, text) pairs that were scored for the quality curve.
        latency_pairs: (query, text) pairs that were scored again to measure latency.
        single_pass: Whether every K came from one scoring pass at the largest K.
        checks: What was checked for that, in sentences.
        granted_margin: The margin that the verdict is about: `margin`, or 3 by the number of
            queries where that is larger, since fewer than that may lose everything unseen.
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
    granted_margin: float | None = None
