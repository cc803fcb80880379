"""`langchain-rerank bench --alone`: what one query costs with models of several sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from langchain_rerank.bench.alone import ENOUGH_SECONDS, Cost, costs
from langchain_rerank.bench.machine import describe
from langchain_rerank.bench.setup import Settings
from langchain_rerank.bench.shapes import Shape
from langchain_rerank.cli.json_output import SCREEN, write_json
from langchain_rerank.plain_text import printable

if TYPE_CHECKING:
    from langchain_rerank.bench.summary import Spread


def bench_alone(
    shapes: Sequence[Shape], settings: Settings, notes: Console, json_file: Path | None
) -> None:
    """Measure each model, and show and write the table; Ctrl-C ends with what there is."""
    measured: list[Cost] = []
    interrupted = False
    try:
        for cost in costs(shapes, settings, lambda what: notes.print(f"{what}…", style="dim")):
            measured.append(cost)
            notes.print(f"{cost.model}: {_COLUMNS['seconds'](cost)} s", style="dim")
    except KeyboardInterrupt:
        interrupted = True
        notes.print("Interrupted: this is what was measured so far.", style="yellow")
    about = describe(measured[0].device if measured else settings.device)
    if json_file != SCREEN:
        console = Console()
        if not console.is_terminal:
            console.width = 200  # a file has no width of its own
        console.print(_table(measured))
        console.print(_legend(settings, about), style="dim")
    if json_file is not None:
        report = {
            "machine": about,
            "settings": asdict(settings)
            | {"shape": None if settings.model else [shape.value for shape in shapes]},
            "complete": not interrupted,
            "rows": [asdict(cost) for cost in measured],
        }
        write_json(report, json_file)
    if interrupted:
        raise typer.Exit(130)


def _span(spread: Spread) -> str:
    low, high = f"{spread.low:.3g}", f"{spread.high:.3g}"
    return f"{spread.median:.3g}" + (f" ({low}-{high})" if low != high else "")


_COLUMNS: dict[str, Callable[[Cost], str]] = {
    "shape": lambda cost: printable(cost.model),
    "published models of this shape": lambda cost: cost.like or "-",
    "parameters": lambda cost: f"{cost.parameters / 1e6:.0f} M",
    "in memory": lambda cost: f"{cost.megabytes:.0f} MB",
    "precision": lambda cost: cost.dtype,
    "tokens a pair": lambda cost: f"{cost.tokens:.0f}",
    "seconds": lambda cost: _span(cost.seconds),
    "queries": lambda cost: f"{cost.queries}",
    "load s": lambda cost: f"{cost.load_seconds:.1f}",
}


def _table(measured: Sequence[Cost]) -> Table:
    # Markdown, so that it can be put into a page as it is.
    table = Table(box=MARKDOWN)
    for number, name in enumerate(_COLUMNS):
        table.add_column(name, justify="left" if number < 2 else "right")
    for cost in measured:
        table.add_row(*(cell(cost) for cell in _COLUMNS.values()))
    return table


def _legend(settings: Settings, about: dict[str, object]) -> str:
    sizes = settings.sizes
    versions = ", ".join(f"{name} {value}" for name, value in about.items())
    weights = "" if settings.model else " Weights are random: speed does not depend on them."
    return (
        f"seconds: for {sizes.candidates} passages of {sizes.min_tokens} to {sizes.max_tokens} "
        f"tokens, the median over the queries (quartiles), up to {settings.rounds} rounds or "
        f"{ENOUGH_SECONDS:.0f} s a model; load s: from the files to the first score.{weights} "
        f"{versions}."
    )
