"""A result as a page of its own (no request to anywhere: it works offline), and as Markdown.

The templates beside this module escape all that they are given.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from langchain_rerank.evaluation.report.rendering.queries import page_data
from langchain_rerank.evaluation.report.rendering.view import View
from langchain_rerank.evaluation.score.results import EvaluationResult
from langchain_rerank.plain_text import printable

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~$])")
_OUTCOMES = ("all", "gained", "lost", "unchanged", "failed", "unlabelled", "invalid")


def fragment(view: View) -> str:
    """Return `view` as HTML without styles or scripts, for a notebook cell."""
    return _rendered("cell.html", view=view)


def markdown(view: View) -> str:
    """Return `view` as Markdown, with tables as GitHub reads them."""
    return _rendered("report.md", escaped, view=view)


def escaped(text: str) -> str:
    r"""Return `text` so that Markdown shows it as it is, on one line, without control characters.

    Examples:
        >>> escaped("a|b *c* <script>")
        'a\\|b \\*c\\* \\<script\\>'
    """
    return _SPECIAL.sub(r"\\\1", " ".join(printable(text).split()))


def page(view: View, figures: Mapping[str, str], result: EvaluationResult | None = None) -> str:
    """Return a page of its own.

    Args:
        view: The summary.
        figures: SVG by what it shows; empty where nothing could be drawn.
        result: What the page has the queries, rankings and texts of; None for a page without.
    """
    # As images: the ids inside two drawings cannot clash then, and no script in one would run.
    images = {one: base64.b64encode(svg.encode()).decode() for one, svg in figures.items()}
    if result is None:
        return _rendered("plain.html", view=view, figures=images)
    data = page_data(result)
    systems = enumerate(data["systems"])
    return _rendered(
        "report.html",
        view=view,
        figures=images,
        data=data,
        outcomes=[(one, one) for one in _OUTCOMES if result.counts.get(one, 1)],
        measures=list(enumerate(result.measures)),
        others=[(number, name) for number, name in systems if number != data["baseline"]],
    )


def _rendered(template: str, escape: Callable[[str], str] | None = None, **values: Any) -> str:
    """Return a template with its values, escaped by `escape` (None: as HTML)."""
    return str(_environment(escape).get_template(template).render(values))


@cache
def _environment(escape: Callable[[str], str] | None) -> Any:
    from jinja2 import Environment, FunctionLoader

    def load(name: str) -> str:
        return files(__package__).joinpath(name).read_text(encoding="utf-8")

    made = Environment(
        loader=FunctionLoader(load),
        autoescape=escape is None,  # noqa: S701 - what is no HTML is escaped by `escape`
        finalize=escape,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Not as ASCII, which makes a page in another script twice as long.
    made.policies["json.dumps_kwargs"] = {
        "ensure_ascii": False,
        "allow_nan": False,
        "separators": (",", ":"),
    }
    return made
