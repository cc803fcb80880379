"""`langchain-rerank sweep`: how many candidates to rerank."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from langchain_rerank.cli import options


def sweep(
    out: options.OutOption,
    collection: options.CollectionArgument = None,
    docs: options.DocsOption = None,
    questions: options.QuestionsOption = None,
    first_stage: options.FirstStageOption = None,
    run: options.RunOption = None,
    embedding_model: options.EmbeddingModelOption = None,
    model: options.ModelOption = None,
    model_arg: options.ModelArgOption = None,
    model_url: options.ModelUrlOption = None,
    dialect: options.DialectOption = None,
    ks: Annotated[
        str, typer.Option("--ks", help="Depths K of the first stage.")
    ] = "10,20,30,50,75,100",
    margin: Annotated[
        float, typer.Option("--margin", min=0.0, help="How much quality may be given up.")
    ] = 0.01,
    budget_ms: Annotated[
        Optional[float],  # noqa: UP045 - typer reads it at run time, on Python 3.10 too
        typer.Option("--budget-ms", min=0.0, help="Largest median time per query, in ms."),
    ] = None,
    top_n: options.TopNOption = None,
    measures: options.MeasuresOption = options.MEASURES,
    limit: options.LimitOption = None,
    resume: options.ResumeOption = False,
) -> None:
    """Find the first-stage depth: quality and time at every K, and the K to use.

    The K to use is the smallest down to which every K is shown to be
    within --margin of any other; not reranking (K = 0) is one of them.
    Only those whose time is within --budget-ms are considered:

        langchain-rerank sweep scifact --model embedded --out results
    """
    from rich.console import Console

    from langchain_rerank.cli.inputs import JOURNAL, Source, deliver, open_inputs, resumable
    from langchain_rerank.cli.models import open_scorer
    from langchain_rerank.evaluation.sweep import check_choice, sweep_k
    from langchain_rerank.scorers.contract import scorer_name

    notes = Console(stderr=True)
    with resumable(out, notes):
        depths = options.depths(ks)
        check_choice(depths, margin, budget_ms)
        scorer = open_scorer(
            model,
            default=options.MODEL,
            model_arg=model_arg,
            model_url=model_url,
            dialect=dialect,
        )
        source = Source(first_stage, run, embedding_model, depths[-1])
        opened = open_inputs(
            collection=collection,
            docs=docs,
            questions=questions,
            limit=limit,
            source=source,
            scorers={scorer_name(scorer): scorer},
            measures=measures,
            notes=notes,
        )
        report = sweep_k(
            opened.retriever,
            scorer,
            opened.dataset,
            ks=depths,
            margin=margin,
            budget_ms=budget_ms,
            top_n=top_n,
            measures=opened.measures,
            journal=out / JOURNAL,
            resume=resume,
            settings=source.settings,
        )
    deliver(report, out, notes)
