"""`langchain-rerank compare-models`: several rerankers on the same candidates."""

from __future__ import annotations

from typing import Annotated

import typer

from langchain_rerank.cli import options


def compare_models(
    out: options.OutOption,
    models: Annotated[
        str,
        typer.Option(
            "--models",
            help='Cross-encoders, with commas between: hub names, paths, or "embedded".',
            show_default=False,
        ),
    ],
    collection: options.CollectionArgument = None,
    docs: options.DocsOption = None,
    questions: options.QuestionsOption = None,
    first_stage: options.FirstStageOption = None,
    run: options.RunOption = None,
    embedding_model: options.EmbeddingModelOption = None,
    model_arg: options.ModelArgOption = None,
    first_stage_k: options.FirstStageKOption = 100,
    top_n: options.TopNOption = None,
    measures: options.MeasuresOption = options.MEASURES,
    limit: options.LimitOption = None,
    resume: options.ResumeOption = False,
) -> None:
    """Compare several rerankers: quality, time, and which of them nothing beats in both.

    langchain-rerank compare-models scifact --models embedded,./mine --out out
    """
    from rich.console import Console

    from langchain_rerank.cli.inputs import JOURNAL, Source, deliver, open_inputs, resumable
    from langchain_rerank.cli.models import open_scorer
    from langchain_rerank.evaluation.compare import compare_models as compare

    notes = Console(stderr=True)
    with resumable(out, notes):
        source = Source(first_stage, run, embedding_model, first_stage_k)
        opened = open_inputs(
            collection=collection,
            docs=docs,
            questions=questions,
            limit=limit,
            source=source,
            scorers={
                model: open_scorer(model, default=options.MODEL, model_arg=model_arg)
                for model in options.names(models, "--models")
            },
            measures=measures,
            notes=notes,
        )
        report = compare(
            opened.retriever,
            opened.scorers,
            opened.dataset,
            first_stage_k=first_stage_k,
            top_n=top_n,
            measures=opened.measures,
            journal=out / JOURNAL,
            resume=resume,
            settings=source.settings,
        )
    deliver(report, out, notes)
