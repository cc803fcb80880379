"""Files of pairs in parts: Parquet and JSONL by row, TREC runs through their collection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_rerank.errors import DataFileError
from langchain_rerank.evaluation.data.beir import load_collection
from langchain_rerank.evaluation.data.trec import read_run
from langchain_rerank.optional import require

PARQUET, JSONL, TREC = "Parquet", "JSONL", "a TREC run"
TAG = "langchain-rerank"
_BATCH_ROWS = 1024


def form_of(path: Path) -> str:
    """Return what kind of file this is, by its name."""
    return {".parquet": PARQUET, ".jsonl": JSONL}.get(path.suffix.lower(), TREC)


def fingerprint(path: Path) -> list[Any]:
    """Return what tells this state of a file from others.

    Raises:
        DataFileError: It is not there.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise DataFileError(f"cannot be read: {error.strerror}", path=path) from error
    return [path.name, state.st_size, state.st_mtime_ns]


def parts_of(path: Path, form: str, pairs: int) -> list[dict[str, int]]:
    """Return the parts of a file: number, where it starts and ends, pairs, rows before it.

    A part of a Parquet file is a range of rows, one of JSONL a range of bytes.
    """
    if form == PARQUET:
        rows = require("pyarrow.parquet", extra="ray").read_metadata(path).num_rows
        ends = [(start, min(rows, start + pairs)) for start in range(0, rows, pairs)]
        found = [(start, end, end - start, start) for start, end in ends]
    else:
        found, start, count, before, position = [], 0, 0, 0, 0
        with path.open("rb") as file:
            for line, content in enumerate(file, start=1):
                position += len(content)
                count += bool(content.strip())
                if count == pairs:
                    found.append((start, position, count, before))
                    start, count, before = position, 0, line
        if count:
            found.append((start, position, count, before))
    names = ("part", "start", "end", "pairs", "before")
    return [dict(zip(names, (n, *part), strict=True)) for n, part in enumerate(found)]


def read_part(path: Path, part: Mapping[str, int], form: str) -> tuple[Any, list[tuple[str, str]]]:
    """Return the rows of a part, and their queries and texts.

    Raises:
        DataFileError: A row has no "query" or "text" that is a string.
    """
    if form == PARQUET:
        table = _rows(path, part["start"], part["end"])
        for name in ("query", "text"):
            if name not in table.column_names:
                raise DataFileError(
                    f"there is no column {name!r}, but {', '.join(table.column_names)}", path=path
                )
        pairs = list(zip(table["query"].to_pylist(), table["text"].to_pylist(), strict=True))
        for row, pair in enumerate(pairs, start=part["before"]):
            if not all(isinstance(value, str) for value in pair):
                raise DataFileError(f"row {row}: query and text must be strings", path=path)
        return table, pairs
    with path.open("rb") as file:
        file.seek(part["start"])
        lines = file.read(part["end"] - part["start"]).split(b"\n")
    records = [
        _record(path, content, line)
        for line, content in enumerate(lines, start=part["before"] + 1)
        if content.strip()
    ]
    return records, [(record["query"], record["text"]) for record in records]


def _rows(path: Path, start: int, end: int) -> Any:
    """Return rows `start` to `end` of a Parquet file, without keeping what is around them."""
    with require("pyarrow.parquet", extra="ray").ParquetFile(path) as file:
        first, found = 0, []
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            # A group may be the whole file: it is read in pieces, up to the end of the part.
            if first < end and start < first + rows:
                position = first
                for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group]):
                    low, high = max(start, position), min(end, position + len(batch))
                    if low < high:
                        found.append(batch.slice(low - position, high - low))
                    position += len(batch)
                    if position >= end:
                        break
            first += rows
        schema = file.schema_arrow
    return require("pyarrow", extra="ray").Table.from_batches(found, schema=schema)


def _record(path: Path, content: bytes, line: int) -> dict[str, Any]:
    try:
        record = json.loads(content)
    except ValueError as error:
        raise DataFileError(f"not JSON: {error}", path=path, line=line) from error
    if not isinstance(record, dict) or not all(
        isinstance(record.get(name), str) for name in ("query", "text")
    ):
        raise DataFileError(
            'expected an object with the strings "query" and "text"', path=path, line=line
        )
    return record


def part_path(folder: Path, part: int) -> Path:
    """Return where a part's rows are once it is scored."""
    return folder / f"part-{part:06d}"


def write_part(
    folder: Path, part: Mapping[str, int], scored: tuple[Any, Sequence[float]], form: str
) -> None:
    """Write the rows of a part with their scores: the whole part or nothing."""
    rows, scores = scored

    def write(path: Path) -> None:
        if form == PARQUET:
            require("pyarrow.parquet", extra="ray").write_table(_with_scores(rows, scores), path)
            return
        with path.open("w", encoding="utf-8") as file:
            for record, score in zip(rows, scores, strict=True):
                file.write(json.dumps({**record, "score": score}) + "\n")

    write_atomically(part_path(folder, part["part"]), write)


def _with_scores(rows: Any, scores: Sequence[float]) -> Any:
    arrow = require("pyarrow", extra="ray")
    column = arrow.array(scores, arrow.float64())
    if "score" in rows.column_names:
        return rows.set_column(rows.column_names.index("score"), "score", column)
    return rows.append_column("score", column)


def write_atomically(
    path: Path, write: Callable[[Path], object], folder: Path | None = None
) -> None:
    """Have `write` fill another file, in `folder` or beside it, which then takes the place."""
    # A name of its own: other machines may be at the same part.
    unfinished = (folder or path.parent) / f"{path.name}.{uuid4().hex}.tmp"
    write(unfinished)
    unfinished.replace(path)


def join(
    source: Path, folder: Path, parts: Sequence[int], form: str, out: Path, *, as_run: bool
) -> None:
    """Write the rows of all parts, in order, to `out`; as a run, ranked by their new scores."""

    def write(path: Path) -> None:
        if form == PARQUET:
            _join_parquet(source, folder, parts, path)
            return
        with path.open("w", encoding="utf-8") as file:
            lines = _lines(folder, parts)
            file.writelines(_ranked(lines) if as_run else lines)

    write_atomically(out, write, folder)  # what is killed leaves nothing beside `out`


def _join_parquet(source: Path, folder: Path, parts: Sequence[int], path: Path) -> None:
    parquet = require("pyarrow.parquet", extra="ray")
    nothing = _with_scores(parquet.read_schema(source).empty_table(), [])
    with parquet.ParquetWriter(path, nothing.schema) as writer:
        for part in parts:
            writer.write_table(parquet.read_table(part_path(folder, part)))


def _lines(folder: Path, parts: Sequence[int]) -> Iterator[str]:
    for part in parts:
        with part_path(folder, part).open(encoding="utf-8") as file:
            yield from file


def _ranked(lines: Iterator[str]) -> Iterator[str]:
    records = map(json.loads, lines)
    for query, group in groupby(records, key=lambda record: record["query_id"]):
        best_first = sorted(group, key=lambda record: -record["score"])  # equal: the run's order
        for rank, record in enumerate(best_first, start=1):
            yield f"{query} Q0 {record['doc_id']} {rank} {record['score']!r} {TAG}\n"


def write_pairs(run: Path, collection: Path, out: Path) -> str:
    """Write the pairs of a TREC run as JSONL, with the texts of its collection; return their hash.

    Raises:
        DataFileError: The run names a query or a document that the collection does not have.
    """
    ranked = read_run(run)
    loaded = load_collection(collection)
    texts = {document.id: document.page_content for document in loaded.documents}
    queries = {record.id: record.question for record in loaded.dataset.records}

    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8") as file:
            for query, documents in ranked.items():
                for document, _ in documents:
                    if query not in queries or document not in texts:
                        lost = f"query {query}" if query not in queries else f"document {document}"
                        raise DataFileError(f"{lost} is missing from {collection}", path=run)
                    pair = {
                        "query_id": query,
                        "doc_id": document,
                        "query": queries[query],
                        "text": texts[document],
                    }
                    file.write(json.dumps(pair) + "\n")

    write_atomically(out, write)
    with out.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
