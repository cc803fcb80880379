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
    model: Annotated[
        str,
        typer.Option(help='Cross-encoder: hub name, path, or "embedded" (needs no hub).'),
    ] = "BAAI/bge-reranker-large",
    model_arg: options.ModelArgOption = None,
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
    from langchain_rerank.files import load_documents
    from langchain_rerank.first_stage import default_embeddings
    from langchain_rerank.retriever import CrossEncoderRerankRetriever
    from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer

    check_json(json_file)
    load_settings = options.load_settings(model_arg)
    # What is not the result goes to stderr, so that `--json -` can be piped.
    notes = Console(stderr=True)
    documents = load_documents(docs)
    embeddings = None if first_stage is FirstStage.bm25 else default_embeddings(embedding_model)
    with notes.status(f"Indexing {len(documents)} passages ({first_stage.value})…"):
        base = build_first_stage(first_stage, documents, k=first_stage_k, embeddings=embeddings)
    with CrossEncoderScorer(model, **load_settings) as scorer:
        retriever = CrossEncoderRerankRetriever(
            base_retriever=base,
            model=scorer,
            first_stage_k=first_stage_k,
            top_n=top_n,
            score_threshold=threshold,
        )
        with notes.status(f"Loading {model}…"):
            scorer.load()  # first, since the result says how long reranking took
        with notes.status(f"Reranking with {model}…"):
            result = retriever.search(query)
    if json_file != SCREEN:
        Console().print(result)
    if json_file is not None:
        write_json(result.to_dict(), json_file)
        if json_file != SCREEN:
            notes.print(f"Written to {json_file}", highlight=False, markup=False)
