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
_WORDS = 12  # characters that a column of words keeps at least: a system, a measure
_GAP = 2  # between two columns

if TYPE_CHECKING:
    from rich.console import RenderableType


def renderables(view: View, width: int) -> Iterator[RenderableType]:
    """Yield what a rich console prints for `view`: sentences, warnings, tables.

    A table that needs more than `width` characters is several, each with its words.
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
        for part in _parts(table, width):
            yield _table(part, text, width)
    for table in view.extremes:
        yield _table(replace(table, rows=table.rows[:EXTREMES]), text, width)


def _parts(table: Table, width: int) -> Iterator[Table]:
    """Yield a table as one or several of which each fits, its figures in their order."""
    room = width - sum(_needs(table, one) + _GAP for one in range(table.words))
    parts: list[list[int]] = [[]]
    left = room
    for one in range(table.words, len(table.columns)):
        needed = _needs(table, one) + _GAP
        if parts[-1] and needed > left:
            parts.append([])
            left = room
        parts[-1].append(one)
        left -= needed
    for part in parts:
        shown = [*range(table.words), *part]
        yield replace(
            table,
            caption=table.caption if part is parts[0] else "",
            columns=tuple(table.columns[one] for one in shown),
            rows=tuple(tuple(row[one] for one in shown) for row in table.rows),
            note=table.note if part is parts[-1] else None,
        )


def _needs(table: Table, position: int) -> int:
    """Return the characters that a column needs: all of a figure, some of what is words."""
    lines = [line for row in table.rows for line in row[position].split("\n")]
    widest = max(map(len, lines), default=0)
    heading = max(map(len, table.columns[position].split()), default=0)
    return max(min(widest, _WORDS) if position < table.words else widest, heading)


def _table(table: Table, text: Any, width: int) -> RenderableType:
    rich_table: Any = require("rich.table", extra="eval").Table
    box: Any = require("rich.box", extra="eval")
    made = rich_table(
        title=text(table.caption, style="bold") if table.caption else None,
        title_justify="left",
        caption=text(table.note) if table.note else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    needed = [_needs(table, one) for one in range(len(table.columns))]
    # Where space is short, words and long headings give way; figures only where nothing else can.
    fits = sum(needed) + _GAP * len(needed) <= width
    for position, column in enumerate(table.columns):
        words = position < table.words
        made.add_column(
            text(column),
            justify="left" if words else "right",
            no_wrap=fits and not words and len(column) <= needed[position],
            min_width=needed[position] if fits else None,
            overflow="fold",
        )
    for position, row in enumerate(table.rows):
        made.add_row(
            *(text(cell) for cell in row), style="bold green" if position == table.chosen else None
        )
    return made  # type: ignore[no-any-return]
