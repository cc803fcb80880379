"""The index of the files under `--docs`, brought up to date with a counter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bar,
)

from langchain_rerank.cli import options
from langchain_rerank.cli.loading import FirstStage
from langchain_rerank.first_stage.kept.refresh import Progress
from langchain_rerank.first_stage.kept.retriever import IndexRetriever
from langchain_rerank.reading import Form
from langchain_rerank.reading.text import is_file

EncodingOption = Annotated[
    str | None,
    typer.Option(
        help="Encoding of text files; default: UTF-8, or what they say.", show_default=False
    ),
]


EmbeddingModelOption = Annotated[
    str | None, typer.Option(help="Embeddings of the dense first stage: hub name or path.")
]


def open_index(
    files: Sequence[Path],
    *,
    kind: FirstStage,
    embedding_model: str | None,
    k: int,
    language: str | None,
    form: Form,
    follow_symlinks: bool,
    keep: bool,
    notes: Console,
) -> IndexRetriever:
    """Return the first stage over files, its index brought up to date, and `keep` it or not.

    Raises:
        DataFileError: As from `load_documents`.
        ConfigurationError: A setting is impossible.
        ModelLoadError: There is no such embedding model.
    """
    from langchain_rerank.cli.model_names import check_embedder
    from langchain_rerank.first_stage.embeddings import default_embeddings, embedding_name
    from langchain_rerank.scorers.engine.model_files import fingerprint

    embeddings = key = None
    if kind is not FirstStage.bm25:
        name = embedding_name(embedding_model)
        check_embedder(name)
        with notes.status(f"Loading {Path(name).name}…"):
            embeddings = default_embeddings(embedding_model)
        key = fingerprint(name)
    with counter(notes) as progress:
        return IndexRetriever.from_files(
            files,
            kind=kind.value,
            embeddings=embeddings,
            embedding_key=key,
            k=k,
            language=options.language(language),
            form=form,
            follow_symlinks=follow_symlinks,
            store="default" if keep else None,
            progress=progress,
        )


@contextmanager
def counter(notes: Console) -> Iterator[Progress]:
    """Give a hook that shows what is done, how many of how many, and the time that is left."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    tasks: dict[str, TaskID] = {}
    # Elsewhere than on a terminal it would leave an empty line and nothing else.
    seen = notes.is_terminal
    with Bar(
        *columns, TimeRemainingColumn(), console=notes, transient=True, disable=not seen
    ) as bar:

        def show(what: str, done: int, total: int) -> None:
            if not total:
                notes.print(f"{what}…")
                return
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        yield show


def told(index: IndexRetriever) -> str:
    """Return what an index holds and what was new, in one line."""
    found = index.found
    return (
        f"{several(found.files, 'file')}, {several(len(found.documents), 'passage')}: "
        f"{several(found.read, 'file')} read, {several(found.embedded, 'text')} embedded."
    )


def several(n: int, what: str) -> str:
    """Return a number of things in words.

    Examples:
        >>> several(1, "file"), several(2000, "file")
        ('1 file', '2,000 files')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def where_it_is(roots: Sequence[Path]) -> Callable[[str], str]:
    """Return how a source below `roots` is reached from here, so that a terminal can open it."""

    def path(source: str) -> str:
        for root in roots:
            for one in (root / source, root):
                if is_file(one) and (one != root or root.name == source):
                    return str(one)
        return source

    return path
