"""`langchain-rerank search`: search one's own files in two stages."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from langchain_rerank.cli import options
from langchain_rerank.cli.filtering import FilterOption, document_filter
from langchain_rerank.cli.indexing import (
    EmbeddingModelOption,
    EncodingOption,
    open_index,
    where_it_is,
)
from langchain_rerank.cli.json_output import SCREEN, JsonOption, check_json, write_json
from langchain_rerank.cli.loading import FirstStage
from langchain_rerank.documents import with_metadata
from langchain_rerank.errors import ConfigurationError, InputError
from langchain_rerank.reading import Form
from langchain_rerank.scorers.contract import scorer_name

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from langchain_rerank.result import RerankResult
    from langchain_rerank.retriever import CrossEncoderRerankRetriever


def search(
    context: typer.Context,
    query: Annotated[
        str | None,
        typer.Argument(
            metavar="QUERY",
            help="What to search for; without it, asked for again and again.",
            show_default=False,
        ),
    ] = None,
    docs: Annotated[
        list[Path] | None,
        typer.Option(
            help="What to search in: a text, Markdown, HTML, PDF, DOCX or JSONL file, or a folder "
            "of them. Required, repeatable.",
            parser=options.path,
            metavar="PATH",
            show_default=False,
        ),
    ] = None,
    interactive: Annotated[
        bool,
        typer.Option("--interactive", "-i", help="Ask for further questions after the first."),
    ] = False,
    first_stage: Annotated[
        FirstStage, typer.Option(help="How the candidates are found.")
    ] = FirstStage.hybrid,
    model: options.ModelOption = None,
    model_arg: options.ModelArgOption = None,
    model_url: options.ModelUrlOption = None,
    dialect: options.DialectOption = None,
    embedding_model: EmbeddingModelOption = None,
    first_stage_k: Annotated[int, typer.Option(min=1, help="How many candidates are scored.")] = 50,
    top_n: Annotated[int, typer.Option(min=1, help="How many documents are shown.")] = 5,
    first_stage_weight: options.FirstStageWeightOption = None,
    metadata_field: Annotated[
        list[str] | None,
        typer.Option(help="Metadata (a title, say) that is read with each text. Repeatable."),
    ] = None,
    filters: FilterOption = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Lowest relevance score that is shown."),
    ] = None,
    language: options.LanguageOption = None,
    encoding: EncodingOption = None,
    delimiter: options.DelimiterOption = None,
    split: options.SplitOption = None,
    follow_symlinks: options.FollowOption = False,
    no_index: Annotated[
        bool,
        typer.Option("--no-index", help="Compute everything anew, and keep nothing for later."),
    ] = False,
    json_file: JsonOption = None,
) -> None:
    """Search QUERY in the files under --docs and rerank what the first stage finds.

    What is read and embedded is kept for the next search (see the command cache).
    """
    from langchain_rerank.checks import check_query
    from langchain_rerank.cli.console import notes_console, verbosity
    from langchain_rerank.cli.model_names import check_scorer
    from langchain_rerank.cli.models import default_weight, load, open_scorer
    from langchain_rerank.retriever import CrossEncoderRerankRetriever
    from langchain_rerank.scorers import contract

    if more := context.args:
        there = next((one for one in more if Path(one).exists()), None)
        raise ConfigurationError(
            f"After the question stands {more[0]!r}. "
            + (
                f"Files are given with --docs: --docs {there}."
                if there
                else "Put the question in quotes."
            )
        )
    if not docs:
        raise ConfigurationError(
            "There is nothing to search in: name files or folders with --docs, as in --docs notes."
        )
    check_json(json_file)
    again = interactive or query is None
    if again and json_file is not None:
        raise ConfigurationError("--json writes the result of one question; name that question.")
    if again and sys.stdin is None:
        raise ConfigurationError(
            "There is nothing to read a question from (standard input is closed); name it after "
            "search, in quotes."
        )
    if query is not None:
        check_query(query)  # before minutes of embedding
    scorer = open_scorer(model, model_arg=model_arg, model_url=model_url, dialect=dialect)
    check_scorer(scorer)
    # What is not the result goes to stderr, so that `--json -` can be piped.
    notes = notes_console()
    base = open_index(
        docs,
        kind=first_stage,
        embedding_model=embedding_model,
        k=first_stage_k,
        language=language,
        form=Form(encoding, delimiter, split),
        follow_symlinks=follow_symlinks,
        keep=not no_index,
        notes=notes,
    )
    keep = document_filter(filters, base.documents)
    retriever = CrossEncoderRerankRetriever(
        base_retriever=base,
        model=scorer,
        first_stage_k=first_stage_k,
        top_n=top_n,
        score_threshold=threshold,
        metadata_fields=metadata_field or [],
        first_stage_weight=default_weight(scorer, first_stage)
        if first_stage_weight is None
        else first_stage_weight,
    )
    path = where_it_is(base.files)
    try:
        load(scorer, notes)  # first, since the result says how long reranking took
        if query is not None:
            _deliver(_found(retriever, query, notes, keep), json_file, path, notes)
            seconds = time.perf_counter() - verbosity.started
            notes.print(f"{seconds:.1f} s in all, with loading.")
        if again:
            for question in _questions(notes):
                try:
                    _show(_found(retriever, question, notes, keep), path)
                except InputError as error:
                    notes.print(str(error))
    finally:
        contract.close(scorer)


def _deliver(
    result: RerankResult, json_file: Path | None, path: Callable[[str], str], notes: Console
) -> None:
    if json_file != SCREEN:
        _show(result, path)
    if json_file is not None:
        write_json(result.to_dict(), json_file)
        if json_file != SCREEN:
            notes.print(f"Written to {json_file}")


def _found(
    retriever: CrossEncoderRerankRetriever,
    query: str,
    notes: Console,
    keep: Callable[[Document], bool] | None,
) -> RerankResult:
    filtered: dict[str, Any] = {} if keep is None else {"filter": keep}
    with notes.status(f"Reranking with {scorer_name(retriever.scorer)}…"):
        return retriever.search(query, None, **filtered)


def _show(result: RerankResult, path: Callable[[str], str]) -> None:
    documents = [
        with_metadata(document, {"source": path(str(document.metadata["source"]))})
        if "source" in document.metadata
        else document
        for document in result.documents
    ]
    console = Console()
    shown = dataclasses.replace(result, documents=documents)
    console.print(shown, soft_wrap=not console.is_terminal)


def _questions(notes: Console) -> Iterator[str]:
    """Yield one question after the other until there is none."""
    asking = sys.stdin.isatty()
    if asking:
        notes.print("Ask; an empty line ends.")
    while True:
        if asking:
            notes.print("? ", end="", style="bold")
        line = sys.stdin.readline()
        if not line or (asking and not line.strip()):
            return
        if line.strip():
            yield line.strip()
