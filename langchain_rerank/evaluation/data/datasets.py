"""Data sets: questions, with what is known about their answers.

A record that cannot be used is kept and named, never dropped: an empty question or an unknown key
makes that one record invalid, and all others run.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias

from langchain_rerank.errors import ConfigurationError, InputTypeError
from langchain_rerank.evaluation.data import records


@dataclass(frozen=True)
class Record:
    """One question.

    Attributes:
        id: Names the query in every report and TREC file; unique within a data set.
        question: What is asked.
        reference: The reference answer.
        expected_source: The values of `metadata["source"]` that answer it; any of them is relevant.
        reference_context_ids: Ids of the documents that answer it.
        qrels: Grade by document id; 0 and less mean judged and not relevant.
        reference_contexts: Texts that answer it.
        expected_passage: A text that a relevant document contains, in one of `expected_source`
            where that is given.
        tags: Labels to group by.
        problem: Why the record cannot be used; None where it can.
    """

    id: str
    question: str
    reference: str | None = None
    expected_source: tuple[str, ...] = ()
    reference_context_ids: tuple[str, ...] = ()
    qrels: dict[str, int] = field(default_factory=dict)
    reference_contexts: tuple[str, ...] = ()
    expected_passage: str | None = None
    tags: tuple[str, ...] = ()
    problem: str | None = None


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

    def head(self, limit: int | None) -> Dataset:
        """Return the first `limit` records; all of them for None."""
        return replace(self, records=self.records[:limit])

    def with_qrels(self, qrels: Mapping[str, Mapping[str, int]]) -> Dataset:
        """Return a copy with these grades by query id; a query without any keeps its own labels."""
        return replace(
            self,
            records=tuple(
                replace(one, qrels=dict(qrels[one.id])) if one.id in qrels else one
                for one in self.records
            ),
        )


DatasetLike: TypeAlias = "Dataset | str | Path | Iterable[Mapping[str, Any]]"
"""A data set, the path of one (JSONL, CSV or a BEIR folder), or its records as dictionaries."""

KEYS = tuple(one.name for one in fields(Record) if one.name != "problem")


def as_dataset(data: DatasetLike) -> Dataset:
    """Return the data set that `data` is, or that its path or records hold.

    Raises:
        DataFileError: The file cannot be read; the message has its path and line.
        ConfigurationError: No record, or none that can be used.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, (str, Path)):
        return load_dataset(data)
    return from_records(data)


def load_dataset(path: str | Path) -> Dataset:
    """Return the data set in a JSONL or CSV file (by its suffix), or in a BEIR folder.

    JSONL has one object per line. CSV has a header; an empty cell is absent, and one that starts
    with `[` or `{` in a column of several values is read as JSON (`["a.pdf", "b.pdf"]`).

    Raises:
        DataFileError: A line is malformed, or the suffix is another one.
        ConfigurationError: No record, or none that can be used.
    """
    path = Path(path)
    if path.is_dir():
        from langchain_rerank.evaluation.data.beir import load_collection  # which needs `Dataset`

        return load_collection(path).dataset
    rows = list(records.read_rows(path))
    return from_records(
        [row for _, row in rows],
        name=path.stem,
        where=[f"{path.name}:{line}" for line, _ in rows],
    )


def from_records(
    rows: Iterable[Mapping[str, Any]],
    *,
    name: str = "data set",
    where: Sequence[str] | None = None,
) -> Dataset:
    """Return a data set from dictionaries with the keys of `Record`; only `question` is needed.

    A record without an id is called by its position, from 1. Of records with the same id, the
    second becomes `id#2`.

    Args:
        rows: The records.
        name: What the data set is called in reports.
        where: Where each record stands in a file, for messages.

    Raises:
        ConfigurationError: No record, or none that can be used.

    Examples:
        >>> data = from_records([{"question": "What is LoRA?", "expected_source": "lora.pdf"}])
        >>> data.records[0].id, data.records[0].expected_source
        ('1', ('lora.pdf',))
    """
    listed: list[Any] = list(rows)
    places = where or [f"record {position}" for position in range(1, len(listed) + 1)]
    given = {str(row["id"]) for row in listed if isinstance(row, Mapping) and "id" in row}
    taken: set[str] = set()
    warnings, found = [], []
    for position, (row, place) in enumerate(zip(listed, places, strict=True), 1):
        record = _record(row, str(position))
        unique = _unique_id(record.id, taken, given)
        taken.add(unique)
        if unique != record.id:
            warnings.append(f"{place}: the id {record.id!r} was used before; it is now {unique!r}.")
            record = replace(record, id=unique)
        if record.problem:
            record = replace(record, problem=f"{place} (id {record.id!r}): {record.problem}")
            warnings.append(record.problem or "")
        found.append(record)
    if all(record.problem for record in found):
        first = found[0].problem if found else "it is empty."
        raise ConfigurationError(
            f"The data set {name!r} has no record that can be used: {first} "
            f"A record is a dictionary with at least 'question'; known keys: {', '.join(KEYS)}."
        )
    return Dataset(tuple(found), name, tuple(warnings))


def from_ragas(samples: Any, *, name: str = "RAGAS test set") -> Dataset:
    """Return a data set from a RAGAS test set, its DataFrame, or a list of its samples.

    `user_input` becomes the question; `reference`, `reference_contexts` and `reference_context_ids`
    are kept. What a system answered (`response`, `retrieved_contexts`, ...) and how the question
    was made (`persona_name`, ...) is left out.

    Raises:
        ConfigurationError: No sample, or none that can be used.
    """
    if hasattr(samples, "to_pandas"):
        samples = samples.to_pandas()
    if hasattr(samples, "to_dict") and hasattr(samples, "columns"):
        samples = samples.to_dict(orient="records")
    return from_records([_from_sample(sample) for sample in samples], name=name)


def _from_sample(sample: Any) -> dict[str, Any]:
    row = sample.model_dump() if hasattr(sample, "model_dump") else dict(sample)
    # A test set wraps each sample.
    row = row.get("eval_sample", row)
    kept = ("reference", "reference_contexts", "reference_context_ids")
    return {"question": row.get("user_input"), **{key: row.get(key) for key in kept}}


def _unique_id(wanted: str, taken: set[str], given: set[str]) -> str:
    if wanted not in taken:
        return wanted
    names = (f"{wanted}#{number}" for number in itertools.count(2))
    return next(name for name in names if name not in taken and name not in given)


def _record(row: Any, position: str) -> Record:
    if not isinstance(row, Mapping):
        return Record(position, "", problem=f"a dictionary was expected, got {row!r}.")
    id_ = str(row["id"]) if _there(row.get("id")) else position
    question = row.get("question")
    shown = question if isinstance(question, str) else ""
    unknown = [str(key) for key in row if key not in KEYS]
    if unknown:
        close = difflib.get_close_matches(unknown[0], KEYS, n=1, cutoff=0.0)[0]
        return Record(
            id_,
            shown,
            problem=f"unknown key {unknown[0]!r}; the nearest known key is {close!r} "
            f"(known: {', '.join(KEYS)}).",
        )
    if not shown.strip():
        return Record(id_, shown, problem=f"the question is empty ({question!r}).")
    values: dict[str, Any] = {}
    try:
        for key, value in row.items():
            if key not in {"id", "question"} and _there(value):
                values[key] = _READERS[key](value)
    except InputTypeError as error:
        return Record(id_, shown, problem=f"{key!r} cannot be used: {error}")
    return Record(id_, shown, **values)


def _there(value: Any) -> bool:
    if isinstance(value, str):
        return value != ""
    # pandas writes an absent cell as NaN. An array is never compared: that gives an array.
    return value is not None and not (isinstance(value, Real) and math.isnan(value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InputTypeError(f"a text was expected, got {value!r}.")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    value = value.tolist() if hasattr(value, "tolist") else value  # an array of numpy
    values = [value] if isinstance(value, (str, int)) else value
    if not isinstance(values, Iterable) or isinstance(values, Mapping):
        raise InputTypeError(f"a text or a list of texts was expected, got {value!r}.")
    values = list(values)
    wrong = [one for one in values if isinstance(one, bool) or not isinstance(one, (str, int))]
    if wrong:
        raise InputTypeError(f"a text or a list of texts was expected, got {wrong[0]!r} in it.")
    return tuple(dict.fromkeys(str(one) for one in values))


def _grades(value: Any) -> dict[str, int]:
    if not isinstance(value, Mapping):
        raise InputTypeError(f"a grade by document id was expected, got {value!r}.")
    for key, grade in value.items():
        if not isinstance(grade, int):
            raise InputTypeError(f"the grade of {key!r} is {grade!r}; a whole number was expected.")
    return {str(key): int(grade) for key, grade in value.items()}


_READERS: dict[str, Callable[[Any], Any]] = {
    "reference": _text,
    "expected_source": _texts,
    "reference_context_ids": _texts,
    "qrels": _grades,
    "reference_contexts": _texts,
    "expected_passage": _text,
    "tags": _texts,
}
