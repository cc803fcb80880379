"""How deep to go: quality and latency at every first-stage depth, and the one to use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from langchain_core.runnables import RunnableConfig

from langchain_rerank.base_retrievers.depth import checked_depth
from langchain_rerank.checks import check_top_n
from langchain_rerank.errors import ConfigurationError, EvaluationError
from langchain_rerank.evaluation.compare import DEFAULT_MEASURES
from langchain_rerank.evaluation.data.datasets import DatasetLike, Record, as_dataset
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.report.passes import finished, mean_ceilings, rankings
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.run import scoring
from langchain_rerank.evaluation.run.depths import Depths, at_depths
from langchain_rerank.evaluation.run.environment import now, scorer_settings
from langchain_rerank.evaluation.run.latency import measured
from langchain_rerank.evaluation.run.progress import Progress, progress_of
from langchain_rerank.evaluation.run.scoring import ScoringPass
from langchain_rerank.evaluation.score import assemble
from langchain_rerank.evaluation.score.measures import Measure, parse_measures
from langchain_rerank.evaluation.score.pareto import pareto
from langchain_rerank.evaluation.score.recommendation import Recommendation, knee, recommend
from langchain_rerank.evaluation.score.results import (
    FIRST_STAGE,
    RERANKED,
    QueryRow,
    Sweep,
    SweepPoint,
)
from langchain_rerank.scorers.contract import scorer_name

DEFAULT_KS = (10, 20, 30, 50, 75, 100)


def sweep_k(
    retriever: Any,
    model: Any,
    dataset: DatasetLike,
    ks: Sequence[int] = DEFAULT_KS,
    *,
    margin: float = 0.01,
    budget_ms: float | None = None,
    top_n: int | None = None,
    measures: str | Sequence[str | Measure] = DEFAULT_MEASURES,
    relevance: Relevance | None = None,
    metadata_fields: Sequence[str] = (),
    latency_queries: int | None = None,
    seed: int = 0,
    journal: str | Path | None = None,
    resume: bool = False,
    progress: Progress | bool | None = None,
    settings: Mapping[str, Any] | None = None,
    config: RunnableConfig | None = None,
    **load_settings: Any,
) -> Report:
    """Return quality and latency at every depth, with the depth to use.

    `report.sweep` holds the curve, `report.recommended_k` the choice, and
    `report.apply(retriever)` sets it. The systems "first_stage" and "reranked" are those at that
    depth.

    Args:
        retriever: The first stage, as for `compare_rerank`.
        model: The reranker, as for `compare_rerank`.
        dataset: A data set, the path of one, or a list of records.
        ks: The depths.
        margin: How much of the first measure may be given up for a smaller K.
        budget_ms: Largest median total latency that is allowed; None for no limit.
        top_n: How many documents of each order are judged; None judges all candidates.
        measures: Names such as "nDCG@10", or measures; the first decides.
        relevance: What counts as a hit.
        metadata_fields: Metadata put before the text that is scored.
        latency_queries: How many questions are timed at every depth; None for as many as a fifth of
            the pairs of the pass allows, at most 30; 0 for none.
        seed: Seed of bootstrap and randomisation.
        journal: A file that keeps what is finished.
        resume: Whether to go on with what `journal` holds.
        progress: A hook, True, False or None.
        settings: What else the report should say about the run.
        config: Config for the retriever.
        **load_settings: How to load a model given by name.

    Raises:
        ConfigurationError: An impossible setting, or labels that no document can be compared with.
        DataFileError: The data set or the journal cannot be read.
        EvaluationError: Every question failed, or none has a label.
    """
    started = now()
    check_top_n(top_n)
    depths = sorted({checked_depth(k, "ks") for k in ks})
    check_choice(depths, margin, budget_ms)
    dataset, measures = as_dataset(dataset), parse_measures(measures)
    scorers = scoring.resolved({RERANKED: model}, **load_settings)
    scorer = scorers[RERANKED]
    work = ScoringPass.begin(
        retriever,
        dataset,
        scorers,
        depths[-1],
        relevance=relevance,
        metadata_fields=metadata_fields,
        journal=journal,
        resume=resume,
        settings={**load_settings, **(settings or {})},
        config=config,
    )
    records = [one for one in dataset.records if not one.problem]
    work.warm_up(records, depths[-1], {RERANKED: scorer})
    with progress_of(progress, "Retrieving and scoring") as advance:
        passed = at_depths(work, records, depths, scorer, advance)
    usable = [one for one in records if not passed.scored[depths[-1]][one.id].error]
    times, latency_pairs = measured(
        work, usable, depths, scorer, queries=latency_queries, pairs=passed.pairs, seed=seed
    )
    rows = {k: _rows(work, dataset.records, passed, times, k, measures, top_n) for k in depths}
    sweep, warnings = _sweep(
        work, records, passed, rows, times, measures, margin, budget_ms, top_n, seed, latency_pairs
    )
    report = finished(
        rows[sweep.recommended_k],
        dataset,
        work,
        passed.candidates[sweep.recommended_k],
        title=f"Depth of {scorer_name(scorer)} on {dataset.name}",
        systems=[RERANKED],
        measures=measures,
        k=sweep.recommended_k,
        top_n=top_n,
        seed=seed,
        started=started,
        settings={
            **(settings or {}),
            "ks": depths,
            "margin": margin,
            "budget_ms": budget_ms,
            "models": {RERANKED: scorer_settings(scorer)},
        },
    )
    return replace(report, sweep=sweep, warnings=(*report.warnings, *warnings))


def check_choice(ks: Sequence[int], margin: float, budget_ms: float | None) -> None:
    """Check what a choice of the depth is made by.

    Raises:
        ConfigurationError: No depth, or an impossible margin or budget.
    """
    if not ks:
        raise ConfigurationError("ks is empty; name the depths to try, for instance [10, 50, 100].")
    if not 0.0 <= margin < 1.0:
        raise ConfigurationError(f"margin={margin}: expected at least 0 and less than 1.")
    if budget_ms is not None and budget_ms <= 0:
        raise ConfigurationError(f"budget_ms={budget_ms}: expected milliseconds above 0, or None.")


def _rows(
    work: ScoringPass,
    records: Sequence[Record],
    passed: Depths,
    times: Mapping[int, Mapping[str, Mapping[str, float]]],
    k: int,
    measures: Sequence[Measure],
    top_n: int | None,
) -> list[QueryRow]:
    rows = []
    for record in records:
        found = passed.candidates[k].get(record.id)
        orders = {}
        if found is not None:
            orders = rankings(replace(found, ms=None), {RERANKED: passed.scored[k][record.id]})
            timed = dict(times[k].get(record.id, {}))
            first = {stage: timed["first_stage"] for stage in ("first_stage", "total") if timed}
            orders[FIRST_STAGE] = replace(orders[FIRST_STAGE], latency_ms=first)
            orders[RERANKED] = replace(orders[RERANKED], latency_ms=timed)
        rows.append(
            assemble.query_row(record, orders, work.documents, measures, work.relevance, top_n)
        )
    return rows


def _sweep(
    work: ScoringPass,
    records: Sequence[Record],
    passed: Depths,
    rows: Mapping[int, Sequence[QueryRow]],
    times: Mapping[int, Mapping[str, Mapping[str, float]]],
    measures: Sequence[Measure],
    margin: float,
    budget_ms: float | None,
    top_n: int | None,
    seed: int,
    latency_pairs: int,
) -> tuple[Sweep, list[str]]:
    ks = list(rows)
    main = measures[0]
    names = [str(one) for one in measures]
    counted = {k: [row for row in rows[k] if assemble.counts(row)] for k in ks}
    every = np.stack([assemble.values_of(one, [RERANKED], names) for one in counted.values()])
    if not every.size:
        raise EvaluationError(
            "No question has a label, so no depth can be recommended. Add expected_source, qrels "
            "or reference_contexts, or make labels with judge_relevance."
        )
    # (k, queries, 1, measures) to one column per depth and measure, all from the same resamples.
    columns = every[:, :, 0, :].transpose(1, 0, 2)
    summary = assemble.measure_summaries(columns.reshape(len(columns), -1), seed)
    quality = {k: {name: next(summary) for name in names} for k in ks}
    latency = {k: assemble.latency(list(times[k].values())) for k in ks}
    values = columns[:, :, 0]
    totals = [latency[k]["total"].p50 if times[k] else None for k in ks]
    timed = [one for one in totals if one is not None]
    inside = [one <= budget_ms for one in timed] if budget_ms is not None and timed else None
    means = [quality[k][str(main)].mean for k in ks]
    choice = recommend(values, ks, margin=margin, allowed=inside, seed=seed)
    front = sorted(pareto(list(zip(timed or ks, means, strict=True))))
    bent = knee(ks, means)
    points = []
    for i, k in enumerate(ks):
        best, reach = mean_ceilings(work, records, passed.candidates[k], main, top_n)
        points.append(
            SweepPoint(
                k=k,
                measures=quality[k],
                oracle=best,
                missed=reach - best,
                misordered=best - means[i],
                loss=choice.losses[i],
                loss_upper=choice.upper[i],
                within_margin=choice.upper[i] <= margin + 1e-9,
                within_budget=inside[i] if inside else None,
                pareto=i in front,
                selected_share=choice.selected[i],
                latency=latency[k],
            )
        )
    sweep = Sweep(
        measure=str(main),
        margin=margin,
        budget_ms=budget_ms,
        points=tuple(points),
        recommended_k=ks[choice.position],
        verdict=choice.verdict,
        reason=choice.reason,
        argmax_k=ks[choice.argmax],
        knee_k=ks[bent] if bent is not None else None,
        pareto_ks=tuple(ks[i] for i in front),
        stability=choice.selected[choice.position],
        queries_needed=choice.queries_needed,
        scored_pairs=passed.pairs,
        latency_pairs=latency_pairs,
        single_pass=passed.single_pass,
        checks=passed.checks,
    )
    return sweep, _warnings(sweep, choice, means, timed, budget_ms)


def _warnings(
    sweep: Sweep,
    choice: Recommendation,
    means: Sequence[float],
    timed: Sequence[float],
    budget_ms: float | None,
) -> list[str]:
    ks = [point.k for point in sweep.points]
    warnings = []
    if choice.falls:
        k, worst = sweep.argmax_k, choice.falls[-1]
        warnings.append(
            f"Quality falls beyond K={k}: {sweep.measure} is {means[choice.argmax]:.3f} there and "
            f"{means[worst]:.3f} at K={ks[worst]}. More candidates give the reranker more to "
            f"misplace."
        )
    if not timed:
        warnings.append(
            "Latency was not measured per K: with so few questions it would cost more than it is "
            "allowed to. Set latency_queries to measure it."
            + (" The budget was not applied." if budget_ms is not None else "")
        )
    if sweep.verdict == "inconclusive":
        warnings.append(f"The recommendation is inconclusive. {sweep.reason}")
    return warnings
