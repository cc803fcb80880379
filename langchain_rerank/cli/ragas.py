"""`langchain-rerank ragas`: RAGAS's metrics on one's own data, before and after reranking."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from langchain_rerank.cli import options
from langchain_rerank.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.runnables import Runnable

    from langchain_rerank.evaluation.ragas import Judge


_option = partial(options.option, panel="Judge", show_default=True)
VERDICTS = "verdicts.jsonl"
_ANSWER_PROMPT = (
    "Answer the question from the context only, in a few sentences. Where the context does not "
    "have the answer, say that you do not know.\n\nContext:\n{context}\n\nQuestion: {question}"
)


def ragas(
    out: options.OutOption,
    collection: options.CollectionArgument = None,
    docs: options.DocsOption = None,
    questions: options.QuestionsOption = None,
    follow_symlinks: options.FollowOption = False,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="RAGAS's names, with commas (default: all that can be computed).",
            show_default=False,
        ),
    ] = None,
    judge_base_url: Annotated[
        str | None,
        _option(
            "--judge-base-url",
            "A server that speaks OpenAI's protocol (Ollama, vLLM, llama.cpp), with its /v1.",
        ),
    ] = None,
    judge_model: Annotated[
        str | None, _option("--judge-model", "The model that judges, by its name there.")
    ] = None,
    judge_api_key: Annotated[
        str | None,
        _option("--judge-api-key", "Where the server wants one.", envvar="JUDGE_API_KEY"),
    ] = None,
    answer_model: Annotated[
        str | None,
        _option(
            "--answer-model",
            "A model there that first answers each question from the documents found, for the "
            "metrics of answers.",
        ),
    ] = None,
    structured_output: Annotated[
        bool, _option("--structured-output", "Have the server hold the judge to a JSON schema.")
    ] = False,
    timeout: Annotated[float, _option("--timeout", "Seconds for one answer.", min=0.001)] = 60.0,
    concurrency: Annotated[int, _option("--concurrency", "Questions put at once.", min=1)] = 4,
    dry_run: Annotated[
        bool, _option("--dry-run", "Only show what the judge would be asked.")
    ] = False,
    first_stage: options.FirstStageOption = None,
    run: options.RunOption = None,
    embedding_model: options.EmbeddingModelOption = None,
    language: options.LanguageOption = None,
    model: options.ModelOption = None,
    model_arg: options.ModelArgOption = None,
    model_url: options.ModelUrlOption = None,
    dialect: options.DialectOption = None,
    first_stage_k: options.FirstStageKOption = 50,
    top_n: Annotated[
        int, typer.Option("--top-n", min=1, help="Documents handed over, of both orders.")
    ] = 5,
    limit: options.LimitOption = None,
    resume: options.ResumeOption = False,
) -> None:
    """Compare what the first stage hands to a language model with and without reranking.

    Work on a COLLECTION in BEIR layout, or on --docs with --questions.
    Without a judge, ids and texts are compared; with one, RAGAS's other
    metrics run too:

        langchain-rerank ragas scifact --model embedded --out results

        langchain-rerank ragas --docs guides --questions q.jsonl --out results
        --judge-base-url http://localhost:11434/v1 --judge-model llama3.1

    What the judge answered stays in --out: the same is never asked twice.
    """
    from langchain_rerank.cli.console import notes_console
    from langchain_rerank.cli.inputs import (
        JOURNAL,
        Source,
        open_data,
        open_first_stage,
        resumable,
        say_where,
    )
    from langchain_rerank.cli.models import load, open_scorer
    from langchain_rerank.evaluation.ragas import METRICS, RagasEvaluation
    from langchain_rerank.evaluation.ragas.metrics import parse_metrics
    from langchain_rerank.first_stage import default_embeddings
    from langchain_rerank.retriever import CrossEncoderRerankRetriever

    notes = notes_console()
    judge = _judge(judge_base_url, judge_model, judge_api_key, timeout, structured_output)
    chosen = metrics or ",".join(
        name
        for name, one in METRICS.items()
        if (judge or not one.needs_judge) and (answer_model or "response" not in one.needs)
    )
    embeds = any(one.embeds for one in parse_metrics(chosen))
    chain = _chain(judge_base_url, answer_model, judge_api_key, timeout)
    scorer = open_scorer(model, model_arg=model_arg, model_url=model_url, dialect=dialect)
    with resumable(out, notes):
        source = Source(first_stage, run, embedding_model, first_stage_k, language)
        documents, dataset = open_data(collection, docs, questions, follow_symlinks=follow_symlinks)
        dataset = dataset.head(limit)
        base = open_first_stage(source, documents, dataset, notes)
        load(scorer, notes)
        evaluation = RagasEvaluation(
            CrossEncoderRerankRetriever(
                base_retriever=base,
                model=scorer,
                first_stage_k=first_stage_k,
                top_n=top_n,
            ),
            metrics=chosen,
            judge=judge,
            embeddings=default_embeddings(embedding_model) if embeds else None,
            chain=chain,
            corpus=documents,
            max_concurrency=concurrency,
            verdicts=None if judge is None else out / VERDICTS,
            journal=out / JOURNAL,
            resume=resume,
            on_estimate=lambda estimate: notes.print(str(estimate)),
            settings={**source.settings, "answer_model": answer_model},
        )
        if dry_run:
            typer.echo(str(evaluation.dry_run(dataset)))
            return
        report = evaluation.invoke(dataset)
    report.save(out)
    Console().print(report)
    say_where(out, notes)


def _judge(
    base_url: str | None, model: str | None, api_key: str | None, timeout: float, structured: bool
) -> Judge | None:
    from langchain_rerank.evaluation.ragas import Judge

    if base_url is None and model is None:
        return None
    if base_url is None or model is None:
        missing = "--judge-base-url" if base_url is None else "--judge-model"
        raise ConfigurationError(f"A judge is a server and a model: {missing} is missing.")
    return Judge.at(base_url, model, api_key=api_key, timeout=timeout, structured_output=structured)


def _chain(base_url: str | None, model: str | None, api_key: str | None, timeout: float) -> Any:
    """Return what builds the plainest RAG chain around a retriever, or None without a model."""
    from langchain_rerank.evaluation.judge.judge import chat_model

    if model is None:
        return None
    if base_url is None:
        raise ConfigurationError(
            f"--answer-model {model} is on the server at --judge-base-url: name that, too."
        )
    chat = chat_model(base_url, model, api_key=api_key, timeout=timeout)

    def chain(retriever: Runnable[str, list[Document]]) -> Runnable[str, dict[str, Any]]:
        from langchain_core.prompts import PromptTemplate
        from langchain_core.runnables import RunnableParallel, RunnablePassthrough

        def texts(found: dict[str, Any]) -> str:
            return "\n\n".join(one.page_content for one in found["context"])

        answer = (
            {"context": texts, "question": lambda found: found["question"]}
            | PromptTemplate.from_template(_ANSWER_PROMPT)
            | chat
        )
        found: Any = RunnableParallel(question=RunnablePassthrough(), context=retriever)
        answered: Runnable[str, dict[str, Any]] = found | RunnablePassthrough.assign(answer=answer)
        return answered

    return chain
