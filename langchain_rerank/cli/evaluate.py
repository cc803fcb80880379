"""`langchain-rerank evaluate`: what reranking buys on one's own data, and what it costs.

`sweep` and `compare-models` are names for it: with several depths it finds the one to use, with
several models it compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer
from rich.console import Console

from langchain_rerank.cli import options
from langchain_rerank.cli.json_output import SCREEN, JsonOption, check_json, write_json
from langchain_rerank.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever

    from langchain_rerank.evaluation.data.questions import Dataset
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
    from langchain_rerank.reading import Form

    check_json(json_file)
    notes = notes_console()
    with resumable(out, notes):
        depths = options.depths(ks, first_stage_k)
        if not depths:
            depths = list(DEFAULT_KS) if context.info_name == "sweep" else [options.FIRST_STAGE_K]
        check_choice(depths, margin, budget_ms)
        asks_for_depth = len(depths) > 1 or context.info_name == "sweep"
        gates = Gates.of(fail_under, against, margin)
        chosen = parse_measures(measures)
        if (said := respelt(measures)) is not None:
            notes.print(said)
        named: list[str | None] = [*options.model_names(model, models)] or [None]
        scorers = {
            str(name or model_url or options.MODEL): open_scorer(
                name, model_arg=model_arg, model_url=model_url, dialect=dialect
            )
            for name in named
        }
        if tune_threshold and (asks_for_depth or len(scorers) > 1):
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
        dataset = dataset.head(limit)
        unmatched = options.FailOn.unmatched in (fail_on or ())
        retriever, relevance = open_inputs(
            documents, dataset, source, scorers.values(), notes, fail_on_unmatched=unmatched
        )
        floors = [one for one, _ in gates.floors]
        common = {
            "top_n": top_n,
            "first_stage_weight": first_stage_weight or 0.0,
            "resume": resume,
            "settings": source.settings,
            # What a gate asks for is measured, whether or not it was named.
            "measures": list({str(one): one for one in [*chosen, *floors]}.values()),
            "relevance": relevance,
        }
        work = _Work(retriever, scorers, dataset, depths[-1], common, out)
        sweep = {"ks": depths, "margin": margin, "budget_ms": budget_ms}
        report, sweeps, tuned = _done(
            work, sweep if asks_for_depth else None, tunes_threshold=tune_threshold
        )
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


class _Work(NamedTuple):
    """What is evaluated: `k` is the largest depth, `common` what every evaluation is told."""

    retriever: BaseRetriever
    scorers: Mapping[str, Scorer]
    dataset: Dataset
    k: int
    common: dict[str, Any]
    out: Path


def _done(
    work: _Work, sweep: dict[str, Any] | None, *, tunes_threshold: bool
) -> tuple[Report, Mapping[str, Report], ThresholdTuning | None]:
    """Return the report, which is saved, what `_evaluated` returns beside it, and a threshold."""
    from langchain_rerank.evaluation.tune import labelled

    if tunes_threshold:
        # Before anything is scored.
        labelled(work.dataset.usable, work.common["relevance"], "a threshold")
    report, sweeps = _evaluated(work, sweep)
    tuned = None
    try:
        tuned = _threshold(work) if tunes_threshold else None
    finally:  # What fails last loses nothing.
        report.save(work.out, also=tuned.save if tuned is not None else None)
    return report, sweeps, tuned


def _evaluated(work: _Work, sweep: dict[str, Any] | None) -> tuple[Report, Mapping[str, Report]]:
    """Return the report, and of several models at several depths the sweep of each."""
    from langchain_rerank.cli.inputs import JOURNAL
    from langchain_rerank.evaluation.compare import compare_models, compare_rerank
    from langchain_rerank.evaluation.report.rendering.words import file_names
    from langchain_rerank.evaluation.sweep import sweep_k

    retriever, scorers, dataset, k, common, out = work
    sweeps = {}
    if sweep is not None:
        for name, file in file_names(scorers).items():
            folder = out if len(scorers) == 1 else out / "depths" / file
            sweeps[name] = sweep_k(
                retriever, scorers[name], dataset, journal=folder / JOURNAL, **sweep, **common
            )
            if len(scorers) == 1:
                return sweeps[name], {}
            sweeps[name].save(folder)
    at = {"first_stage_k": k, "journal": out / JOURNAL, **common}
    if len(scorers) == 1:
        (scorer,) = scorers.values()
        return compare_rerank(retriever, scorer, dataset, **at), sweeps
    report = compare_models(retriever, scorers, dataset, **at)
    if sweeps:
        found = [f"{name}: K = {one.recommended_k}" for name, one in sweeps.items()]
        said = (
            f"All models at K = {k}. The depth to use of each is in the folder "
            f"depths: {', '.join(found)}."
        )
        report = replace(report, warnings=(*report.warnings, said))
    return report, sweeps


def _threshold(work: _Work) -> ThresholdTuning:
    """Return the threshold to use, from what the comparison kept in its journal."""
    from langchain_rerank.cli.inputs import JOURNAL
    from langchain_rerank.evaluation.threshold import tune_threshold

    (scorer,) = work.scorers.values()
    return tune_threshold(
        work.retriever,
        scorer,
        work.dataset,
        first_stage_k=work.k,
        journal=work.out / JOURNAL,
        resume=True,
        progress=False,
        **{name: work.common[name] for name in ("first_stage_weight", "settings", "relevance")},
    )


def _besides(report: Report, tuned: ThresholdTuning) -> ThresholdTuning:
    """Return a tuned threshold without the warnings that the report has, too."""
    return replace(tuned, warnings=tuple(o for o in tuned.warnings if o not in report.warnings))
