"""Questions from files: the shapes that people have them in, as records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from langchain_rerank.errors import DataFileError, InputTypeError
from langchain_rerank.evaluation.data.beir import is_collection, load_collection
from langchain_rerank.evaluation.data.columns import holds_question, mapping
from langchain_rerank.evaluation.data.questions import KEYS, Dataset, from_records
from langchain_rerank.evaluation.data.values import unwritten
from langchain_rerank.reading import TABLE_SUFFIXES, Form, read_rows, suffix_of
from langchain_rerank.reading.json_values import objects
from langchain_rerank.reading.squad import paragraphs, squad_articles

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

    Read are JSONL, JSON (an array, an object of rows or of columns, SQuAD's), CSV and its relatives
    (commas, semicolons, tabs, bars; a first line `sep=;`), Parquet, folders that `datasets` saved,
    and collections as of BEIR and MTEB; files may be packed by gzip. CSV has a header; an empty
    cell is absent, and one that holds a list (`["a.pdf", "b.pdf"]`) is read as that list.

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
    rows = unwrapped(read_rows(path, known=holds_question, what="the question", form=form), path)
    if suffix_of(path) in TABLE_SUFFIXES:
        _check_cells(rows, path)
    return from_records(
        [row for _, row in rows],
        name=path.stem,
        where=[f"{path.name}:{line}" for line, _ in rows],
    )


def _check_cells(rows: Sequence[tuple[int, Any]], path: Path) -> None:
    """Refuse cells of several values that begin as a list and are none.

    Raises:
        DataFileError: There is one; the message has its line.
    """
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


def unwrapped(rows: Sequence[tuple[int, Any]], path: Path) -> Sequence[tuple[int, Any]]:
    """Return the rows that a file's single object holds; rows as they are where there are several.

    Raises:
        DataFileError: A row is no object, or SQuAD's paragraphs are damaged.
    """
    if len(rows) == 1 and isinstance(rows[0][1], Mapping):
        inside = _inside(rows[0][1], path)
        if inside is not None:
            rows = list(enumerate(inside, 1))
    # The viewer of data sets wraps each row.
    return [
        (line, row["row"] if isinstance(row.get("row"), Mapping) else row)
        for line, row in objects(rows, path)
    ]


def _inside(value: Mapping[str, Any], path: Path) -> list[Any] | None:
    """Return the rows in one object, or None where it is a row itself."""
    articles = squad_articles(value)
    if articles is not None:
        return list(_asked(articles, path))
    questions = [one for key, one in value.items() if holds_question(str(key))]
    if any(isinstance(one, str) or _asks(one) for one in questions):
        return None
    if questions or all(isinstance(one, Mapping) for one in value.values()):
        return _from_columns(value)
    lists = [
        one
        for one in value.values()
        if isinstance(one, list) and one and all(isinstance(row, Mapping) for row in one)
    ]
    if len(lists) == 1:
        return lists[0]
    if value and all(isinstance(one, str) for one in value.values()):
        return [{"id": key, "question": one} for key, one in value.items()]
    return None


def _asks(value: Any) -> bool:
    """Return whether a value is an object with a question in it: LangSmith's `inputs`, say."""
    return isinstance(value, Mapping) and any(holds_question(str(key)) for key in value)


def _from_columns(value: Mapping[str, Any]) -> list[Any] | None:
    """Return rows from columns (`{"question": [...]}`, `{"question": {"0": ...}}`) or an index.

    pandas writes the second by `to_json`, and `{"0": {"question": ...}}` with `orient="index"`.
    """
    held = list(value.values())
    if all(isinstance(one, list) for one in held) and len({len(one) for one in held}) == 1:
        return [dict(zip(value, row, strict=True)) for row in zip(*held, strict=True)]
    if not all(isinstance(one, Mapping) for one in held):
        return None
    if any(holds_question(str(key)) for key in value):
        indexes = list(held[0]) if held else []
        return [{key: one.get(index) for key, one in value.items()} for index in indexes]
    if all(map(_asks, held)):
        return [{"id": index, **one} for index, one in value.items()]
    return None


def _asked(articles: list[Any], path: Path) -> Iterator[dict[str, Any]]:
    """Yield SQuAD's questions; what cannot be answered has no label."""
    for paragraph in paragraphs(articles, path):
        for one in paragraph.questions:
            answers = one.get("answers") or one.get("plausible_answers") or []
            first = answers[0] if isinstance(answers, list) and answers else None
            answerable = not one.get("is_impossible")
            yield {
                "id": one.get("id"),
                "question": one.get("question"),
                "reference": first.get("text")
                if isinstance(first, Mapping) and answerable
                else None,
                "reference_contexts": [paragraph.text] if answerable else None,
                "title": paragraph.title,
            }
