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
from langchain_rerank.files.html import declared_encoding, shown_text
from langchain_rerank.files.walking import HTML_SUFFIXES, MARKDOWN_SUFFIXES, UNREAD_PAGES
from langchain_rerank.files.word import document_text
from langchain_rerank.optional import require
from langchain_rerank.reading.text import read_bytes, read_text

# Kinds that no reader here is for, and what to save them as.
_OTHER_KINDS = {
    **dict.fromkeys((".doc", ".odt", ".rtf"), "save it as DOCX"),
    **dict.fromkeys((".ppt", ".pptx", ".odp", ".epub"), "save it as PDF"),
    **dict.fromkeys((".xls", ".xlsx", ".ods"), "save the sheet as CSV (UTF-8)"),
    ".ipynb": "save it as Markdown (jupyter nbconvert --to markdown)",
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
    """Return the running text of a file, of which the suffix says what it is; any other is text.

    `encoding` is that of text and HTML; None for what they say themselves, else UTF-8.

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
        require("bs4", extra="files")
        page = read_text(path, encoding=encoding, declared=declared_encoding)
        try:
            title, text, lines = shown_text(_lines(page))
        except MemoryError:
            raise
        except Exception as error:  # what its parser rejects comes as whatever it raises
            raise _unreadable(path, "HTML", error) from error
        return [Part(text, {"title": title} if title else {}, lines)]
    text = _lines(read_text(path, encoding=encoding))
    metadata: dict[str, Any] = {}
    before = 0
    if suffix in MARKDOWN_SUFFIXES:
        metadata, body = split_front_matter(text)
        before = text.count("\n", 0, len(text) - len(body))
        text = body
    return [Part(text, metadata, list(_line_starts(text, before + 1)))]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


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
        raise _unreadable(path, kind, error) from error
    if not any(part.text.strip() for part in parts):
        raise DataFileError(
            f"this {kind} has no text: its pages are pictures, or empty; text recognition (OCR) "
            f"makes text of pictures",
            path=path,
        )
    return parts


def _unreadable(path: Path, kind: str, error: Exception) -> DataFileError:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return DataFileError(f"cannot be read as {kind} ({said})", path=path)


def _pdf(package: Any, data: io.BytesIO) -> list[Part]:
    logger = logging.getLogger("pypdf")
    before = logger.level
    logger.setLevel(logging.CRITICAL)  # it speaks of every oddity that it copes with
    try:
        reader = package.PdfReader(data)
        if reader.is_encrypted and not reader.decrypt(""):
            raise ValueError("it asks for a password; save a copy without one")
        title = (
            {"title": str(reader.metadata.title)} if (reader.metadata or {}).get("/Title") else {}
        )
        texts = [page.extract_text() for page in reader.pages]
        pictures = [number for number, text in enumerate(texts, 1) if not text.strip()]
        unread = (
            {UNREAD_PAGES: f"{len(pictures)} of {len(texts)} ({_runs(pictures)})"}
            if pictures
            else {}
        )
        return [
            Part(text, {**title, **unread, "page": number}) for number, text in enumerate(texts, 1)
        ]
    except package.errors.DependencyError as error:
        raise ValueError(
            "its encryption takes one more package: pip install 'pypdf[crypto]'"
        ) from error
    finally:
        logger.setLevel(before)


def _runs(numbers: Sequence[int]) -> str:
    """Return ascending numbers with those that follow each other as a range.

    >>> _runs([2, 3, 4, 7])
    '2-4, 7'
    """
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def _docx(package: Any, data: io.BytesIO) -> list[Part]:
    document = package.Document(data)
    title = document.core_properties.title
    text = document_text(document, require("docx.oxml", extra="files").parse_xml)
    return [Part(text, {"title": title} if title else {})]
