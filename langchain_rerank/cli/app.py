"""The commands, mounted."""

from __future__ import annotations

import typer

from langchain_rerank.cli.search import search

app = typer.Typer(
    help="Rerank documents with a cross-encoder, and measure what it buys.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(search)
