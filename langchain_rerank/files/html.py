"""The text that a page of HTML shows, and the line of the file in which each piece of it stands."""

from __future__ import annotations

import codecs
import warnings
from typing import Any

from langchain_rerank.optional import require

# What is no text, and what begins a line of its own.
_NO_TEXT = frozenset({"script", "style", "template", "noscript", "title", "svg"})
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark q ruby rt rp "  # noqa: SIM905 - reads like the list it is
    "s samp small span strike strong sub sup time tt u var wbr".split()
)
_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "table", "ul", "ol", "li"})


# What the encoding of a page gives back as it is, and what only Python calls an encoding does not.
_PROBE = "<p a='1'> \\x41 +AGE-"


def declared_encoding(data: bytes) -> str | None:
    """Return the encoding that a page says it is in, as browsers understand it; None for no word.

    Examples:
        >>> declared_encoding(b"<meta charset='shift_jis'>")
        'shift_jis'
        >>> declared_encoding(b"<meta charset='iso-8859-1'>")
        'cp1252'
        >>> declared_encoding(b"<p>charset</p>")
    """
    detector = require("bs4.dammit", extra="files").EncodingDetector
    said = detector.find_declared_encoding(data, is_html=True)
    try:
        name = codecs.lookup(said or "").name
        # What could be read so far is ASCII, so it cannot be two bytes a character either.
        fits = _PROBE.encode().decode(name) == _PROBE
    except (LookupError, ValueError):
        return None
    if not fits:
        return None
    return "cp1252" if name in {"iso8859-1", "ascii"} else name


def shown_text(page: str) -> tuple[str, str, list[tuple[int, int]]]:
    r"""Return the title of a page, its text, and where in the text which line begins.

    The text has a line per block, none of its code, and white space as browsers show it.
    The lines of the page end in `\n`.
    """
    package = require("bs4", extra="files")
    with warnings.catch_warnings():
        # That XHTML may be read as XML, or a short page be a name: not for who searches.
        warnings.simplefilter("ignore", package.UnusualUsageWarning)
        soup = package.BeautifulSoup(page, "html.parser")
    title = " ".join(soup.title.get_text().split()) if soup.title is not None else ""
    text = _Shown()
    # A stack and no recursion: pages may be nested deeply.
    stack: list[tuple[Any, bool, bool]] = [(soup, False, False)]
    while stack:
        node, closing, pre = stack.pop()
        name = getattr(node, "name", None)
        if name is None:
            # Comments and doctypes are of other classes.
            if type(node).__name__ in {"NavigableString", "CData"}:
                text.add(str(node), pre=pre)
            else:
                text.line += str(node).count("\n")
            continue
        if closing:
            text.end_line(paragraph=name in _PARAGRAPHS)
            continue
        text.line = getattr(node, "sourceline", None) or text.line
        if name == "br":
            text.end_line()
        elif name in _NO_TEXT:
            text.line += str(node).count("\n")
        else:
            if name in {"td", "th"}:
                text.next_cell()
            elif name not in _INLINE:
                text.end_line()
                stack.append((node, True, False))
            pre = pre or name == "pre"
            stack.extend((child, False, pre) for child in reversed(node.contents))
    return title, "".join(text.pieces), text.lines


class _Shown:
    """The text of a page as it grows."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.lines: list[tuple[int, int]] = []
        self.line = 1
        """The line of the file that is being read: the parser tells that of tags alone."""
        self._size = 0

    def add(self, text: str, *, pre: bool) -> None:
        """Append text, its white space collapsed but in `pre`."""
        for number, part in enumerate(text.split("\n")):
            self.line += number > 0
            self._add(f"\n{part}" if number else part, pre=pre)

    def _add(self, text: str, *, pre: bool) -> None:
        if not pre:
            words = " ".join(text.split())
            before = " " if text[:1].isspace() and not self._ends_with("\n", " ") else ""
            text = f"{before}{words}{' ' if words and text[-1:].isspace() else ''}"
        if text:
            self.lines.append((self._size, self.line))
            self._append(text)

    def end_line(self, *, paragraph: bool = False) -> None:
        """Begin a new line, after an empty one for a paragraph, if one is open."""
        if not self._ends_with("\n"):
            self._append("\n\n" if paragraph else "\n")

    def next_cell(self) -> None:
        """Part this cell of a table from the one before it."""
        if not self._ends_with("\n"):
            self._append(" | ")

    def _append(self, text: str) -> None:
        self.pieces.append(text)
        self._size += len(text)

    def _ends_with(self, *ends: str) -> bool:
        return not self.pieces or self.pieces[-1].endswith(ends)
