"""TREC runs and qrels: the text formats that every evaluation tool reads."""

from __future__ import annotations

import math
import re
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from langchain_rerank.errors import DataFileError
from langchain_rerank.evaluation.data.records import opened

Run = dict[str, list[tuple[str, float]]]
"""Ids with their scores by query id, best first."""

QrelsByQuery = dict[str, dict[str, int]]
"""Grade by document id, by query id."""


def read_run(path: str | Path) -> Run:
    """Return a run: lines of `query Q0 document rank score tag`.

    The scores decide the order, as in trec_eval; equal ones keep the order of the ranks. Fields are
    parted by tabs in a line that has one, so that ids may hold spaces; else by white space.

    Raises:
        DataFileError: A line has not six fields, a rank or a score is no finite number, or a
            document stands twice under a query.
    """
    path = Path(path)
    found: dict[str, dict[str, tuple[float, int]]] = {}
    with opened(path) as file:
        for line, text in enumerate(file, 1):
            cells = _cells(text)
            if not cells:
                continue
            if len(cells) != 6:
                raise DataFileError(
                    f"{len(cells)} fields; a run has six: query Q0 document rank score tag.",
                    path=path,
                    line=line,
                )
            query, _, document, rank, score, _ = cells
            if document in found.setdefault(query, {}):
                raise DataFileError(
                    f"The document {document!r} stands twice under the query {query!r}.",
                    path=path,
                    line=line,
                )
            try:
                found[query][document] = (-float(score), int(rank))
            except ValueError as error:
                raise DataFileError(
                    f"Rank {rank!r} or score {score!r} is no number.", path=path, line=line
                ) from error
            if not math.isfinite(found[query][document][0]):
                raise DataFileError(
                    f"The score {score!r} is no finite number.", path=path, line=line
                )
    return {
        query: [
            (document, -negated)
            for document, (negated, _) in sorted(documents.items(), key=lambda item: item[1])
        ]
        for query, documents in found.items()
    }


def read_qrels(path: str | Path) -> QrelsByQuery:
    """Return qrels: lines of `query 0 document grade`, or BEIR's `query document grade`.

    BEIR's header line is skipped. Fields are parted as in `read_run`.

    Raises:
        DataFileError: A line has another number of fields, a grade is no whole number, or a
            document has two grades under one query.
    """
    path = Path(path)
    found: QrelsByQuery = {}
    with opened(path) as file:
        for line, text in enumerate(file, 1):
            cells = _cells(text)
            if not cells or (line == 1 and cells[0] == "query-id"):
                continue
            if len(cells) not in {3, 4}:
                raise DataFileError(
                    f"{len(cells)} fields; qrels have four (query 0 document grade), or three in "
                    f"BEIR's form (query document grade).",
                    path=path,
                    line=line,
                )
            try:
                grade = int(cells[-1])
            except ValueError as error:
                raise DataFileError(
                    f"The grade {cells[-1]!r} is no whole number.", path=path, line=line
                ) from error
            earlier = found.setdefault(cells[0], {}).setdefault(cells[-2], grade)
            if earlier != grade:
                raise DataFileError(
                    f"The document {cells[-2]!r} has under the query {cells[0]!r} the grades "
                    f"{earlier} and {grade}; keep one of them.",
                    path=path,
                    line=line,
                )
    return found


def _cells(text: str) -> list[str]:
    text = text.strip()
    return [cell.strip() for cell in text.split("\t")] if "\t" in text else text.split()


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
    White space in ids becomes `%20`.
    """
    with Path(path).open("w", encoding="utf-8", errors="backslashreplace") as file:
        for query, (ids, scores) in run.items():
            shown = _strictly_decreasing(scores or range(len(ids), 0, -1))
            file.writelines(
                f"{_token(query)} Q0 {_token(one)} {rank} {score} {_token(tag)}\n"
                for rank, (one, score) in enumerate(zip(ids, shown, strict=True), 1)
            )


def write_qrels(path: str | Path, qrels: Mapping[str, Mapping[str, int]]) -> None:
    """Write qrels from grades by query id; white space in ids becomes `%20`, as in `write_run`."""
    with Path(path).open("w", encoding="utf-8", errors="backslashreplace") as file:
        for query, grades in qrels.items():
            file.writelines(
                f"{_token(query)} 0 {_token(one)} {grade}\n" for one, grade in grades.items()
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


def _token(text: str) -> str:
    return re.sub(r"\s", lambda match: urllib.parse.quote(match[0]), text)
