"""Rows of JSONL, CSV and TSV files, each with its line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from langchain_rerank.errors import DataFileError

Row = tuple[int, dict[str, Any]]

# Only in these does a cell hold several values; a question may well begin with a bracket.
_SEVERAL = {"expected_source", "reference_context_ids", "qrels", "reference_contexts", "tags"}


def read_rows(path: Path) -> Iterator[Row]:
    """Yield line (1-based) and row of a `.jsonl` or `.csv` file.

    Raises:
        DataFileError: Another suffix, no such file, or a malformed line.
    """
    readers = {".jsonl": read_jsonl, ".csv": read_csv}
    if path.suffix.lower() not in readers:
        raise DataFileError(
            f"The suffix {path.suffix!r} is unknown; a data set is a .jsonl or .csv file.",
            path=path,
        )
    yield from readers[path.suffix.lower()](path)


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """Open a text file for reading.

    Raises:
        DataFileError: It cannot be opened, or is not UTF-8.
    """
    try:
        # utf-8-sig: spreadsheets begin their CSV with a byte order mark.
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except OSError as error:
        raise DataFileError(
            f"It cannot be read ({error.strerror}); is the path right?", path=path
        ) from error
    except UnicodeDecodeError as error:
        raise DataFileError(f"It is not UTF-8 ({error}); save it as UTF-8.", path=path) from error


def read_jsonl(path: Path) -> Iterator[Row]:
    """Yield line and object of each line that is not blank.

    Raises:
        DataFileError: A line is not a JSON object.
    """
    with opened(path) as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row = _json(text)
            except ValueError as error:
                raise DataFileError(
                    f"This is no JSON ({error}); one JSON object per line was expected.",
                    path=path,
                    line=line,
                ) from error
            if not isinstance(row, dict):
                raise DataFileError(
                    f"A JSON object was expected, got {type(row).__name__}: {text.strip()[:60]}",
                    path=path,
                    line=line,
                )
            yield line, row


def read_csv(path: Path) -> Iterator[Row]:
    """Yield line and row of a CSV file with a header; lists and grades in it are JSON.

    Raises:
        DataFileError: No header, a row of another length, a cell with broken JSON, or one that is
            too long.
    """
    with opened(path) as file:
        reader = csv.reader(file)
        lines = _cells(reader, path)
        header = next(lines, [])
        if "question" not in header:
            raise DataFileError(
                f"The header has no column 'question', only {header}.", path=path, line=1
            )
        line = reader.line_num
        for cells in lines:
            start, line = line + 1, reader.line_num  # a quoted cell may span lines
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataFileError(
                    f"{len(cells)} cells under a header of {len(header)}; quote cells that hold "
                    f"commas.",
                    path=path,
                    line=start,
                )
            row = zip(header, cells, strict=True)
            yield start, {key: _cell(key, cell, path, start) for key, cell in row}


def _cells(reader: Any, path: Path) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataFileError(
            f"It cannot be read as CSV ({error}); is a quote left open? JSONL has no limits.",
            path=path,
            line=reader.line_num,
        ) from error


def _cell(key: str, cell: str, path: Path, line: int) -> Any:
    if key not in _SEVERAL or not cell.startswith(("[", "{")):
        return cell
    try:
        return _json(cell)
    except ValueError as error:
        raise DataFileError(
            f"The cell {cell[:60]!r} of {key!r} starts as JSON and is none ({error}).",
            path=path,
            line=line,
        ) from error


def _json(text: str) -> Any:
    """Return what `text` holds.

    Raises:
        ValueError: It is no JSON, or more than Python reads of it; the message says why.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
