"""Rows of files as people have them: JSON, JSONL, CSV, Parquet and `datasets` folders.

What cannot be told for sure (an encoding, a delimiter) is an error that names the option that says
it, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_rerank.errors import DataFileError
from langchain_rerank.reading.columnar import is_saved_dataset, read_parquet, read_saved_dataset
from langchain_rerank.reading.json_values import read_json
from langchain_rerank.reading.tables import read_table
from langchain_rerank.reading.text import is_folder

Row = tuple[int, Any]
"""A line (1-based; the position where a format has no lines) and what stands there."""

__all__ = [
    "ROW_SUFFIXES",
    "TABLE_SUFFIXES",
    "Form",
    "is_saved_dataset",
    "read_rows",
    "suffix_of",
]

JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
TABLE_SUFFIXES = (".csv", ".tsv", ".tab")
PARQUET_SUFFIXES = (".parquet",)
ROW_SUFFIXES = (*JSON_SUFFIXES, *TABLE_SUFFIXES, *PARQUET_SUFFIXES)


@dataclass(frozen=True)
class Form:
    """How a file is to be read, where it does not say so itself.

    Attributes:
        encoding: Its encoding; None for UTF-8, or what its byte order mark says.
        delimiter: What parts the cells of a table; None for the one that gives a known column.
        split: The split of a `datasets` folder or a collection; None where there is one only.
    """

    encoding: str | None = None
    delimiter: str | None = None
    split: str | None = None


def suffix_of(path: Path) -> str:
    """Return the suffix that says what a file holds: `.csv` of `a.csv` and of `a.csv.gz`.

    Examples:
        >>> suffix_of(Path("Questions.CSV.gz"))
        '.csv'
    """
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return name.suffix.lower()


def read_rows(
    path: Path, *, known: Callable[[str], bool], what: str, form: Form | None = None
) -> Sequence[Row]:
    """Return the rows of a file, or of a folder that `datasets` saved, by its suffix.

    Args:
        path: The file or folder.
        known: Whether a column of this name is one that the caller needs; it decides between
            delimiters.
        what: What that column holds, for messages, as in "the question".
        form: How to read it.

    Raises:
        DataFileError: It cannot be read, or has another suffix.
        ConfigurationError: An unknown encoding, or an impossible delimiter.
    """
    form = form or Form()
    if is_folder(path) and is_saved_dataset(path):
        return read_saved_dataset(path, form.split)
    suffix = suffix_of(path)
    if suffix in JSON_SUFFIXES:
        return read_json(path, encoding=form.encoding)
    if suffix in TABLE_SUFFIXES:
        return read_table(
            path, known=known, what=what, encoding=form.encoding, delimiter=form.delimiter
        )
    if suffix in PARQUET_SUFFIXES:
        return read_parquet(path)
    if is_folder(path):
        raise DataFileError(
            "this folder is neither a collection (corpus.jsonl, queries.jsonl, qrels/test.tsv) nor "
            "one that datasets saved (with state.json); name a file in it",
            path=path,
        )
    hint = " Save the sheet as CSV (UTF-8)." if suffix in {".xlsx", ".xls", ".ods"} else ""
    if suffix in {".xml", ".txt", ".topics"}:
        hint = " Topics of TREC are read as lines of a number, a tab and the question (.tsv)."
    raise DataFileError(
        f"The suffix {path.suffix!r} is unknown; expected one of {', '.join(ROW_SUFFIXES)}, with "
        f"or without .gz.{hint}",
        path=path,
    )
