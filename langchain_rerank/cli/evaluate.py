"""`langchain-rerank evaluate`: what reranking buys on one's own data, and what it costs."""

from __future__ import annotations

from langchain_rerank.cli import options


def evaluate(
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
    first_stage_k: options.FirstStageKOption = 100,
    top_n: options.TopNOption = None,
    measures: options.MeasuresOption = options.MEASURES,
    limit: options.LimitOption = None,
    resume: options.ResumeOption = False,
) -> None:
    """Compare the first stage with and without reranking, on the same candidates.

    Work on a COLLECTION in BEIR layout, or on --docs with --questions:

        langchain-rerank evaluate scifact --model embedded --out results

        langchain-rerank evaluate --docs guides --questions q.jsonl --out results

    The folder --out gets report.json, report.md, report.html,
    per_query.csv, TREC files and plots.
    """
    from rich.console import Console

    from langchain_rerank.cli.inputs import JOURNAL, Source, deliver, open_inputs, resumable
    from langchain_rerank.cli.models import open_scorer
    from langchain_rerank.evaluation.compare import compare_rerank
    from langchain_rerank.scorers.contract import scorer_name

    notes = Console(stderr=True)
    with resumable(out, notes):
        scorer = open_scorer(
            model,
            default=options.MODEL,
            model_arg=model_arg,
            model_url=model_url,
            dialect=dialect,
        )
        source = Source(first_stage, run, embedding_model, first_stage_k)
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
        report = compare_rerank(
            opened.retriever,
            scorer,
            opened.dataset,
            first_stage_k=first_stage_k,
            top_n=top_n,
            measures=opened.measures,
            journal=out / JOURNAL,
            resume=resume,
            settings=source.settings,
        )
    deliver(report, out, notes)
