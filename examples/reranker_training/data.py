"""Collections in BEIR layout, and the graded lists that training reads."""

# ruff: noqa: S311 - sampling, not cryptography

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Collection:
    """Documents, questions and judgements of one BEIR folder."""

    name: str
    texts: dict[str, str]
    queries: dict[str, str]
    qrels: dict[str, dict[str, int]]


@dataclass(frozen=True)
class Example:
    """One question with its candidates, ready for training.

    ``teacher`` holds one grade per text (higher is better); ``labels`` is empty for questions
    made from unlabelled text, else 1.0 for relevant texts and 0.0 for the others.
    """

    query: str
    texts: list[str]
    teacher: list[float]
    labels: list[float] = field(default_factory=list)


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def read_texts(folder: Path) -> Collection:
    """Return a folder's documents alone; it needs nothing but ``corpus.jsonl``."""
    texts = {
        row["_id"]: f"{row.get('title', '')} {row['text']}".strip()
        for row in read_jsonl(folder / "corpus.jsonl")
    }
    return Collection(folder.name, texts, {}, {})


def read_collection(spec: str, default_split: str) -> Collection:
    """Return the judged collection named by ``folder`` or ``folder:split``."""
    path, _, split = spec.partition(":")
    folder = Path(path)
    texts, qrels = read_texts(folder).texts, dict[str, dict[str, int]]()
    with (folder / "qrels" / f"{split or default_split}.tsv").open(encoding="utf-8") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)  # the header
        for query_id, doc_id, grade in rows:
            if int(grade) > 0 and doc_id in texts:
                qrels.setdefault(query_id, {})[doc_id] = int(grade)
    queries = {
        r["_id"]: r["text"] for r in read_jsonl(folder / "queries.jsonl") if r["_id"] in qrels
    }
    return Collection(folder.name, texts, queries, qrels)


def sample(source: Collection, count: int | None, seed: int = 0) -> Collection:
    """Return the collection with a random ``count`` of its questions (all when None)."""
    if count is None or count >= len(source.queries):
        return source
    keep = random.Random(seed).sample(sorted(source.queries), count)
    queries = {query_id: source.queries[query_id] for query_id in keep}
    return Collection(source.name, source.texts, queries, {q: source.qrels[q] for q in keep})
