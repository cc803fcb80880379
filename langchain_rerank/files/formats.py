"""The running text of a file, in parts, each with what is known of it."""

from __future__ import annotations

import bisect
import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_rerank.errors import DataFileError
from langchain_rerank.files.front_matter import split_front_matter
from langchain_rerank.files.walking import HTML_SUFFIXES
from langchain_rerank.optional import require
from langchain_rerank.reading.text import read_bytes, read_text

# Kinds that no reader here is for, and what to save them as.
_OTHER_KINDS = {
    **dict.fromkeys((".doc", ".odt", ".rtf"), "save it as DOCX"),
    **dict.fromkeys((".ppt", ".pptx", ".odp", ".epub"), "save it as PDF"),
    **dict.fromkeys((".xls", ".xlsx", ".ods"), "save the sheet as CSV (UTF-8)"),
}


@dataclass(frozen=True)
class Part:
    """A text of a file: all of it, or a page.

    Attributes:
        text: The text.
        metadata: What the file says of it (front matter, title, page).
        lines: Where in `text` which line of the file begins, as (offset, line), ascending; empty
            where the file has no lines.
    """

    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[tuple[int, int]] = ()

    def line_at(self, offset: int) -> int | None:
        """Return the line of the file (1-based) in which a place of the text stands."""
        at = bisect.bisect_right(self.lines, offset, key=lambda one: one[0]) - 1
        return self.lines[at][1] if at >= 0 else None


def read_parts(path: Path, *, encoding: str | None = None) -> list[Part]:
    """Return the running text of a file.

    Args:
        path: The file; its suffix says what it is, and any unknown one is text.
        encoding: The encoding of text and HTML; None for what they say themselves, else UTF-8.

    Raises:
        DataFileError: It cannot be read, is damaged, or is of a kind that is not read.
        ConfigurationError: There is no such encoding.
        MissingExtraError: The package for its kind is not installed.
    """
    suffix = path.suffix.lower()
    if suffix in _OTHER_KINDS:
        raise DataFileError(f"{suffix} files are not read; {_OTHER_KINDS[suffix]} first", path=path)
    if suffix == ".pdf":
        return _of_a_package(path, "PDF", _pdf, require("pypdf", extra="files"))
    if suffix == ".docx":
        return _of_a_package(path, "DOCX", _docx, require("docx", extra="files"))
    if suffix in HTML_SUFFIXES:
        soup = require("bs4", extra="files").BeautifulSoup(
            read_bytes(path) if encoding is None else read_text(path, encoding=encoding),
            "html.parser",
        )
        return [_html(soup)]
    text = read_text(path, encoding=encoding).replace("\r\n", "\n").replace("\r", "\n")
    metadata: dict[str, Any] = {}
    before = 0
    if suffix in {".md", ".markdown"}:
        metadata, body = split_front_matter(text)
        before = text.count("\n", 0, len(text) - len(body))
        text = body
    return [Part(text, metadata, list(_line_starts(text, before + 1)))]


def _line_starts(text: str, first: int) -> Iterator[tuple[int, int]]:
    offset = 0
    for number, line in enumerate(text.split("\n"), first):
        yield offset, number
        offset += len(line) + 1


def _of_a_package(
    path: Path, kind: str, read: Callable[[Any, io.BytesIO], list[Part]], package: Any
) -> list[Part]:
    data = read_bytes(path)
    try:
        parts = read(package, io.BytesIO(data))
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # damaged files raise whatever their readers raise
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataFileError(f"cannot be read as {kind} ({said})", path=path) from error
    if not any(part.text.strip() for part in parts):
        raise DataFileError(
            f"this {kind} has no text: its pages are pictures, or empty; text recognition (OCR) "
            f"makes text of pictures",
            path=path,
        )
    return parts


def _pdf(package: Any, data: io.BytesIO) -> list[Part]:
    logger = logging.getLogger("pypdf")
    before = logger.level
    logger.setLevel(logging.CRITICAL)  # it speaks of every oddity that it copes with
    try:
        reader = package.PdfReader(data)
        title = (
            {"title": str(reader.metadata.title)} if (reader.metadata or {}).get("/Title") else {}
        )
        return [
            Part(page.extract_text(), {**title, "page": number})
            for number, page in enumerate(reader.pages, 1)
        ]
    finally:
        logger.setLevel(before)


def _docx(package: Any, data: io.BytesIO) -> list[Part]:
    document = package.Document(data)
    title = document.core_properties.title
    text = "\n\n".join(filter(None, map(_docx_block, document.iter_inner_content())))
    return [Part(text, {"title": title} if title else {})]


def _docx_block(block: Any) -> str:
    if not hasattr(block, "rows"):
        return str(block.text)
    rows = []
    for row in block.rows:
        # A merged cell is listed once for each column that it spans, each time with one element.
        cells = {cell._tc: cell.text.strip() for cell in row.cells}  # noqa: SLF001 - its only name
        rows.append(" | ".join(cells.values()))
    return "\n".join(rows)


# What is no text, and what begins a line of its own.
_NO_TEXT = frozenset({"script", "style", "template", "noscript", "title", "svg"})
_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark q ruby rt rp "  # noqa: SIM905 - reads like the list it is
    "s samp small span strike strong sub sup time tt u var wbr".split()
)
_PARAGRAPHS = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "table", "ul", "ol", "li"})


def _html(soup: Any) -> Part:
    """Return the text that a page shows: a line per block, none of its code."""
    title = " ".join(soup.title.get_text().split()) if soup.title is not None else ""
    text = _Shown()
    # A stack and no recursion: pages may be nested deeply.
    stack: list[tuple[Any, bool, int | None, bool]] = [(soup, False, None, False)]
    while stack:
        node, closing, line, pre = stack.pop()
        name = getattr(node, "name", None)
        if name is None:
            # Comments and doctypes are of other classes.
            if type(node).__name__ in {"NavigableString", "CData"}:
                text.add(str(node), line, pre=pre)
        elif closing:
            text.end_line(paragraph=name in _PARAGRAPHS)
        elif name == "br":
            text.end_line()
        elif name not in _NO_TEXT:
            if name in {"td", "th"}:
                text.next_cell()
            elif name not in _INLINE:
                text.end_line()
                stack.append((node, True, None, False))
            line, pre = getattr(node, "sourceline", line), pre or name == "pre"
            stack.extend((child, False, line, pre) for child in reversed(node.contents))
    return Part("".join(text.pieces), {"title": title} if title else {}, text.lines)


class _Shown:
    """The text of a page as it grows."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.lines: list[tuple[int, int]] = []
        self._size = 0

    def add(self, text: str, line: int | None, *, pre: bool) -> None:
        """Append text of a line of the file, its white space collapsed but in `pre`."""
        if not pre:
            words = " ".join(text.split())
            before = " " if text[:1].isspace() and not self._ends_with("\n", " ") else ""
            text = f"{before}{words}{' ' if words and text[-1:].isspace() else ''}"
        if text:
            if line is not None:
                self.lines.append((self._size, line))
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
