"""Rows that ask the same: one record, where each names a part of what answers the question."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from langchain_rerank.errors import InputTypeError
from langchain_rerank.evaluation.data.record import Record
from langchain_rerank.evaluation.data.values import add_grade

Placed = tuple[Record, str]
"""A record, and where it stands."""

_SAID = 4  # records of which a warning says each by itself


def joined(records: Sequence[Placed], *, by_id: bool, graded: bool) -> list[Placed]:
    """Return records of which those are one that each name a part of what answers a question.

    They ask the same, and where they have no grades, expect the same answer and name different
    documents: rows that say the same twice stay what they are. `by_id` says whether their ids name
    the question, besides its text, and `graded` whether each row judges what it names.
    """
    if graded:  # where each row has an id of its own, that is no question's
        by_id = by_id and len({one.id for one, _ in records}) < len(records)
    groups: dict[Hashable, list[int]] = {}
    for position, (one, _) in enumerate(records):
        answer = None if graded else one.reference
        asked: Hashable = (one.id if by_id else "", one.question, answer, one.expected_passage)
        alone = one.problem or (not graded and (one.qrels or not any(_named(one))))
        groups.setdefault(position if alone else asked, []).append(position)
    found = dict(enumerate(records))
    for first, *others in groups.values():
        group = [records[position][0] for position in (first, *others)]
        if graded or len(set(map(_named, group))) > 1:
            found[first] = (_one_of(group) if graded else _merged(group), records[first][1])
            for position in others:
                del found[position]
    return list(found.values())


def _one_of(group: Sequence[Record]) -> Record:
    """Return the first of a group with the labels of all; as it is where it cannot be used."""
    if group[0].problem:
        return group[0]
    qrels: dict[str, int] = {}
    for one in group:
        for document, grade in {**dict.fromkeys(one.reference_context_ids, 1), **one.qrels}.items():
            try:
                add_grade(qrels, document, grade)
            except InputTypeError as error:
                return replace(group[0], problem=f"the document {error}")
    return replace(_merged(group), qrels=qrels, reference_context_ids=())


def _merged(group: Sequence[Record]) -> Record:
    """Return the first of a group with what all of them name and keep beside it."""
    return replace(
        group[0],
        reference=next((one.reference for one in group if one.reference), None),
        expected_source=_union(one.expected_source for one in group),
        reference_context_ids=_union(one.reference_context_ids for one in group),
        reference_contexts=_union(one.reference_contexts for one in group),
        tags=_union(one.tags for one in group),
        metadata={key: held for one in reversed(group) for key, held in one.metadata.items()},
    )


def _union(named: Iterable[Sequence[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(itertools.chain.from_iterable(named)))


def _named(record: Record) -> tuple[tuple[str, ...], ...]:
    return record.expected_source, record.reference_context_ids, record.reference_contexts


def said_of_repeated(joined: int, records: Sequence[Record]) -> list[str]:
    """Return what is to be said of `joined` rows in other records, and of questions asked again."""
    asked = [" ".join(one.question.split()) for one in records if not one.problem]
    again = len(asked) - len(set(asked))
    said = []
    if joined:
        said.append(
            f"Rows that ask what a row before them asks, and name other documents: {joined}. The "
            f"labels of a question count together, as one record."
        )
    if again:
        said.append(
            f"Records that ask what another one asks: {again}. Each counts for itself, so that "
            f"intervals are narrower than they would be for as many different questions."
        )
    return said


def told_apart(read: Sequence[Placed]) -> tuple[list[Record], list[str]]:
    """Return records with ids of their own, and what is to be said of each by where it stands."""
    given = {record.id for record, _ in read}
    taken: set[str] = set()
    found, renamed, unusable = [], [], []
    for record, place in read:
        unique = _unique_id(record.id, taken, given)
        taken.add(unique)
        if unique != record.id:
            renamed.append(f"{place}: the id {record.id!r} was used before; it is now {unique!r}.")
        problem = record.problem and f"{place} (id {unique!r}): {record.problem}"
        if problem:
            unusable.append(problem)
        found.append(replace(record, id=unique, problem=problem))
    return found, [
        *_first(renamed, "have an id that was used before"),
        *_first(unusable, "cannot be used"),
    ]


def _first(said: Sequence[str], what: str) -> Sequence[str]:
    """Return what is said of each record, or where they are many, of the first and of the rest."""
    if len(said) <= _SAID:
        return said
    return [*said[: _SAID - 1], f"{len(said) - _SAID + 1} more records {what}."]


def _unique_id(wanted: str, taken: set[str], given: set[str]) -> str:
    if wanted not in taken:
        return wanted
    names = (f"{wanted}#{number}" for number in itertools.count(2))
    return next(name for name in names if name not in taken and name not in given)
