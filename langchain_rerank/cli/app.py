"""The commands, mounted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from langchain_rerank import __version__
from langchain_rerank.cli.bench import bench
from langchain_rerank.cli.cache import cache
from langchain_rerank.cli.console import set_verbosity
from langchain_rerank.cli.demo import demo
from langchain_rerank.cli.evaluate import COMPARE_HELP, SWEEP_HELP, evaluate
from langchain_rerank.cli.index import index
from langchain_rerank.cli.ragas import ragas
from langchain_rerank.cli.rerank_run import rerank_run
from langchain_rerank.cli.search import search
from langchain_rerank.cli.serve import serve


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"langchain-rerank {__version__}")
        raise typer.Exit


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def every_command(
    *,
    version: Annotated[  # noqa: ARG001 - eager: shown before anything else
        bool,
        typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Results and errors only: no notes, no progress.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more: what was chosen and why.")
    ] = False,
) -> None:
    """Rerank documents with a cross-encoder, and measure what it buys."""
    set_verbosity(quiet=quiet, verbose=verbose)


def _interruptible(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that says so when Ctrl-C ends it."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            sys.stderr.write("\nInterrupted.\n")
            raise typer.Exit(130) from None

    return run


app.command(context_settings={"allow_extra_args": True})(_interruptible(search))
app.command()(_interruptible(index))
app.command()(_interruptible(demo))
app.command()(_interruptible(evaluate))
app.command("sweep", help=SWEEP_HELP)(_interruptible(evaluate))
app.command("compare-models", help=COMPARE_HELP)(_interruptible(evaluate))
app.command()(_interruptible(ragas))
app.command()(_interruptible(bench))
app.command()(_interruptible(serve))
app.command("rerank-run")(_interruptible(rerank_run))
app.command()(_interruptible(cache))
