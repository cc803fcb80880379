"""Questions with what is known about their answers, as data sets.

A record that cannot be used is kept and named, never dropped: an empty question or a label that
cannot be read makes that one record invalid, and all others run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from langchain_rerank.errors import ConfigurationError, InputTypeError
from langchain_rerank.evaluation.data import columns, graded, repeated, values
from langchain_rerank.evaluation.data.record import Record
from langchain_rerank.evaluation.data.tables import as_rows
from langchain_rerank.evaluation.data.unfolded import unfolded
from langchain_rerank.evaluation.data.written import opened
from langchain_rerank.reading.names import normal

__all__ = ["KEYS", "Dataset", "Record", "from_records", "some"]


@dataclass(frozen=True)
class Dataset:
    """Records in their order.

    Attributes:
        records: The records; ids are unique.
        name: What it is called in reports.
        warnings: What was noticed when it was read, each naming its record.
    """

    records: tuple[Record, ...]
    name: str = "data set"
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    @property
    def usable(self) -> list[Record]:
        """The records that can be asked."""
        return [one for one in self.records if not one.problem]

    def head(self, limit: int | None) -> Dataset:
        """Return the first `limit` records; all of them for None."""
        return replace(self, records=self.records[:limit])

    def with_qrels(self, qrels: Mapping[Any, Mapping[Any, Any]]) -> Dataset:
        """Return a copy with these grades by query id; a query without any keeps its own labels.

        Ids of queries and documents may be whole numbers, and grades NumPy's or pandas' numbers.

        Raises:
            ConfigurationError: None of the queries is in the data set, or a grade is no whole
                number.
        """
        if not isinstance(qrels, Mapping):
            raise ConfigurationError(
                f"Grades by document id, by query id, were expected ({{'q1': {{'d7': 1}}}}), got "
                f"{type(qrels).__name__}."
            )
        given: dict[str, dict[str, int]] = {}
        for key, grades in qrels.items():
            try:
                for document, grade in values.read_grades(grades).items():
                    of_query = given.setdefault(values.read_id(key) or str(key), {})
                    values.add_grade(of_query, document, grade)
            except InputTypeError as error:
                raise ConfigurationError(f"The qrels of the query {key!r}: {error}") from error
        ids = {one.id for one in self.records}
        unknown = [one for one in given if one not in ids]
        if given and len(unknown) == len(given):
            raise ConfigurationError(
                f"None of the {len(given)} queries of the qrels is in the data set {self.name!r}: "
                f"they have {some(given)}, it has {some(ids)}."
            )
        warnings = (
            [f"The qrels judge {len(unknown)} queries that are not asked: {some(unknown)}."]
            if unknown
            else []
        )
        return replace(
            self,
            records=tuple(
                replace(one, qrels=given[one.id]) if one.id in given else one
                for one in self.records
            ),
            warnings=(*self.warnings, *warnings),
        )


KEYS = tuple(one.name for one in fields(Record) if one.name not in {"problem", "metadata"})


def from_records(
    rows: Iterable[Any],
    *,
    name: str = "data set",
    where: Sequence[str] | None = None,
    split: str | None = None,
) -> Dataset:
    """Return a data set from a table, or from dictionaries with the keys of `Record`.

    Only `question` is needed. Names that other programs use (`user_input`, `query`, `answer`,
    `ground_truth`, ...) are read as the keys that they are, which the first of the warnings says;
    other columns are kept in `Record.metadata`.

    A record without an id is called by its position, from 1. Of records with the same id, the
    second becomes `id#2`. Where a column has a grade for each id or context beside it (`relevance`,
    `label`, ...; whole numbers, or words such as "relevant" and "no"), rows of the same question
    are one record; also without grades, where they name different documents.

    Args:
        rows: The records: dictionaries, objects of `Record` or of another dataclass, questions, a
            table (pandas, pyarrow, datasets, RAGAS), or a mapping that holds them (columns, SQuAD,
            LlamaIndex).
        name: What the data set is called in reports.
        where: Where each record stands in a file, for messages.
        split: Which split, where the table has several.

    Raises:
        ConfigurationError: No record, or none that can be used.

    Examples:
        >>> data = from_records([{"question": "What is LoRA?", "expected_source": "lora.pdf"}])
        >>> data.records[0].id, data.records[0].expected_source
        ('1', ('lora.pdf',))
    """
    listed = [_row(one) for one in as_rows(rows, split)]
    if listed and all(isinstance(one, str) for one in listed):
        listed = [{"question": one} for one in listed]
    places = where or [f"record {position}" for position in range(1, len(listed) + 1)]
    names = dict.fromkeys(key for row in listed if isinstance(row, Mapping) for key in row)
    keys = columns.mapping(names, KEYS, judged=True)
    listed, grades = graded.with_numbers(listed, keys)
    if grades is None:
        keys = columns.mapping(names, KEYS)
    made = [_record(row, str(n), keys, grades) for n, row in enumerate(listed, 1)]
    placed = list(zip(made, places, strict=True))
    read = repeated.joined(placed, by_id="id" in keys.values(), graded=grades is not None)
    spoken = columns.spoken(listed, keys, grades)
    found, warnings = repeated.told_apart(read)
    if all(record.problem for record in found):
        first = found[0].problem if found else "it is empty."
        raise ConfigurationError(
            f"The data set {name!r} has no record that can be used: {first} "
            f"A record is a dictionary with at least 'question'; known keys: {', '.join(KEYS)}."
        )
    said = [f"{spoken}."] if spoken else []
    said += repeated.said_of_repeated(len(made) - len(read) if grades is None else 0, found)
    return Dataset(tuple(found), name, (*(f"{name}: {one}" for one in said), *warnings))


def some(names: Iterable[str]) -> str:
    """Return the first names of many, for a message.

    Examples:
        >>> some(["a", "b", "c", "d"]), some([])
        ("'a', 'b', 'c', ...", 'none')
    """
    listed = list(names)
    shown = ", ".join(map(repr, listed[:3]))
    return f"{shown}, ..." if len(listed) > 3 else shown or "none"


def _row(row: Any) -> Any:
    """Return a row as a mapping where it is one in another guise."""
    row = values.dumped(row)
    if not isinstance(row, Mapping):
        return values.plain_value(row)
    return unfolded({key: values.plain_value(one) for key, one in columns.flattened(row).items()})


def _metadata(held: Any) -> Mapping[str, Any]:
    """Return the metadata of a row, also from a cell; what is no object is kept as it is."""
    held = opened(held)
    if isinstance(held, Mapping):
        return held
    return {"metadata": held} if values.is_there(held) else {}


def _record(row: Any, position: str, keys: Mapping[str, str], grades: str | None) -> Record:
    if not isinstance(row, Mapping):
        return Record(position, "", problem=f"a dictionary was expected, got {row!r}.")
    columns_of = columns.chosen(row, keys)
    id_ = row.get(columns_of.get("id", ""))
    id_ = (values.read_id(id_) or str(id_)) if values.is_there(id_) else position
    shown = ""
    try:
        shown = values.read_question(row.get(columns_of.get("question", "")))
        return Record(id_, shown, **_read(row, shown, keys, columns_of, grades))
    except InputTypeError as error:
        return Record(id_, shown, problem=str(error))


def _read(
    row: Mapping[str, Any],
    question: str,
    keys: Mapping[str, str],
    columns_of: Mapping[str, str],
    grades: str | None,
) -> dict[str, Any]:
    """Return what else a record has, from the columns of its row.

    Raises:
        InputTypeError: The record cannot be used.
    """
    known = {*columns_of.values(), grades, "metadata"}
    extra = {key: one for key, one in row.items() if key not in known and values.is_there(one)}
    free = set(KEYS) - {keys.get(name) for name in row}
    for key in extra:
        close = columns.nearest(key, free)
        if close:
            raise InputTypeError(
                f"unknown key {key!r}; the nearest known key is {close!r} "
                f"(known: {', '.join(KEYS)})."
            )
    if not question.strip():
        asked = columns_of.get("question")
        found = "the question is empty" if "question" in keys.values() else "it has no question"
        raise InputTypeError(
            f"{found} ({row.get(asked or '')!r}); its keys are {', '.join(row) or 'none'}."
        )
    held = {key: row[name] for key, name in columns_of.items() if key in _READERS}
    if _is_unanswerable(row, held.get("reference")):
        held = {key: held[key] for key in held.keys() - {"reference", "reference_contexts"}}
    if grades is not None and "qrels" not in held:
        try:
            held = graded.with_grades(held, row.get(grades), columns_of)
        except InputTypeError as error:
            raise InputTypeError(f"the grade {grades!r} cannot be used: {error}") from error
    read: dict[str, Any] = {"metadata": {**extra, **_metadata(row.get("metadata"))}}
    for key, value in held.items():
        try:
            if values.is_there(value):
                read[key] = _READERS[key](value)
        except InputTypeError as error:
            name = columns_of[key]
            other = "" if normal(name) == key else f" as {key}"
            advice = " Rename or leave out the column if it is something else." if other else ""
            raise InputTypeError(f"{name!r} cannot be used{other}: {error}{advice}") from error
    return read


# What SQuAD 2 and MuSiQue say of a question that their passage does not answer.
_UNANSWERABLE = {"is_impossible": 1, "answerable": 0, "is_answerable": 0}


def _is_unanswerable(row: Mapping[str, Any], answers: Any) -> bool:
    """Return whether a row says that nothing answers it: its passage is then no label."""
    given = answers.get("text", True) if isinstance(answers, Mapping) else True
    said = [(normal(key), one) for key, one in row.items() if normal(key) in _UNANSWERABLE]
    return not values.is_there(values.plain_value(given)) or any(
        values.read_grade(one) == _UNANSWERABLE[key] for key, one in said
    )


_READERS: dict[str, Callable[[Any], Any]] = {
    "reference": values.read_reference,
    "expected_source": values.read_texts,
    "reference_context_ids": values.read_texts,
    "qrels": values.read_grades,
    "reference_contexts": values.read_contexts,
    "expected_passage": values.read_text,
    "tags": values.read_texts,
}
