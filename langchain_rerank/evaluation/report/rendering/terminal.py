"""A view in the terminal, with rich."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_rerank.evaluation.report.rendering.tables import Table
from langchain_rerank.evaluation.report.rendering.view import View
from langchain_rerank.optional import require
from langchain_rerank.plain_text import printable

EXTREMES = 5  # queries that gained or lost most: the files have more

if TYPE_CHECKING:
    from rich.console import RenderableType


def renderables(view: View) -> Iterator[RenderableType]:
    """Yield what a rich console prints for `view`: sentences, warnings, tables.

    Raises:
        MissingExtraError: rich is not installed.
    """
    rich_text = require("rich.text", extra="eval").Text

    def text(shown: str, style: str = "") -> Any:
        # Text objects throughout: a "[bold]" in a question is a question, not markup. Nor is there
        # anything in it that commands the terminal.
        return rich_text(printable(shown), style=style)

    yield text(view.title, style="bold")
    for line in view.headlines:
        yield text(line)
    for line in view.warnings:
        yield text(f"Warning: {line}", style="yellow")
    for table in view.tables:
        yield _table(table, text)
    for table in view.extremes:
        yield _table(replace(table, rows=table.rows[:EXTREMES]), text)


def _table(table: Table, text: Any) -> RenderableType:
    rich_table: Any = require("rich.table", extra="eval").Table
    box: Any = require("rich.box", extra="eval")
    made = rich_table(
        title=text(table.caption, style="bold"),
        title_justify="left",
        caption=text(table.note) if table.note else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    for position, column in enumerate(table.columns):
        words = position < table.words
        lines = [line for row in table.rows for line in row[position].split("\n")]
        widest = max(map(len, lines), default=0)
        made.add_column(
            text(column),
            justify="left" if words else "right",
            # Where space is short, words and long headings give way; figures do not.
            no_wrap=not words and len(column) <= widest,
            min_width=min(widest, 8) if words else widest,
            overflow="fold",
        )
    for position, row in enumerate(table.rows):
        made.add_row(
            *(text(cell) for cell in row), style="bold green" if position == table.chosen else None
        )
    return made  # type: ignore[no-any-return]
