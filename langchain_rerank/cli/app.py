"""The commands, mounted."""

from __future__ import annotations

import typer

from langchain_rerank.cli.bench import bench
from langchain_rerank.cli.cache import cache
from langchain_rerank.cli.demo import demo
from langchain_rerank.cli.evaluate import COMPARE_HELP, SWEEP_HELP, evaluate
from langchain_rerank.cli.index import index
from langchain_rerank.cli.ragas import ragas
from langchain_rerank.cli.rerank_run import rerank_run
from langchain_rerank.cli.search import search
from langchain_rerank.cli.serve import serve

app = typer.Typer(
    help="Rerank documents with a cross-encoder, and measure what it buys.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(search)
app.command()(index)
app.command()(demo)
app.command()(evaluate)
app.command("sweep", help=SWEEP_HELP)(evaluate)
app.command("compare-models", help=COMPARE_HELP)(evaluate)
app.command()(ragas)
app.command()(bench)
app.command()(serve)
app.command("rerank-run")(rerank_run)
app.command()(cache)
