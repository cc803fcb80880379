"""`langchain-rerank search`: search one's own files in two stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from langchain_rerank.cli import options
from langchain_rerank.cli.json_output import SCREEN, JsonOption, check_json, write_json
from langchain_rerank.cli.loading import FirstStage

# typer reads these annotations at run time, on Python 3.10 too: Optional, not `| None`.


def search(
    query: Annotated[str, typer.Argument(help="What to search for.")],
    docs: Annotated[
        list[Path],
        typer.Option(
            help="A text, Markdown, HTML, PDF, DOCX or JSONL file, or a folder of them. Repeatable."
        ),
    ],
    first_stage: Annotated[
        FirstStage, typer.Option(help="How the candidates are found.")
    ] = FirstStage.hybrid,
    model: options.ModelOption = None,
    model_arg: options.ModelArgOption = None,
    model_url: options.ModelUrlOption = None,
    dialect: options.DialectOption = None,
    embedding_model: Annotated[
        Optional[str],  # noqa: UP045 - see above
        typer.Option(help="Embeddings of the dense first stage: hub name or path."),
    ] = None,
    first_stage_k: Annotated[int, typer.Option(min=1, help="How many candidates are scored.")] = 50,
    top_n: Annotated[int, typer.Option(min=1, help="How many documents are shown.")] = 5,
    threshold: Annotated[
        Optional[float],  # noqa: UP045 - see above
        typer.Option(help="Lowest relevance score that is shown."),
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Search QUERY in the files under --docs and rerank what the first stage finds."""
    from rich.console import Console

    from langchain_rerank.cli.loading import build_first_stage
    from langchain_rerank.cli.models import load, open_scorer
    from langchain_rerank.files import load_documents
    from langchain_rerank.first_stage import default_embeddings
    from langchain_rerank.retriever import CrossEncoderRerankRetriever
    from langchain_rerank.scorers import contract

    check_json(json_file)
    scorer = open_scorer(
        model, default=options.MODEL, model_arg=model_arg, model_url=model_url, dialect=dialect
    )
    # What is not the result goes to stderr, so that `--json -` can be piped.
    notes = Console(stderr=True)
    documents = load_documents(docs)
    embeddings = None if first_stage is FirstStage.bm25 else default_embeddings(embedding_model)
    with notes.status(f"Indexing {len(documents)} passages ({first_stage.value})…"):
        base = build_first_stage(first_stage, documents, k=first_stage_k, embeddings=embeddings)
    retriever = CrossEncoderRerankRetriever(
        base_retriever=base,
        model=scorer,
        first_stage_k=first_stage_k,
        top_n=top_n,
        score_threshold=threshold,
    )
    try:
        load(scorer, notes)  # first, since the result says how long reranking took
        with notes.status(f"Reranking with {contract.scorer_name(scorer)}…"):
            result = retriever.search(query)
    finally:
        contract.close(scorer)
    if json_file != SCREEN:
        Console().print(result)
    if json_file is not None:
        write_json(result.to_dict(), json_file)
        if json_file != SCREEN:
            notes.print(f"Written to {json_file}", highlight=False, markup=False)
