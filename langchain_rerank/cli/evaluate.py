"""`langchain-rerank evaluate`: what reranking buys on one's own data, and what it costs.

`sweep` and `compare-models` are names for it: with several depths it finds the one to use, with
several models it compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from langchain_rerank.cli import options
from langchain_rerank.cli.json_output import SCREEN, JsonOption, check_json, write_json
from langchain_rerank.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_rerank.cli.inputs import Inputs
    from langchain_rerank.evaluation.report.report import Report
    from langchain_rerank.evaluation.report.threshold import ThresholdTuning
    from langchain_rerank.scorers.contract import Scorer

SWEEP_HELP = """Find the first-stage depth: quality and time at every K, and the K to use.

The K to use is shown to lose no more than --margin, and its time is
within --budget-ms; K = 0, not reranking, is always one of them:

    langchain-rerank sweep scifact --model embedded --out results
"""
COMPARE_HELP = """Compare several rerankers: quality, time, and the one to take.

    langchain-rerank compare-models scifact --models embedded,./mine --out out
"""


def evaluate(
    context: typer.Context,
    out: options.OutOption,
    collection: options.CollectionArgument = None,
    docs: options.DocsOption = None,
    questions: options.QuestionsOption = None,
    split: options.SplitOption = None,
    encoding: options.EncodingOption = None,
    delimiter: options.DelimiterOption = None,
    chunk_size: options.ChunkSizeOption = None,
    follow_symlinks: options.FollowOption = False,
    limit: options.LimitOption = None,
    first_stage: options.FirstStageOption = None,
    run: options.RunOption = None,
    embedding_model: options.EmbeddingModelOption = None,
    language: options.LanguageOption = None,
    first_stage_weight: options.FirstStageWeightOption = None,
    first_stage_k: options.FirstStageKsOption = None,
    ks: options.KsOption = None,
    model: options.ModelsOption = None,
    models: options.ModelNamesOption = None,
    model_arg: options.ModelArgOption = None,
    model_url: options.ModelUrlOption = None,
    dialect: options.DialectOption = None,
    top_n: options.TopNOption = None,
    measures: options.MeasuresOption = options.MEASURES,
    margin: options.MarginOption = 0.01,
    budget_ms: options.BudgetOption = None,
    json_file: JsonOption = None,
    fail_under: options.FailUnderOption = None,
    against: options.AgainstOption = None,
    fail_on: options.FailOnOption = None,
    resume: options.ResumeOption = False,
    tune_threshold: options.TuneThresholdOption = False,
) -> None:
    """Compare the first stage with and without reranking, on the same candidates.

    Work on a COLLECTION in BEIR layout, or on --docs with --questions:

        langchain-rerank evaluate scifact --model embedded --out results

        langchain-rerank evaluate --docs guides --questions q.jsonl --out results

    Several --model are compared; of several --first-stage-k the one to use
    is found. The folder --out gets report.json, report.md, report.html,
    per_query.csv, TREC files and plots.

    For continuous integration: exit code 1 where quality is under
    --fail-under or below --against, 2 where the command cannot run.
    """
    from rich.console import Console

    from langchain_rerank.cli.console import notes_console
    from langchain_rerank.cli.gates import Gates
    from langchain_rerank.cli.inputs import (
        Source,
        open_data,
        open_inputs,
        resumable,
        say_where,
    )
    from langchain_rerank.cli.models import open_scorer
    from langchain_rerank.evaluation.score.measures import parse_measures, respelt
    from langchain_rerank.evaluation.sweep import DEFAULT_KS, check_choice
    from langchain_rerank.evaluation.tune import labelled
    from langchain_rerank.reading import Form

    check_json(json_file)
    notes = notes_console()
    with resumable(out, notes):
        depths = options.depths(ks, first_stage_k)
        if not depths:
            depths = list(DEFAULT_KS) if context.info_name == "sweep" else [options.FIRST_STAGE_K]
        check_choice(depths, margin, budget_ms)
        is_sweep = len(depths) > 1 or context.info_name == "sweep"
        gates = Gates.of(fail_under, against, margin)
        chosen = parse_measures(measures)
        if (said := respelt(measures)) is not None:
            notes.print(said, highlight=False, markup=False)
        named: list[str | None] = [*options.model_names(model, models)] or [None]
        scorers = {
            str(name or model_url or options.MODEL): open_scorer(
                name,
                default=options.MODEL,
                model_arg=model_arg,
                model_url=model_url,
                dialect=dialect,
            )
            for name in named
        }
        if tune_threshold and (is_sweep or len(scorers) > 1):
            raise ConfigurationError(
                "--tune-threshold is for one --model at one --first-stage-k: each has a scale and "
                "a threshold of its own."
            )
        source = Source(first_stage, run, embedding_model, depths[-1], language)
        documents, dataset = open_data(
            collection,
            docs,
            questions,
            form=Form(encoding, delimiter, split),
            chunk_size=chunk_size,
            follow_symlinks=follow_symlinks,
        )
        opened = open_inputs(
            (documents, dataset.head(limit)),
            source=source,
            scorers=scorers,
            # What a gate asks for is measured, whether or not it was named.
            measures=[
                *chosen,
                *(one for one, _ in gates.floors if str(one) not in map(str, chosen)),
            ],
            fail_on_unmatched=options.FailOn.unmatched in (fail_on or ()),
            notes=notes,
        )
        plan = _Plan(
            depths,
            margin,
            budget_ms,
            {
                "top_n": top_n,
                "first_stage_weight": first_stage_weight or 0.0,
                "resume": resume,
                "settings": source.settings,
            },
            is_sweep=is_sweep,
        )
        if tune_threshold:
            # Before anything is scored.
            labelled(opened.dataset.usable, opened.relevance, "a threshold")
        report, sweeps = _evaluated(opened, plan, out)
        tuned = None
        try:
            tuned = _threshold(opened, plan, out) if tune_threshold else None
        finally:  # What fails last loses nothing.
            report.save(out, also=tuned.save if tuned is not None else None)
    if json_file is not None:
        more: dict[str, Any] = {}
        if sweeps:
            more["depths"] = {name: one.to_dict() for name, one in sweeps.items()}
        if tuned is not None:
            more["threshold"] = tuned.to_dict()
        write_json({**report.to_dict(), **more}, json_file)
    if json_file != SCREEN:
        for one in (*sweeps.values(), report, *([_besides(report, tuned)] if tuned else [])):
            Console().print(one)
    say_where(out, notes)
    gates.enforce(report, notes)


@dataclass(frozen=True)
class _Plan:
    """What is asked of the systems.

    Attributes:
        depths: Depths of the first stage, ascending.
        margin: How much quality a smaller depth may give up.
        budget_ms: The largest median time per query.
        common: What every evaluation is told.
        is_sweep: Whether the depth to use is asked for.
    """

    depths: list[int]
    margin: float
    budget_ms: float | None
    common: dict[str, Any]
    is_sweep: bool


def _evaluated(opened: Inputs, plan: _Plan, out: Path) -> tuple[Report, Mapping[str, Report]]:
    """Return the report, and of several models at several depths the sweep of each."""
    from langchain_rerank.cli.inputs import JOURNAL
    from langchain_rerank.evaluation.compare import compare_models, compare_rerank
    from langchain_rerank.evaluation.report.rendering.words import file_names

    common = {
        **plan.common,
        "measures": opened.measures,
        "relevance": opened.relevance,
        "journal": out / JOURNAL,
    }
    scorers = dict(opened.scorers)
    if plan.is_sweep and len(scorers) == 1:
        return _swept(opened, next(iter(scorers.values())), plan, common), {}
    sweeps = {}
    if plan.is_sweep:
        for name, file in file_names(scorers).items():
            folder = out / "depths" / file
            own = {**common, "journal": folder / JOURNAL}
            sweeps[name] = _swept(opened, scorers[name], plan, own)
            sweeps[name].save(folder)
    at = {"first_stage_k": plan.depths[-1], **common}
    if len(scorers) == 1:
        (scorer,) = scorers.values()
        return compare_rerank(opened.retriever, scorer, opened.dataset, **at), sweeps
    report = compare_models(opened.retriever, scorers, opened.dataset, **at)
    if sweeps:
        found = [f"{one}: K = {sweep.recommended_k}" for one, sweep in sweeps.items()]
        said = (
            f"All models at K = {plan.depths[-1]}. The depth to use of each is in the folder "
            f"depths: {', '.join(found)}."
        )
        report = replace(report, warnings=(*report.warnings, said))
    return report, sweeps


def _threshold(opened: Inputs, plan: _Plan, out: Path) -> ThresholdTuning:
    """Return the threshold to use, from what the comparison kept in its journal."""
    from langchain_rerank.cli.inputs import JOURNAL
    from langchain_rerank.evaluation.threshold import tune_threshold

    (scorer,) = opened.scorers.values()
    return tune_threshold(
        opened.retriever,
        scorer,
        opened.dataset,
        first_stage_k=plan.depths[-1],
        first_stage_weight=plan.common["first_stage_weight"],
        settings=plan.common["settings"],
        relevance=opened.relevance,
        journal=out / JOURNAL,
        resume=True,
        progress=False,
    )


def _besides(report: Report, tuned: ThresholdTuning) -> ThresholdTuning:
    """Return a tuned threshold without the warnings that the report has, too."""
    return replace(tuned, warnings=tuple(o for o in tuned.warnings if o not in report.warnings))


def _swept(opened: Inputs, scorer: Scorer, plan: _Plan, common: dict[str, Any]) -> Report:
    from langchain_rerank.evaluation.sweep import sweep_k

    return sweep_k(
        opened.retriever,
        scorer,
        opened.dataset,
        ks=plan.depths,
        margin=plan.margin,
        budget_ms=plan.budget_ms,
        **common,
    )
