"""CSV and its relatives: cells parted by commas, semicolons, tabs or bars, under a header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.reading.text import read_text

DELIMITERS = (",", ";", "\t", "|")
# The first line of a table without a header: an id, which has a digit in it, and a text.
_ID_AND_TEXT = re.compile(r"(?=\S*\d)\S+\t[^\t]*\S\s+\S[^\t]*")
_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|"}


def read_table(
    path: Path,
    *,
    known: Callable[[str], bool],
    what: str,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> list[tuple[int, dict[str, str]]]:
    """Return line (1-based) and row of a table with a header.

    The delimiter is the one that was named, that a first line `sep=;` names, or the only one under
    which the header has a column that the caller knows. A column without a name, which pandas
    writes for its index, is left out. Lines of an id, a tab and a text, as MS MARCO, TREC and
    ir_datasets write queries and passages, are rows of `id` and `text` without a header.

    Raises:
        DataFileError: No known column, more than one delimiter that gives one, a row of another
            length, or a quote that is left open.
        ConfigurationError: An impossible delimiter.
    """
    text = read_text(path, encoding=encoding)
    first = 1
    head, _, rest = text.partition("\n")
    if head.strip().lower().startswith("sep=") and len(head.strip("\r\n")) == len("sep=") + 1:
        delimiter, text, first = delimiter or head.strip("\r\n")[-1], rest, 2
    pairs = None if delimiter else _pairs(text, known)
    if pairs is not None:
        return pairs
    wrong = partial(DataFileError, path=path, line=first)
    used = _checked(delimiter) if delimiter else _delimiter(text, path, known, what, first)
    lines = _cells(text, used, path, first)
    _, header = next(lines, (first, []))
    header = [one.strip() for one in header]
    if not any(map(known, header)):
        raise wrong(_no_column(header, what))
    twice = next((one for one in header if one and header.count(one) > 1), None)
    if twice is not None:
        raise wrong(f"Two columns are called {twice!r}; rename one of them.")
    rows = []
    for line, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue  # spreadsheets end in such rows
        if len(cells) != len(header):
            raise DataFileError(
                f"{len(cells)} cells under a header of {len(header)}; quote cells that hold "
                f"{used!r} or a line break.",
                path=path,
                line=line,
            )
        rows.append((line, {k: v for k, v in zip(header, cells, strict=True) if k}))
    return rows


def _pairs(text: str, known: Callable[[str], bool]) -> list[tuple[int, dict[str, str]]] | None:
    """Return line, id and text where each line is an id, a tab and a text; None where not."""
    head = text.partition("\n")[0].rstrip("\r")
    if not _ID_AND_TEXT.fullmatch(head) or any(map(known, head.split("\t"))):
        return None
    lines = [(line, one.rstrip("\r").split("\t")) for line, one in enumerate(text.split("\n"), 1)]
    pairs = [(line, cells) for line, cells in lines if any(map(str.strip, cells))]
    if any(len(cells) != 2 for _, cells in pairs):
        return None
    return [(line, {"id": cells[0], "text": cells[1]}) for line, cells in pairs]


def _checked(delimiter: str) -> str:
    found = _NAMES.get(delimiter.lower(), delimiter)
    if len(found) != 1 or found in '"\r\n \0' or found.isalnum():
        raise ConfigurationError(
            f"delimiter={delimiter!r}: one character that parts cells was expected, for instance "
            f"',', ';' or 'tab'."
        )
    return found


def _delimiter(text: str, path: Path, known: Callable[[str], bool], what: str, first: int) -> str:
    wrong = partial(DataFileError, path=path, line=first)
    fitting, headers = [], []
    for one in DELIMITERS:
        rows = [cells for _, cells in islice(_cells(text, one, path, first, lax=True), 20)]
        header = [cell.strip() for cell in rows[0]] if rows else []
        headers.append(header)
        if any(map(known, header)):
            fitting.append((one, rows))
    if len(fitting) > 1:
        even = [(one, rows) for one, rows in fitting if len({len(cells) for cells in rows}) == 1]
        fitting = even or fitting
    # A table of one column has no delimiter.
    if len({tuple(map(tuple, rows)) for _, rows in fitting}) > 1:
        shown = " and ".join(repr(one) for one, _ in fitting)
        raise wrong(
            f"Its cells may be parted by {shown}; say which with delimiter=';' (on the command "
            f"line --delimiter ';')."
        )
    if not fitting:
        raise wrong(_no_column(max(headers, key=len), what))
    return fitting[0][0]


def _no_column(header: list[str], what: str) -> str:
    shown = ", ".join(map(repr, header[:20])) or "nothing"
    return (
        f"The header has no column that holds {what}, only {shown}; name one of them so, or say "
        f"what parts the cells with delimiter=';' (on the command line --delimiter ';')."
    )


def _cells(
    text: str, delimiter: str, path: Path, first: int, *, lax: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """Yield the line that a row begins in, and its cells; rows without any are left out."""
    # strict: else a quote that is left open takes the rest of the file into one cell.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 0
    try:
        for cells in reader:
            if cells:
                yield first + start, cells
            start = reader.line_num  # a quoted cell may span lines
    except csv.Error as error:
        if lax:
            return
        raise DataFileError(
            f"It cannot be read as a table ({error}); is a quote left open, or not doubled inside "
            f"a quoted cell? JSONL has no such limits.",
            path=path,
            line=first + start,
        ) from error
