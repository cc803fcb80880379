"""A view as Markdown (tables as GitHub reads them)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_rerank.evaluation.report.rendering.tables import Table
from langchain_rerank.evaluation.report.rendering.view import View
from langchain_rerank.plain_text import printable

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$])")


def escaped(text: str) -> str:
    r"""Return `text` so that Markdown shows it as it is, on one line, without control characters.

    Examples:
        >>> escaped("a|b *c* <script>")
        'a\\|b \\*c\\* \\<script\\>'
    """
    return _SPECIAL.sub(r"\\\1", " ".join(printable(text).split()))


def markdown(view: View) -> str:
    """Return `view` as Markdown: title, sentences, warnings, tables, settings."""
    blocks = [f"# {escaped(view.title)}"]
    blocks.extend(escaped(line) for line in view.headlines)
    blocks.extend(f"> **Warning:** {escaped(line)}" for line in view.warnings)
    blocks.extend(_table(table) for table in (*view.tables, *view.extremes))
    facts = [_row([escaped(key), escaped(value)]) for key, value in view.facts]
    if facts:
        blocks.append(
            "\n".join(["## Settings", "", _row(["Setting", "Value"]), "|---|---|", *facts])
        )
    return "\n\n".join(blocks) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(table: Table) -> str:
    lines = [f"## {escaped(table.caption)}", "", _row([escaped(one) for one in table.columns])]
    figures = len(table.columns) - table.words
    lines.append("|" + "|".join(["---"] * table.words + ["---:"] * figures) + "|")
    for position, row in enumerate(table.rows):
        cells = [escaped(cell) for cell in row]
        if position == table.chosen:
            cells = [f"**{cell}**" for cell in cells]
        lines.append(_row(cells))
    if table.note:
        lines.extend(["", escaped(table.note)])
    return "\n".join(lines)
