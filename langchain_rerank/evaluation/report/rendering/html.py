"""A result as a page of its own: no request to anywhere, works from a file, and offline.

The templates beside this module escape all that they are given.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from langchain_rerank.evaluation.report.rendering.queries import page_data
from langchain_rerank.evaluation.report.rendering.view import View
from langchain_rerank.evaluation.report.rendering.words import system_label
from langchain_rerank.evaluation.score.results import EvaluationResult

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
_HEADS = {
    "question": "Question",
    "before": "Before",
    "after": "After",
    "change": "Change",
    "rank": "First relevant",
}


def fragment(view: View) -> str:
    """Return `view` as HTML without styles or scripts, for a notebook cell."""
    return _rendered("cell.html", view=view)


def plain_page(view: View, figures: Mapping[str, str]) -> str:
    """Return a page of its own with `view` and figures (SVG by what it shows), without queries."""
    return _rendered("plain.html", view=view, figures=_as_images(figures))


def page(result: EvaluationResult, view: View, figures: Mapping[str, str]) -> str:
    """Return the whole page: summary, figures, queries, settings.

    Args:
        result: The queries, rankings and texts.
        view: The summary of the same result.
        figures: SVG by what it shows; empty where nothing could be drawn.
    """
    data = page_data(result)
    labels = {str(number): system_label(name) for number, name in enumerate(data["systems"])}
    return _rendered(
        "report.html",
        view=view,
        figures=_as_images(figures),
        data={**data, "systems": list(labels.values())},
        outcomes={one: one for one in _OUTCOMES if result.counts.get(one, 1)},
        measures={str(number): name for number, name in enumerate(result.measures)},
        others={one: name for one, name in labels.items() if one != str(data["baseline"])},
        sorts=_SORTS,
        heads=_HEADS,
    )


def _as_images(figures: Mapping[str, str]) -> dict[str, str]:
    # The ids inside two drawings cannot clash then, and no script in one would run.
    return {one: base64.b64encode(svg.encode()).decode() for one, svg in figures.items()}


def _rendered(template: str, **values: Any) -> str:
    return str(_environment().get_template(template).render(values))


@cache
def _environment() -> Any:
    from jinja2 import Environment, FunctionLoader

    def load(name: str) -> str:
        return files(__package__).joinpath(name).read_text(encoding="utf-8")

    made = Environment(
        loader=FunctionLoader(load), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    # Not as ASCII, which makes a page in another script twice as long.
    made.policies["json.dumps_kwargs"] = {
        "ensure_ascii": False,
        "allow_nan": False,
        "separators": (",", ":"),
    }
    return made
