"""`langchain-rerank index`: read and embed folders, so that searches in them begin at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from langchain_rerank.cli import options
from langchain_rerank.cli.console import notes_console
from langchain_rerank.cli.indexing import EmbeddingModelOption, EncodingOption, open_index, told
from langchain_rerank.cli.loading import FirstStage
from langchain_rerank.reading import Form


def index(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER", help="Folders or files. Several may be named.", parser=options.path
        ),
    ],
    first_stage: Annotated[
        FirstStage, typer.Option(help="What it is for: bm25 needs no embeddings.")
    ] = FirstStage.hybrid,
    embedding_model: EmbeddingModelOption = None,
    language: options.LanguageOption = None,
    encoding: EncodingOption = None,
    delimiter: options.DelimiterOption = None,
    split: options.SplitOption = None,
    follow_symlinks: options.FollowOption = False,
) -> None:
    """Read and embed the files under FOLDER, and keep it for searches in them.

    Only files that changed are read again, and only new texts embedded.
    The command search does the same by itself; this does it beforehand.
    """
    found = open_index(
        folders,
        kind=first_stage,
        embedding_model=embedding_model,
        k=1,
        language=language,
        form=Form(encoding, delimiter, split),
        follow_symlinks=follow_symlinks,
        keep=True,
        notes=notes_console(),
    )
    Console().print(told(found), highlight=False)
