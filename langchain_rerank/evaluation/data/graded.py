"""Rows that are judgements: what a row names as the answer, with its grade beside it.

Qrels laid out as a table have one row for each document of a question (`query, doc_id, relevance`),
so that a document in a row need not be a relevant one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_rerank.errors import InputTypeError
from langchain_rerank.evaluation.data.columns import GRADES, chosen
from langchain_rerank.evaluation.data.values import is_there, read_grade, unwritten
from langchain_rerank.reading.names import normal

_GRADED = ("reference_context_ids", "reference_contexts")
_OTHER_THINGS = {"score", "label"}  # of retrieval, of classes: a grade only if all are whole


def grade_column(rows: Iterable[Any], keys: Mapping[str, str]) -> str | None:
    """Return the column with a grade for each label of its row; None where there is none.

    One label has one number beside it, and a list of labels a list of as many.

    Args:
        rows: The rows, of plain values.
        keys: What `columns.mapping` returns.
    """
    beside: dict[str, list[tuple[Any, Any]]] = {}
    for row in rows:
        columns = chosen(row, keys) if isinstance(row, Mapping) else {}
        label = next((row[columns[key]] for key in _GRADED if key in columns), None)
        for name in row if label is not None and "qrels" not in columns else ():
            if name not in keys and normal(name) in GRADES and is_there(row[name]):
                beside.setdefault(name, []).append((_listed(label), _listed(row[name])))
    return next((name for name, pairs in beside.items() if _are_grades(name, pairs)), None)


def _are_grades(name: str, pairs: Sequence[tuple[Any, Any]]) -> bool:
    for labels, grades in pairs:
        if isinstance(labels, list) != isinstance(grades, list):
            return False
        several = grades if isinstance(grades, list) else [grades]
        if normal(name) in _OTHER_THINGS and None in map(read_grade, several):
            return False
        if isinstance(labels, list) and len(labels) != len(several):
            return False
    return True


def _listed(value: Any) -> Any:
    """Return what a cell holds; several values as a list."""
    value = unwritten(value) if isinstance(value, str) else value
    return list(value) if isinstance(value, (tuple, set, frozenset)) else value


def with_grades(labels: Mapping[str, Any], cell: Any) -> dict[str, Any]:
    """Return the labels of a row with their grades: ids as qrels, and texts that are relevant.

    Args:
        labels: What was read of the row, by key of a record.
        cell: The grade of its one label, or as many as it has.

    Raises:
        InputTypeError: A grade is no whole number, or they are not as many.
    """
    found = dict(labels)
    given = _listed(cell)
    grades = [read_grade(one) for one in (given if isinstance(given, list) else [given])]
    for key in _GRADED:
        named = found.pop(key, ())
        if not named:
            continue
        pairs = [
            (one, grade) for one, grade in zip(named, grades, strict=False) if grade is not None
        ]
        if len(pairs) != len(named) or len(grades) != len(named):
            raise InputTypeError(
                f"a whole number for each of {len(named)} was expected, got {cell!r}."
            )
        if key == "reference_contexts":
            found[key] = tuple(one for one, grade in pairs if grade > 0)
        else:
            found["qrels"] = dict(pairs)
    return found
