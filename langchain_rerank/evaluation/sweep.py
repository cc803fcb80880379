"""How deep to go: quality and latency at every first-stage depth, and the one to use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Unpack

from langchain_rerank.checks import check_top_n, listed, real_number, shown, whole_number
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.compare import DEFAULT_MEASURES
from langchain_rerank.evaluation.data.datasets import DatasetLike
from langchain_rerank.evaluation.report.build import JudgedPass
from langchain_rerank.evaluation.report.curve import (
    Curve,
    candidates,
    curve_of,
    points,
    shown_at_zero,
    within_budget,
)
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.run.background import run
from langchain_rerank.evaluation.run.depths import at_depths
from langchain_rerank.evaluation.run.latency import (
    FEWEST_TIMED,
    cost_of_timing,
    measured,
    timed_questions,
)
from langchain_rerank.evaluation.run.passes import opened
from langchain_rerank.evaluation.run.setting import RerankingSettings, Setting
from langchain_rerank.evaluation.run.systems import (
    FirstStageLike,
    Reranker,
    RerankerLike,
    reranker_name,
)
from langchain_rerank.evaluation.score import decision
from langchain_rerank.evaluation.score.choice import Choice, choose, knee
from langchain_rerank.evaluation.score.measures import Measure, parse_measures
from langchain_rerank.evaluation.score.results import (
    FIRST_STAGE,
    RERANKED,
    Decision,
    Latency,
    Sweep,
    Verdict,
)

DEFAULT_KS = (10, 20, 30, 50, 75, 100)


def sweep_k(
    retriever: FirstStageLike,
    model: RerankerLike,
    dataset: DatasetLike,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    margin: float = 0.01,
    budget_ms: float | None = None,
    measures: str | Sequence[str | Measure] = DEFAULT_MEASURES,
    first_stage_weight: float = 0.0,
    latency_queries: int | None = None,
    **settings: Unpack[RerankingSettings],
) -> Report:
    """Return quality and latency at every depth, with the depth to use.

    Not reranking is one of the depths, K = 0: the first stage's own order, cut where the measures
    stop looking. `report.decision` is the answer, `report.sweep` holds the curve,
    `report.recommended_k` the choice, and `report.apply(retriever)` sets it. The systems
    "first_stage" and "reranked" are K = 0 and the K that was chosen, or where that is 0, the best
    of the others.

    Args:
        retriever: The first stage, as for `compare_rerank`.
        model: The reranker, as for `compare_rerank`.
        dataset: A data set, the path of one, or a list of records.
        ks: The depths, each at least 1; 0 is always one of them.
        margin: How much of the first measure may be given up for a smaller K; with fewer than 3 by
            `margin` questions, 3 by their number.
        budget_ms: Largest median total latency that is allowed; None for no limit.
        measures: Names such as "nDCG@10", or measures; the first decides.
        first_stage_weight: Share of the first stage in the order of scorers, as a reranking
            retriever has it; not for compressors, whose order is their own.
        latency_queries: How many questions are timed at every depth; None for as many as a fifth of
            the pairs of the pass allows, at most 30, and with a budget at least 10; 0 for none.
        **settings: As for `compare_rerank`.

    Raises:
        ConfigurationError: An impossible setting, or labels that no document can be compared with.
        DataFileError: The data set or the journal cannot be read.
        EvaluationError: Every question failed, or none has a label.
    """
    depths = sorted({whole_number(k, "ks") for k in listed(ks, "ks", "depths")})
    check_choice(depths, margin, budget_ms, latency_queries)
    parsed = parse_measures(measures)
    cut = shown_at_zero(parsed, check_top_n(settings.get("top_n")), depths[-1])
    k = max(depths[-1], cut)
    setting = Setting.of_reranking(retriever, dataset, k, first_stage_weight, **settings)
    rule = _Rule(margin, budget_ms)
    models = setting.rerankers({RERANKED: model})
    return run(_swept(setting, models, depths, cut, latency_queries, parsed, rule))


class _Rule(NamedTuple):
    """What a depth is chosen by: how much of the first measure may be given up, and the time."""

    margin: float
    budget_ms: float | None


async def _swept(
    setting: Setting,
    models: Mapping[str, Reranker],
    depths: Sequence[int],
    cut: int,
    latency_queries: int | None,
    measures: Sequence[Measure],
    rule: _Rule,
) -> Report:
    """Return the report at the depth that the curve chooses, with the curve and the choice."""
    timed = {0: cut, **{k: k for k in depths}}
    usable, budget = len(setting.dataset.usable), rule.budget_ms is not None
    planned = timed_questions(
        usable, timed, latency_queries, budget=budget, pairs=usable * setting.k
    )
    timing = planned * cost_of_timing(timed)
    async with opened(setting, models, timing) as work:
        await work.warm_up(models, depths[-1])
        passed = await at_depths(work, depths, cut, models[RERANKED])
        times, pairs = await measured(
            work,
            [one for one in work.records if passed.reranked[depths[-1]][one.id].error is None],
            timed,
            models[RERANKED],
            queries=latency_queries,
            budget=budget,
            pairs=passed.pairs,
        )
        work.collector.advance(timing)  # All of it, though fewer may have been timed.
        judged = JudgedPass(work, measures, list(passed.candidates.values()))
        return _report(models, curve_of(judged, passed, times, pairs), rule)


def _report(models: Mapping[str, Reranker], curve: Curve, rule: _Rule) -> Report:
    seed, main = curve.judged.work.setting.seed, str(curve.judged.measures[0])
    allowed = within_budget(curve, rule.budget_ms)
    choice = choose(curve.values, margin=rule.margin, allowed=candidates(allowed), seed=seed)
    at = decision.reranking(choice, curve.values, allowed)
    k, p_values = curve.ks[at], decision.p_values(curve.values, seed)
    report = curve.judged.report(
        curve.rows[k],
        curve.passed.candidates[k],
        title=f"Depth of {reranker_name(models[RERANKED])}",
        models=models,
        k=k,
        settings={"ks": curve.ks[1:], "margin": rule.margin, "budget_ms": rule.budget_ms},
        beside=[one for position, one in enumerate(p_values, 1) if position != at],
    )
    decided = decision.decide(
        [_option(k, curve.latency[k]) for k in curve.ks],
        curve.values,
        choice,
        measure=main,
        margin=rule.margin,
        allowed=allowed,
        beside=[one.p_value for one in report.comparisons if one.measure != main],
        seed=seed,
    )
    sweep = _sweep(curve, choice, decided, rule, allowed)
    warnings = (*report.warnings, *_warnings(sweep, choice, curve, allowed))
    return replace(report, sweep=sweep, decision=decided, warnings=warnings)


def _sweep(
    curve: Curve,
    choice: Choice,
    decided: Decision,
    rule: _Rule,
    allowed: list[bool] | None,
) -> Sweep:
    verdict: Verdict = "recommended" if choice.recommended else "inconclusive"
    bent, passed = knee(curve.ks, curve.means), curve.passed
    return Sweep(
        measure=decided.measure,
        margin=rule.margin,
        budget_ms=rule.budget_ms,
        points=tuple(points(curve, choice, allowed)),
        recommended_k=decided.k,
        verdict=verdict if allowed is None or any(allowed) else "over_budget",
        reason=decided.reason,
        argmax_k=curve.ks[choice.best],
        knee_k=None if bent is None else curve.ks[bent],
        pareto_ks=tuple(curve.ks[one] for one in curve.front),
        stability=choice.shares[choice.position],
        queries_needed=choice.queries_needed,
        scored_pairs=passed.pairs,
        latency_pairs=curve.latency_pairs,
        single_pass=passed.single_pass,
        checks=passed.checks,
        granted_margin=choice.margin,
    )


def check_choice(
    ks: Sequence[int],
    margin: float,
    budget_ms: float | None,
    latency_queries: int | None = None,
) -> None:
    """Check what a choice of the depth is made by.

    Raises:
        ConfigurationError: No depth, an impossible margin or budget, or too few timed questions to
            decide by a budget.
    """
    if not ks:
        raise ConfigurationError("ks is empty; name the depths to try, for instance [10, 50, 100].")
    if (given := real_number(margin)) is None or not 0.0 <= given < 1.0:
        raise ConfigurationError(f"margin={shown(margin)}: expected at least 0 and less than 1.")
    if latency_queries is not None:
        whole_number(latency_queries, "latency_queries", least=0, otherwise=", or None")
    if budget_ms is None:
        return
    if (given := real_number(budget_ms)) is None or not 0.0 < given < math.inf:
        raise ConfigurationError(
            f"budget_ms={shown(budget_ms)}: expected milliseconds above 0, or None."
        )
    if latency_queries is not None and latency_queries < FEWEST_TIMED:
        raise ConfigurationError(
            f"latency_queries={latency_queries} with budget_ms={budget_ms:g}: a budget is decided "
            f"by at least {FEWEST_TIMED} timed questions. Time more, or leave latency_queries out."
        )


def _option(k: int, latency: Mapping[str, Latency]) -> decision.Option:
    label = f"K = {k}" if k else "not reranking (K = 0)"
    ms = latency["total"].p50 if "total" in latency else None
    return decision.Option(RERANKED if k else FIRST_STAGE, k, label, ms)


def _warnings(
    sweep: Sweep, choice: Choice, curve: Curve, allowed: Sequence[bool] | None
) -> Iterator[str]:
    if choice.falls:
        worst = choice.falls[-1]
        yield (
            f"Quality falls beyond K={sweep.argmax_k}: {sweep.measure} is "
            f"{curve.means[choice.best]:.3f} there and {curve.means[worst]:.3f} at "
            f"K={curve.ks[worst]}. More candidates give the reranker more to misplace."
        )
    if sweep.budget_ms is not None and allowed is None:
        yield (
            f"The budget of {sweep.budget_ms:g} ms was not applied: at least {FEWEST_TIMED} "
            f"questions have to be timed at every K."
        )
    elif not curve.timed:
        yield (
            "Latency was not measured per K: with so few questions it would cost more than it is "
            "allowed to. Set latency_queries to measure it."
        )
