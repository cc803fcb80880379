"""A result as a page of its own: no request to anywhere, works from a file, and offline."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files

from langchain_rerank.evaluation.report.rendering.queries import page_data
from langchain_rerank.evaluation.report.rendering.view import Table, View
from langchain_rerank.evaluation.report.rendering.words import system_label
from langchain_rerank.evaluation.score.results import EvaluationResult

_PLACE = re.compile(r"\{\{(\w+)\}\}")
_OUTCOMES = ("all", "gained", "lost", "unchanged", "failed", "unlabelled", "invalid")
_SORTS = {
    "change:ascending": "most lost first",
    "change:descending": "most gained first",
    "before:ascending": "lowest before first",
    "before:descending": "highest before first",
    "after:ascending": "lowest after first",
    "after:descending": "highest after first",
    "rank:ascending": "best first relevant rank",
    "rank:descending": "worst first relevant rank",
    "question:ascending": "question, A to Z",
    "question:descending": "question, Z to A",
}


def fragment(view: View) -> str:
    """Return `view` as HTML without styles or scripts, for a notebook cell."""
    lines = [f"<h3>{escape(view.title)}</h3>", *_summary(view)]
    return "\n".join([*lines, *(_table(table) for table in view.extremes)])


def page(result: EvaluationResult, view: View, figures: Mapping[str, str]) -> str:
    """Return the whole page: summary, figures, queries, settings.

    Args:
        result: The queries, rankings and texts.
        view: The summary of the same result.
        figures: SVG by what it shows; empty where nothing could be drawn.
    """
    body = [f"<h1>{escape(view.title)}</h1>", *_summary(view)]
    if figures:
        body.append('<h2>Figures</h2>\n<div class="figures">')
        body.extend(_figure(caption, svg) for caption, svg in figures.items())
        body.append("</div>")
    if result.queries:
        body.append(_queries(result))
    body.append(_settings(view))
    data = page_data(result)
    data["systems"] = [system_label(name) for name in data["systems"]]
    parts = {
        "title": escape(view.title),
        "css": _part("report.css"),
        "js": _part("report.js"),
        "body": "\n".join(body),
        "data": _script_json(data),
    }
    # One pass, so that a "{{js}}" in a document stays text.
    return _PLACE.sub(lambda found: parts[found[1]], _part("report.html"))


@cache
def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _script_json(data: object) -> str:
    """Return JSON that no HTML parser can end early: `<`, `>` and `&` only as escapes."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _summary(view: View) -> list[str]:
    lines = [f'<p class="headline">{escape(line)}</p>' for line in view.headlines]
    lines.extend(f'<p class="warning">{escape(line)}</p>' for line in view.warnings)
    lines.extend(_table(table) for table in view.tables)
    return lines


def _cells(tag: str, cells: Sequence[str], words: int) -> str:
    # Alignment inline: a notebook cell has no style sheet of ours.
    aligned = ["left" if position < words else "right" for position in range(len(cells))]
    return "".join(
        f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>'
        for cell, side in zip(cells, aligned, strict=True)
    )


def _table(table: Table) -> str:
    chosen = ' class="chosen"'
    rows = "\n".join(
        f"<tr{chosen if position == table.chosen else ''}>{_cells('td', row, table.words)}</tr>"
        for position, row in enumerate(table.rows)
    )
    note = f'\n<p class="quiet">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="wide"><table class="summary"><caption>{escape(table.caption)}</caption>\n'
        f"<thead><tr>{_cells('th', table.columns, table.words)}</tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody></table></div>{note}"
    )


def _figure(caption: str, svg: str) -> str:
    # As an image: the ids inside two drawings cannot clash, and no script in one would run.
    source = base64.b64encode(svg.encode()).decode()
    words = escape(caption)
    return (
        f'<figure><img alt="{words}" src="data:image/svg+xml;base64,{source}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _select(name: str, label: str, options: Mapping[str, str], chosen: str, style: str = "") -> str:
    made = "".join(
        f'<option value="{escape(value)}"{" selected" * (value == chosen)}>{escape(text)}</option>'
        for value, text in options.items()
    )
    return f'<label class="{style}">{label}<select id="{name}">{made}</select></label>'


def _queries(result: EvaluationResult) -> str:
    counts = result.counts
    outcomes = {one: one for one in _OUTCOMES if counts.get(one, 1)}
    controls = [
        '<label class="grow">Filter by words, id or tag<input id="filter" type="search"></label>',
        _select("outcome", "Show", outcomes, "all"),
    ]
    if len(result.measures) > 1:
        measures = {str(i): name for i, name in enumerate(result.measures)}
        controls.append(_select("measure", "Measure", measures, "0"))
    others = {
        str(i): system_label(name)
        for i, name in enumerate(result.systems)
        if name != result.baseline
    }
    if len(others) > 1:
        controls.append(_select("system", "System", others, next(iter(others))))
    controls.append(_select("sort", "Sort", _SORTS, "change:ascending", "by-phone"))
    heads = {
        "question": "Question",
        "before": "Before",
        "after": "After",
        "change": "Change",
        "rank": "First relevant",
    }
    head = "".join(
        f'<th data-key="{key}" scope="col"><button type="button">{text}</button></th>'
        for key, text in heads.items()
    )
    return (
        "<h2>Queries</h2>\n"
        '<p class="quiet">Click a question to see how its documents moved. '
        '<span id="count" role="status"></span></p>\n'
        f'<div class="controls">{"".join(controls)}</div>\n'
        f'<div class="wide"><table id="queries"><thead><tr>{head}</tr></thead>'
        "<tbody></tbody></table></div>"
    )


def _settings(view: View) -> str:
    rows = "\n".join(
        f"<tr><td>{escape(key)}</td><td>{escape(value)}</td></tr>" for key, value in view.facts
    )
    return (
        '<details><summary>Settings and environment</summary>\n<div class="wide">'
        f'<table class="settings"><tbody>\n{rows}\n</tbody></table></div></details>'
    )
