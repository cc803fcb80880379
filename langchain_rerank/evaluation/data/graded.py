"""Rows that are judgements: what a row names as the answer, with its grade beside it.

Qrels laid out as a table have one row for each document of a question (`query, doc_id, relevance`),
so that a document in a row need not be a relevant one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_rerank.errors import InputTypeError
from langchain_rerank.evaluation.data.columns import GRADES, SURE_GRADES, chosen, is_weak
from langchain_rerank.evaluation.data.values import (
    GRADE_WORDS,
    add_grade,
    is_there,
    read_grade,
    read_texts,
)
from langchain_rerank.evaluation.data.written import opened, unwritten
from langchain_rerank.reading.names import normal

_GRADED = ("reference_context_ids", "reference_contexts", "expected_source", "expected_passage")
# Words for grades, from 0 upwards: a column is of the first scale that has all its words.
_SCALES = (
    ("irrelevant", "relevant", "highly_relevant", "perfectly_relevant"),
    ("irrelevant", "partially_relevant", "highly_relevant", "perfectly_relevant"),
    ("irrelevant", "partially_relevant", "relevant", "highly_relevant", "perfectly_relevant"),
    ("i", "c", "s", "e"),  # Amazon's ESCI, doi:10.48550/arXiv.2206.06588
    ("irrelevant", "complement", "substitute", "exact"),
    ("bad", "fair", "good", "excellent", "perfect"),
)
_SAME = {
    **{word: ("irrelevant", "relevant")[grade] for word, grade in GRADE_WORDS.items()},
    **dict.fromkeys(("somewhat_relevant", "marginally_relevant"), "partially_relevant"),
    **dict.fromkeys(("partly_relevant", "related"), "partially_relevant"),
    "very_relevant": "highly_relevant",
}


def with_numbers(rows: Sequence[Any], keys: Mapping[str, str]) -> tuple[list[Any], str | None]:
    """Return rows and their column of grades, in which words are numbers; None where there is none.

    One label has one grade beside it, and a list of labels a list of as many.
    """
    mappings = [row for row in rows if isinstance(row, Mapping)]
    for name in dict.fromkeys(name for row in mappings for name in row if name not in keys):
        if normal(name) not in GRADES:
            continue
        found, sure = _numbered(rows, name), normal(name) in SURE_GRADES
        cells = [
            (_label(row, keys, _GRADED if sure else _GRADED[:2]), several(row[name]))
            for row in found
            if isinstance(row, Mapping) and is_there(row.get(name))
        ]
        pairs = [(label, cell) for label, cell in cells if label]
        graded = sum(
            len(label) == len(cell) and (sure or None not in map(read_grade, cell))
            for label, cell in pairs
        )
        # What is no grade among others that are is named when its row is read.
        if graded * 2 > len(pairs) or (sure and graded):
            return found, name
    return list(rows), None


def _label(row: Mapping[str, Any], keys: Mapping[str, str], graded: Sequence[str]) -> list[Any]:
    columns = chosen(row, keys)
    named = [] if "qrels" in columns else [columns[key] for key in graded if key in columns]
    return several(row[named[0]]) if named else []


def several(value: Any, *, strict: bool = False) -> list[Any]:
    """Return what a cell holds as a list, also where one became text."""
    value = unwritten(value) if strict else opened(value)
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]


def _numbered(rows: Sequence[Any], name: str) -> list[Any]:
    """Return rows with numbers for the words of a scale in one of their columns."""
    cells = [several(row.get(name)) if isinstance(row, Mapping) else [] for row in rows]
    grades = scale_of(one for cell in cells for one in cell if isinstance(one, str))
    if not grades:
        return list(rows)
    return [
        {
            **row,
            name: [grades.get(_word(one), one) if isinstance(one, str) else one for one in cell],
        }
        if any(map(is_there, cell))
        else row
        for row, cell in zip(rows, cells, strict=True)
    ]


def scale_of(names: Iterable[str]) -> dict[str, int]:
    """Return the grades of words, by `_word`, in the first scale that has all; nothing for none.

    Examples:
        >>> scale_of(["Irrelevant", "related"]), scale_of(["entity", "number"])
        ({'irrelevant': 0, 'partially_relevant': 1}, {})
    """
    words = sorted({_word(one) for one in names} - {""})
    scale = next((one for one in _SCALES if {*words} <= {*one}), ())
    return {word: scale.index(word) for word in words if scale}


def _word(text: str) -> str:
    return _SAME.get(normal(text), normal(text))


def with_grades(labels: Mapping[str, Any], cell: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """Return the labels of a row with their grades: ids as qrels, and texts that are relevant.

    The `cell` has the grade of its one label, or as many as it has; without any, what is relevant
    by its name stays a label. `labels` and `names`, their columns, are by key of a record.

    Raises:
        InputTypeError: A grade is no whole number, they are not as many, or an id is none.
    """
    found = dict(labels)
    grades = [grade for one in several(cell) if (grade := read_grade(one)) is not None]
    for key in _GRADED:
        if not is_there(found.get(key)) or not (is_there(cell) or is_weak(names[key])):
            continue
        named = several(found.pop(key), strict=True)
        if not is_there(cell):
            raise InputTypeError(f"{names[key]!r} has none beside it, and so may answer or not.")
        if len(grades) != len(named) or len(several(cell)) != len(named):
            raise InputTypeError(
                f"a whole number for each of {len(named)} was expected, got {cell!r}."
            )
        if key != "reference_context_ids":
            kept = [one for one, grade in zip(named, grades, strict=True) if grade > 0]
            found[key] = kept if key != "expected_passage" else next(iter(kept), None)
            continue
        found["qrels"] = {}
        for one, grade in zip(named, grades, strict=True):
            for id_ in read_texts(one):
                add_grade(found["qrels"], id_, grade)
    return found
