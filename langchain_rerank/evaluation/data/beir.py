"""BEIR folders: `corpus.jsonl`, `queries.jsonl` and `qrels/SPLIT.tsv`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from langchain_rerank.errors import DataFileError, see
from langchain_rerank.evaluation.data.datasets import Dataset, from_records
from langchain_rerank.evaluation.data.records import read_jsonl
from langchain_rerank.evaluation.data.trec import read_qrels


@dataclass(frozen=True)
class Collection:
    """A corpus and the questions about it.

    Attributes:
        documents: The corpus. The text of a document is its title, a line break and its text; its
            `metadata` has `source` (the id), `title`, and what else the corpus has.
        dataset: The questions that the qrels judge, in the order of `queries.jsonl`.
    """

    documents: tuple[Document, ...]
    dataset: Dataset


def is_collection(path: str | Path) -> bool:
    """Return whether `path` is a folder in BEIR's layout."""
    return all((Path(path) / name).is_file() for name in ("corpus.jsonl", "queries.jsonl"))


def load_collection(path: str | Path, *, split: str = "test") -> Collection:
    """Return the corpus and the questions of a BEIR folder.

    Args:
        path: The folder.
        split: Which qrels: `qrels/SPLIT.tsv`.

    Raises:
        DataFileError: A file is missing or malformed, an id stands twice, or the qrels judge no
            query or one that `queries.jsonl` has not.
        ConfigurationError: Every question is empty.
    """
    path = Path(path)
    corpus, queries = path / "corpus.jsonl", path / "queries.jsonl"
    documents = {
        id_: Document(
            id=id_,
            page_content="\n".join(part for part in (row.get("title"), row["text"]) if part),
            metadata={
                "source": id_,
                "title": row.get("title") or "",
                **(row.get("metadata") or {}),
            },
        )
        for id_, row in _by_id(corpus).items()
    }
    questions = {id_: row["text"] for id_, row in _by_id(queries).items()}
    judged = path / "qrels" / f"{split}.tsv"
    if not judged.is_file():
        splits = sorted(one.stem for one in (path / "qrels").glob("*.tsv"))
        raise DataFileError(
            f"There is no such split; the folder has {', '.join(splits) or 'no qrels'}.",
            path=judged,
        )
    qrels = read_qrels(judged)
    if not qrels:
        raise DataFileError("It judges no query, so there is nothing to evaluate.", path=judged)
    orphan = next((query for query in qrels if query not in questions), None)
    if orphan is not None:
        raise DataFileError(
            f"It judges the query {orphan!r}, which {queries.name} has not.", path=judged
        )
    missing = {one for grades in qrels.values() for one in grades} - documents.keys()
    warnings = []
    if missing:
        warnings.append(
            f"{judged.name} judges {len(missing)} documents that {corpus.name} has not, for "
            f"instance {min(missing)!r}; they can never be found. "
            f"{see('judged-documents-are-missing')}"
        )
    rows = [
        {"id": query, "question": question, "qrels": qrels[query]}
        for query, question in questions.items()
        if query in qrels
    ]
    dataset = from_records(rows, name=path.name, where=[queries.name] * len(rows))
    return Collection(
        tuple(documents.values()),
        replace(dataset, warnings=(*warnings, *dataset.warnings)),
    )


def _by_id(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for line, row in read_jsonl(path):
        if not isinstance(row.get("text"), str) or "_id" not in row:
            raise DataFileError(
                f"'_id' and a string 'text' were expected, got the keys {', '.join(row)}.",
                path=path,
                line=line,
            )
        for key, kind, expected in (("title", str, "a string"), ("metadata", dict, "an object")):
            if row.get(key) is not None and not isinstance(row[key], kind):
                raise DataFileError(
                    f"{key!r} is {row[key]!r}; {expected} was expected.", path=path, line=line
                )
        id_ = str(row["_id"])
        if id_ in found:
            raise DataFileError(f"The id {id_!r} was used before.", path=path, line=line)
        found[id_] = row
    return found
