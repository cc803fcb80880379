"""A view as Markdown (tables as GitHub reads them)."""

from __future__ import annotations

import re

from langchain_rerank.evaluation.report.rendering.html import rendered
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
    return rendered("report.md", escaped, view=view)
