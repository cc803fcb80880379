"""Quality and time at every depth: the figures that a choice of the depth is made by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from langchain_rerank.errors import EvaluationError
from langchain_rerank.evaluation.report.build import JudgedPass
from langchain_rerank.evaluation.run.depths import Depths
from langchain_rerank.evaluation.run.latency import FEWEST_TIMED, Times
from langchain_rerank.evaluation.run.passes import mixed
from langchain_rerank.evaluation.run.stage import Found
from langchain_rerank.evaluation.score import assemble
from langchain_rerank.evaluation.score.bootstrap import Floats
from langchain_rerank.evaluation.score.choice import Choice
from langchain_rerank.evaluation.score.measures import Measure
from langchain_rerank.evaluation.score.pareto import pareto
from langchain_rerank.evaluation.score.results import (
    FIRST_STAGE,
    RERANKED,
    Latency,
    MeasureSummary,
    QueryRow,
    SweepPoint,
)


@dataclass(frozen=True)
class Curve:
    """What was found at every depth; K = 0 comes first.

    Attributes:
        ks: `(k,)` the depths.
        rows: The judged queries by depth; at 0 both systems are the first stage.
        judged: What is relevant.
        values: `(n, k)` main measure of each labelled query at each depth.
        quality: Summaries by depth and measure.
        latency: Latency by depth and stage.
        passed: What was found at every depth.
        latency_pairs: (query, text) pairs that measuring latency took.
    """

    ks: list[int]
    rows: dict[int, list[QueryRow]]
    judged: JudgedPass
    values: Floats
    quality: dict[int, dict[str, MeasureSummary]]
    latency: dict[int, dict[str, Latency]]
    passed: Depths
    latency_pairs: int

    @property
    def means(self) -> list[float]:
        """The mean of the main measure at each depth."""
        return [float(one) for one in self.values.mean(axis=0)]

    @property
    def timed(self) -> list[float]:
        """The median total times; empty unless every depth was timed."""
        totals = [found["total"].p50 for found in self.latency.values() if "total" in found]
        return totals if len(totals) == len(self.ks) else []

    @property
    def front(self) -> list[int]:
        """Positions that nothing beats in both quality and time, or depth where not timed."""
        costs = self.timed or [float(k) for k in self.ks]
        return sorted(pareto(list(zip(costs, self.means, strict=True))))


def shown_at_zero(measures: Sequence[Measure], top_n: int | None, deepest: int) -> int:
    """Return how many documents are shown where nothing is reranked: as many as are looked at."""
    if top_n is not None:
        return top_n
    cutoffs = [getattr(one, "cutoff", None) for one in measures]
    return max((one for one in cutoffs if one), default=deepest) if all(cutoffs) else deepest


def curve_of(judged: JudgedPass, passed: Depths, times: Times, latency_pairs: int) -> Curve:
    """Return the curve.

    Raises:
        EvaluationError: No question has a label.
    """
    ks, setting = [0, *passed.reranked], judged.work.setting
    weight = setting.first_stage_weight
    rows = {k: judged.rows(partial(_orders, passed, times, k, weight)) for k in ks}
    names = [str(one) for one in judged.measures]
    every = np.stack(
        [
            assemble.values_of([row for row in rows[k] if assemble.counts(row)], [RERANKED], names)
            for k in ks
        ]
    )
    if not every.size:
        raise EvaluationError(
            "No question has a label, so no depth can be recommended. Add expected_source, qrels "
            "or reference_contexts, or make labels with judge_relevance."
        )
    # (k, queries, 1, measures) to one column per depth and measure, all under the same weights.
    columns = every[:, :, 0, :].transpose(1, 0, 2)
    summary = assemble.measure_summaries(columns.reshape(len(columns), -1), setting.seed)
    quality = {k: {name: next(summary) for name in names} for k in ks}
    latency = {k: assemble.latency(list(times[k].values())) for k in ks}
    values = columns[:, :, 0]
    return Curve(ks, rows, judged, values, quality, latency, passed, latency_pairs)


def _orders(
    passed: Depths, times: Times, k: int, first_stage_weight: float, query: str
) -> dict[str, Found]:
    """Return the first stage's own order, and the reranked one at depth `k` (0: the same)."""
    own = passed.candidates[passed.shown][query]
    if k > passed.shown and passed.single_pass:
        own = passed.candidates[k][query]  # the same first ones, and where the others stood
    second, own_times = own, times[0].get(query, {})
    if k:
        found = passed.reranked[k][query]
        second = mixed(passed.candidates[k][query], found, first_stage_weight).once()
    stages = {stage: own_times[stage] for stage in ("first_stage", "total") if stage in own_times}
    return {
        FIRST_STAGE: replace(own, latency_ms=stages),
        RERANKED: replace(second, latency_ms=dict(times[k].get(query, {}))),
    }


def within_budget(curve: Curve, budget_ms: float | None) -> list[bool] | None:
    """Return whether each depth is within the budget; None where nothing decides that."""
    fewest = min(
        (found["total"].n for found in curve.latency.values() if "total" in found), default=0
    )
    if budget_ms is None or not curve.timed or fewest < FEWEST_TIMED:
        return None
    return [one <= budget_ms for one in curve.timed]


def candidates(allowed: list[bool] | None) -> list[bool] | None:
    """Return what may be chosen: over budget everywhere, the first is the fastest."""
    return allowed if allowed is None or any(allowed) else [one == 0 for one in range(len(allowed))]


def points(curve: Curve, choice: Choice, allowed: Sequence[bool] | None) -> Iterator[SweepPoint]:
    """Yield what a report says about each depth."""
    judged, top_n = curve.judged, curve.judged.work.setting.top_n
    counted = [row for row in curve.rows[0] if assemble.counts(row)]
    for i, k in enumerate(curve.ks):
        units = judged.units(curve.passed.candidates[k or curve.passed.shown])
        best, reach = assemble.mean_ceilings(counted, units, judged.measures[0], top_n)
        upper = choice.upper[i]
        yield SweepPoint(
            k=k,
            measures=curve.quality[k],
            oracle=best,
            missed=reach - best,
            misordered=best - curve.means[i],
            loss=choice.losses[i],
            loss_upper=upper,
            within_margin=upper is not None and upper <= choice.margin + 1e-9,
            within_budget=allowed[i] if allowed else None,
            pareto=i in curve.front,
            selected_share=choice.shares[i],
            latency=curve.latency[k],
        )
