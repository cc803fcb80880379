"""Collections: a corpus, queries and qrels, in a folder as BEIR or MTEB lay it out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from langchain_rerank.errors import DataFileError, see
from langchain_rerank.evaluation.data.columns import holds_question
from langchain_rerank.evaluation.data.questions import Dataset, from_records, some
from langchain_rerank.evaluation.data.trec import QrelsByQuery, read_qrels
from langchain_rerank.evaluation.data.values import read_id
from langchain_rerank.reading import ROW_SUFFIXES, Form, read_rows, suffix_of
from langchain_rerank.reading.text import is_folder

_PARTS = ("corpus", "queries")
_QRELS = ("qrels", "default", "data")  # what the folder of judgements is called
_OWN = {"_id", "id", "text", "title", "metadata"}


@dataclass(frozen=True)
class Collection:
    """A corpus and the questions about it.

    Attributes:
        documents: The corpus. The text of a document is its title, a line break and its text; its
            `metadata` has `source` (the id), `title`, and what else the corpus has.
        dataset: The questions that the qrels judge, in the order of the queries.
    """

    documents: tuple[Document, ...]
    dataset: Dataset


def is_collection(path: str | Path) -> bool:
    """Return whether `path` is a folder in the layout of BEIR or MTEB."""
    return is_folder(Path(path)) and all(_files(Path(path), name) for name in _PARTS)


def load_collection(path: str | Path, *, split: str | None = None) -> Collection:
    """Return the corpus and the questions of a collection.

    `corpus` and `queries` are JSONL, JSON, CSV or Parquet files, or folders of them; the qrels of a
    split are `qrels/SPLIT.tsv`, or another of these forms. What only one of them has (a judged
    query that is not asked, a judged document that is not there) is named in a warning.

    Args:
        path: The folder.
        split: Which qrels; None is "test", or the only ones there are.

    Raises:
        DataFileError: A file is missing or malformed, an id stands twice, or the qrels judge none
            of the queries.
        ConfigurationError: No such split, or every question is empty.
    """
    path = Path(path)
    documents = {id_: _document(id_, row) for id_, row in _by_id(path, "corpus").items()}
    questions = _by_id(path, "queries")
    qrels, judged = _read_split(path, split)
    asked = {query: grades for query, grades in qrels.items() if query in questions}
    if not asked:
        said = f"none of the queries ({some(questions)})" if qrels else "no query"
        raise DataFileError(
            f"It judges {said}, so there is nothing to evaluate; it has {some(qrels)}.", path=judged
        )
    warnings = []
    if len(asked) < len(qrels):
        orphans = [one for one in qrels if one not in questions]
        warnings.append(
            f"{judged.name} judges {len(orphans)} queries that are not asked, for instance "
            f"{orphans[0]!r}; they are left out."
        )
    missing = {one for grades in asked.values() for one in grades} - documents.keys()
    if missing:
        warnings.append(
            f"{judged.name} judges {len(missing)} documents that are missing from the corpus, for "
            f"instance {min(missing)!r}; they can never be found. "
            f"{see('judged-documents-are-missing')}"
        )
    rows = [
        {
            **{key: one for key, one in row.items() if key not in _OWN},
            "id": query,
            "question": row["text"],
            "qrels": asked[query],
        }
        for query, row in questions.items()
        if query in asked
    ]
    dataset = from_records(
        rows, name=path.name, where=[_files(path, "queries")[0].name] * len(rows)
    )
    kept = [one for one in dataset.warnings if "kept as metadata" not in one]
    return Collection(tuple(documents.values()), replace(dataset, warnings=(*warnings, *kept)))


def _document(id_: str, row: Mapping[str, Any]) -> Document:
    return Document(
        id=id_,
        page_content="\n".join(part for part in (row.get("title"), row["text"]) if part),
        metadata={
            "source": id_,
            "title": row.get("title") or "",
            **{key: one for key, one in row.items() if key not in _OWN and one is not None},
            **(row.get("metadata") or {}),
        },
    )


def _files(folder: Path, name: str) -> list[Path]:
    """Return the files of a part: `NAME.jsonl` and its like, or what the folder `NAME` holds."""
    named = [one for one in _held(folder) if one.name.split(".")[0] == name]
    beside = [one for one in named if suffix_of(one) in ROW_SUFFIXES]
    return beside[:1] or [one for one in _held(folder / name) if suffix_of(one) in ROW_SUFFIXES]


def _held(folder: Path) -> list[Path]:
    """Return the files in a folder, in order; none where it is no folder."""
    return sorted(one for one in folder.iterdir() if one.is_file()) if is_folder(folder) else []


def _read_split(path: Path, split: str | None) -> tuple[QrelsByQuery, Path]:
    """Return the qrels of a split, and the first of the files that they are in."""
    splits: dict[str, list[Path]] = {}
    for folder in (path / one for one in _QRELS):
        for one in _held(folder):
            if not one.name.startswith("."):
                # "test-00000-of-00001.parquet" is a part of "test".
                name = re.sub(r"-\d+(-of-\d+)?$", "", one.name.split(".")[0])
                splits.setdefault(name, []).append(one)
        if splits:
            break
    alone = [one for one in path.glob("qrels.*") if one.is_file()]
    if not splits and alone:
        splits["qrels"] = alone[:1]
    chosen = split or ("test" if "test" in splits or len(splits) != 1 else next(iter(splits)))
    if chosen not in splits:
        raise DataFileError(
            f"There is no such split; the folder has {', '.join(sorted(splits)) or 'no qrels'}. "
            f"Name one with split='dev' (on the command line --split dev).",
            path=path / "qrels" / f"{chosen}.tsv",
        )
    found: QrelsByQuery = {}
    for file in splits[chosen]:
        for query, grades in read_qrels(file).items():
            found.setdefault(query, {}).update(grades)
    return found, splits[chosen][0]


def _by_id(folder: Path, part: str) -> dict[str, dict[str, Any]]:
    files = _files(folder, part)
    if not files:
        raise DataFileError(
            "no such file, nor one that ends in .json, .csv or .parquet; is this a collection "
            "(corpus.jsonl, queries.jsonl, qrels/test.tsv)?",
            path=folder / f"{part}.jsonl",
        )
    found: dict[str, dict[str, Any]] = {}
    for path in files:
        known = holds_question if part == "queries" else "text".__eq__
        for line, row in read_rows(path, known=known, what="the text", form=Form()):
            read = _checked(row, path, line)
            if read["_id"] in found:
                raise DataFileError(
                    f"The id {read['_id']!r} was used before.", path=path, line=line
                )
            found[read["_id"]] = read
    return found


def _checked(row: Any, path: Path, line: int) -> dict[str, Any]:
    """Return a row with its id and text under `_id` and `text`."""
    row = dict(row) if isinstance(row, Mapping) else {}
    text = row.pop("query", None) if "text" not in row else row["text"]
    id_ = read_id(row.get("_id", row.get("id")))
    wrong = partial(DataFileError, path=path, line=line)
    if not isinstance(text, str) or id_ is None:
        keys = ", ".join(row) or "none"
        raise wrong(f"'_id' and a string 'text' were expected, got the keys {keys}.")
    for key, kind, expected in (("title", str, "a string"), ("metadata", Mapping, "an object")):
        if row.get(key) not in (None, "") and not isinstance(row[key], kind):
            raise wrong(f"{key!r} is {row[key]!r}; {expected} was expected.")
    return {**row, "_id": id_, "text": text}
