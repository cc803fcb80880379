"""TREC runs and qrels: the text formats that every evaluation tool reads."""

from __future__ import annotations

import math
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from langchain_rerank.errors import DataFileError
from langchain_rerank.evaluation.data.columns import GRADES
from langchain_rerank.evaluation.data.values import read_grade, read_id
from langchain_rerank.reading import ROW_SUFFIXES, Form, read_rows, suffix_of
from langchain_rerank.reading.names import DOCUMENT_IDS, normal
from langchain_rerank.reading.text import read_text

Run = dict[str, list[tuple[str, float]]]
"""Ids with their scores by query id, best first."""

QrelsByQuery = dict[str, dict[str, int]]
"""Grade by document id, by query id."""


def read_run(path: str | Path, *, encoding: str | None = None) -> Run:
    """Return a run: lines of `query Q0 document rank score tag`.

    The scores decide the order, as in trec_eval; equal ones keep the order of the ranks, or of the
    file where a rank is no number. Fields are parted by tabs where these give six fields, so that
    ids may hold spaces; else by white space, and what comes after the score is the tag. Lines that
    begin with `#` are comments. The file may be packed by gzip.

    Raises:
        DataFileError: A line has fewer than six fields, a score is no finite number, or a document
            stands twice under a query.
    """
    path = Path(path)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for line, text in _lines(path, encoding):
        cells, wrong = _run_cells(text), partial(DataFileError, path=path, line=line)
        if len(cells) != 6:
            raise wrong(
                f"{len(cells)} fields; a run has six: query Q0 document rank score tag."
                + (" Where an id has a space in it, part them by tabs." if len(cells) > 6 else "")
            )
        query, _, document, rank, score, _ = cells
        ranked = found.setdefault(query, {})
        if document in ranked:
            raise wrong(f"The document {document!r} stands twice under the query {query!r}.")
        value = _finite(score)
        if value is None:
            kind = "finite number" if _is_number(score) else "number"
            raise wrong(f"The score {score!r} is no {kind}.")
        position = _finite(rank)
        ranked[document] = (-value, len(ranked) if position is None else position)
    return {
        query: [
            (document, -negated)
            for document, (negated, _) in sorted(documents.items(), key=lambda item: item[1])
        ]
        for query, documents in found.items()
    }


def read_qrels(path: str | Path, *, encoding: str | None = None) -> QrelsByQuery:
    """Return qrels: lines of `query 0 document grade`, or BEIR's `query document grade`.

    A header names the columns, whatever it calls them. Grades may be written as `1.0`. Fields,
    comments and gzip are as in `read_run`; JSONL, CSV and Parquet are read by their suffix.

    Raises:
        DataFileError: A line has another number of fields, a grade is no whole number, or a
            document has two grades under one query.
    """
    path = Path(path)
    found: QrelsByQuery = {}
    for line, query, document, written in _judged(path, encoding):
        grade, wrong = read_grade(written), partial(DataFileError, path=path, line=line)
        if grade is None:
            raise wrong(f"The grade {written!r} is no whole number.")
        earlier = found.setdefault(query, {}).setdefault(document, grade)
        if earlier != grade:
            raise wrong(
                f"The document {document!r} has under the query {query!r} the grades "
                f"{earlier} and {grade}; keep one of them."
            )
    return found


def _judged(path: Path, encoding: str | None) -> Iterator[tuple[int, str, str, Any]]:
    """Yield line, query, document and grade of each line of qrels."""
    suffix = suffix_of(path)
    if suffix in ROW_SUFFIXES and suffix not in {".tsv", ".tab"}:
        yield from _judged_rows(path, encoding)
        return
    columns: tuple[int, int, int] | None = None
    width = 0
    for number, (line, text) in enumerate(_lines(path, encoding)):
        cells = _qrels_cells(text, width)
        if number == 0 and (columns := _header(cells)) is not None:
            width = len(cells)
        elif columns is not None and len(cells) == width:
            query, document, grade = columns
            yield line, cells[query], cells[document], cells[grade]
        elif len(cells) in {3, 4} and columns in {None, (0, 1, 2)}:
            yield line, cells[0], cells[-2], cells[-1]
        else:
            raise DataFileError(
                f"{len(cells)} fields; "
                + (
                    f"the header has {width}."
                    if width
                    else "qrels have four (query 0 document grade), or three in BEIR's form (query "
                    "document grade)."
                ),
                path=path,
                line=line,
            )


def _judged_rows(path: Path, encoding: str | None) -> Iterator[tuple[int, str, str, Any]]:
    rows = read_rows(
        path,
        known=lambda name: _column_of(name) == 0,
        what="the query's id",
        form=Form(encoding=encoding),
    )
    for line, row in rows:
        names = {_column_of(str(key)): key for key in row} if isinstance(row, Mapping) else {}
        ids = [read_id(row[names[one]]) if one in names else None for one in (0, 1)]
        if None in ids or 2 not in names:
            raise DataFileError(
                "An object with 'query-id', 'corpus-id' and 'score' was expected.",
                path=path,
                line=line,
            )
        yield line, str(ids[0]), str(ids[1]), row[names[2]]


_COLUMNS = (
    {"query_id", "queryid", "query", "qid", "q_id", "topic", "topic_id", "question_id"},
    {*DOCUMENT_IDS, "corpusid", "doc", "document"},
    GRADES,
)


def _column_of(name: str) -> int | None:
    """Return 0 for a query's id, 1 for a document's and 2 for a grade; None for another column."""
    return next((n for n, names in enumerate(_COLUMNS) if normal(name) in names), None)


def _header(cells: Sequence[str]) -> tuple[int, int, int] | None:
    """Return where query, document and grade stand, if `cells` are a header; else None."""
    places = {_column_of(cell): place for place, cell in reversed([*enumerate(cells)])}
    if places.keys() >= {0, 1, 2}:
        return places[0], places[1], places[2]
    # Other names, as long as nothing in it can be a grade or an iteration.
    named = all(re.fullmatch(r"[^\W\d][\w\- ]*", one) for one in cells)
    if (
        named
        and read_grade(cells[-1]) is None
        and len(cells) in {3, 4}
        and (0 in places or 2 in places)
    ):
        return 0, len(cells) - 2, len(cells) - 1
    return None


def _lines(path: Path, encoding: str | None) -> Iterator[tuple[int, str]]:
    """Yield line (1-based) and text of each that is neither blank nor a comment."""
    for line, text in enumerate(read_text(path, encoding=encoding).split("\n"), 1):
        if text.strip() and not text.startswith("#"):  # a comment, as trec_eval has it
            yield line, text.strip()


def _by_tabs(text: str) -> list[str]:
    return [cell.strip() for cell in text.split("\t") if cell.strip()]


def _run_cells(text: str) -> list[str]:
    tabs, spaces = _by_tabs(text), text.split()
    if len(tabs) == 6 and _finite(tabs[4]) is not None:
        return tabs
    if len(spaces) > 6 and _has_long_tag(spaces):
        return [*spaces[:5], " ".join(spaces[5:])]
    return spaces


def _has_long_tag(cells: Sequence[str]) -> bool:
    """Return whether it is the tag that has several words: an id may have a space in it as well."""
    _, _, _, rank, score, tag, *_ = cells
    ranked = rank == "-" or _finite(rank) is not None
    return ranked and _finite(score) is not None and _finite(tag) is None


def _qrels_cells(text: str, width: int) -> list[str]:
    tabs, spaces = _by_tabs(text), text.split()
    # "q1<tab>0 d1<tab>1" mixes both: it has an iteration, and no document called "0 d1".
    mixed = len(spaces) == 4 and len(tabs) == 3 and spaces[1].lower() in {"0", "q0"}
    if len(tabs) in {3, 4, width} and not mixed:
        return tabs
    return spaces


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _finite(text: str) -> float | None:
    return float(text) if _is_number(text) and math.isfinite(float(text)) else None


def write_run(
    path: str | Path,
    run: Mapping[str, tuple[Sequence[str], Sequence[float]]],
    *,
    tag: str = "langchain-rerank",
) -> None:
    """Write a run from ids and scores by query id, best first.

    Tools sort by score, in single precision, and break ties each in its own way: a score that would
    not be below the one before it is written as the next smaller number, so that every tool sees
    the order that was evaluated. Without scores (an empty sequence) they are made from the ranks.
    Ids are written as `as_written` has them.
    """
    with Path(path).open("w", encoding="utf-8") as file:
        for query, (ids, scores) in run.items():
            shown = _strictly_decreasing(scores or range(len(ids), 0, -1))
            file.writelines(
                f"{as_written(query)} Q0 {as_written(one)} {rank} {score} {as_written(tag)}\n"
                for rank, (one, score) in enumerate(zip(ids, shown, strict=True), 1)
            )


def write_qrels(path: str | Path, qrels: Mapping[str, Mapping[str, int]]) -> None:
    """Write qrels from grades by query id; ids are written as in `write_run`."""
    with Path(path).open("w", encoding="utf-8") as file:
        for query, grades in qrels.items():
            file.writelines(
                f"{as_written(query)} 0 {as_written(one)} {grade}\n"
                for one, grade in grades.items()
            )


def _strictly_decreasing(scores: Iterable[float]) -> list[str]:
    shown = []
    last = np.float32(np.inf)
    for score in scores:
        value = np.float32(score)
        if not value < last:
            value = np.nextafter(last, np.float32(-np.inf))
        last = value
        shown.append(np.format_float_positional(value, unique=True, trim="0"))
    return shown


def as_written(id_: str) -> str:
    """Return an id as runs and qrels have it: a field has no white space, and begins no comment.

    Examples:
        >>> as_written("a file.pdf"), as_written("#1")
        ('a%20file.pdf', '%231')
    """
    text = id_.encode("utf-8", "backslashreplace").decode("utf-8")
    return re.sub(r"\s|^#", lambda match: urllib.parse.quote(match[0]), text)
