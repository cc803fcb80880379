"""Questions from files: the shapes that people have them in, as records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_rerank.errors import DataFileError, InputTypeError
from langchain_rerank.evaluation.data.beir import is_collection, load_collection
from langchain_rerank.evaluation.data.columns import holds_question, mapping
from langchain_rerank.evaluation.data.questions import KEYS, Dataset, from_records
from langchain_rerank.evaluation.data.tables import rows_inside
from langchain_rerank.evaluation.data.written import unwritten
from langchain_rerank.reading import TABLE_SUFFIXES, Form, read_rows, suffix_of
from langchain_rerank.reading.json_values import objects

# Only in these does a cell hold several values; a question may well begin with a bracket.
_SEVERAL = {"expected_source", "reference_context_ids", "qrels", "reference_contexts", "tags"}


def load_dataset(
    path: str | Path,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
    split: str | None = None,
) -> Dataset:
    """Return the questions in a file, by its suffix, or in a folder.

    Read are JSONL, JSON (an array, an object of rows or of columns, SQuAD's, LlamaIndex'), CSV and
    its relatives (commas, semicolons, tabs, bars; a first line `sep=;`), Parquet, folders that
    `datasets` saved, and collections as of BEIR and MTEB; files may be packed by gzip. CSV has a
    header, except for lines of an id, a tab and a text; an empty cell is absent, and one that holds
    a list (`["a.pdf", "b.pdf"]`) is read as that list.

    Args:
        path: The file or folder.
        encoding: Its encoding; None for UTF-8, or what its byte order mark says.
        delimiter: What parts its cells; None for the one that gives a column with the question.
        split: The split of a folder; None for "test", or the only one there is.

    Raises:
        DataFileError: It cannot be read, or it is not clear how.
        ConfigurationError: No record, or none that can be used.
    """
    path = Path(path)
    form = Form(encoding, delimiter, split)
    if is_collection(path):
        return load_collection(path, split=split).dataset
    found = read_rows(path, known=holds_question, what="the question", form=form)
    alone = found[0][1] if len(found) == 1 else None
    inside = rows_inside(alone, path) if isinstance(alone, Mapping) else None
    rows = list(objects(found if inside is None else enumerate(inside, 1), path))
    if suffix_of(path) in TABLE_SUFFIXES:
        _check_cells(rows, path)
    return from_records(
        [row for _, row in rows],
        name=path.stem,
        where=[f"{path.name}:{line}" for line, _ in rows],
    )


def _check_cells(rows: Sequence[tuple[int, Any]], path: Path) -> None:
    """Refuse cells of several values that begin as a list and are none."""
    keys = mapping(rows[0][1] if rows else (), KEYS)
    several = {name: key for name, key in keys.items() if key in _SEVERAL}
    for line, row in rows:
        for name in several:
            try:
                unwritten(row[name], strict=True)
            except InputTypeError as error:
                raise DataFileError(
                    f"The cell of {name!r}: {error}", path=path, line=line
                ) from error
