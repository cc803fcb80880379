"""RAGAS rows: one question with what a system retrieved and answered, as plain data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from langchain_rerank.errors import DataFileError, InputTypeError
from langchain_rerank.reading.json_values import objects, read_json

# What else a RAGAS sample can hold. It says nothing about retrieval, so it is read over.
_OTHER_FIELDS = {"rubrics", "multi_responses", "persona_name", "query_style", "query_length"}
_LISTS = {
    "retrieved_contexts",
    "retrieved_context_ids",
    "reference_contexts",
    "reference_context_ids",
}


@dataclass(frozen=True)
class RagasRow:
    """One question through one system. None is "not known"; an empty tuple is "nothing found".

    Attributes:
        user_input: The question.
        retrieved_contexts: `(n,)` texts that the system returned, best first, after the cut.
        retrieved_context_ids: `(n,)` their ids.
        reference: The reference answer.
        reference_contexts: Texts that answer the question.
        reference_context_ids: Ids of the documents that answer it.
        response: The answer, where a chain gave one.
        query_id: The id of the question in its data set. No field of RAGAS.
    """

    user_input: str
    retrieved_contexts: tuple[str, ...] | None = None
    retrieved_context_ids: tuple[str, ...] | None = None
    reference: str | None = None
    reference_contexts: tuple[str, ...] | None = None
    reference_context_ids: tuple[str, ...] | None = None
    response: str | None = None
    query_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are known, sequences as lists.

        Examples:
            >>> RagasRow("What is LoRA?", retrieved_contexts=("Adapters.",)).to_dict()
            {'user_input': 'What is LoRA?', 'retrieved_contexts': ['Adapters.']}
        """
        known = ((one.name, getattr(self, one.name)) for one in fields(self))
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in known
            if value is not None
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RagasRow:
        """Return the row with these fields; further fields of a RAGAS sample are left out.

        Raises:
            InputTypeError: A field is unknown, has the wrong type, or `user_input` is not there.
        """
        names = [one.name for one in fields(cls)]
        unknown = [key for key in data if key not in names and key not in _OTHER_FIELDS]
        if unknown:
            raise InputTypeError(
                f"A RAGAS row has no field {unknown[0]!r}; it has {', '.join(names)}."
            )
        known = {key: data[key] for key in names if data.get(key) is not None}
        if "user_input" not in known:
            raise InputTypeError(f"'user_input' is missing; there are {', '.join(data) or 'none'}.")
        return cls(**{key: _checked(key, value) for key, value in known.items()})


def _checked(key: str, value: Any) -> Any:
    if key not in _LISTS:
        if not isinstance(value, str):
            raise InputTypeError(f"{key!r} must be a string, got {value!r}.")
        return value
    # RAGAS takes whole numbers as ids, too, and compares them as strings.
    kinds = (str, int) if key.endswith("_ids") else (str,)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputTypeError(f"{key!r} must be a list of strings, got {value!r}.")
    listed = list(value)
    wrong = [one for one in listed if not isinstance(one, kinds)]
    if wrong:
        raise InputTypeError(
            f"{key!r} must hold strings only, got {wrong[0]!r}. Of a document, give its "
            f"page_content and its id."
        )
    return tuple(str(one) for one in listed)


def write_jsonl(rows: Iterable[RagasRow], path: str | Path) -> None:
    """Write one JSON object per line; `EvaluationDataset.from_jsonl` of RAGAS reads the file."""
    with Path(path).open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in rows)


def read_rows(path: str | Path) -> list[RagasRow]:
    """Return the rows of a JSONL file that `write_jsonl`, or RAGAS, wrote.

    Raises:
        DataFileError: It cannot be read, or a line is no RAGAS row.
    """
    rows = []
    for line, data in objects(read_json(Path(path)), Path(path)):
        try:
            rows.append(RagasRow.from_dict(data))
        except InputTypeError as error:
            raise DataFileError(str(error), path=path, line=line) from error
    return rows
