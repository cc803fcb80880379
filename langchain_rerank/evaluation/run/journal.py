"""The journal of a run: what is finished, on disk, so that a killed run goes on where it was.

JSONL, one flushed line per row. The first line holds the fingerprint of the data set and of the
settings that rows depend on; a document stands in it once, before the first row that names it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.evaluation.data.plain import plain

Row = dict[str, Any]


class Journal:
    """Finished rows by system and query; in memory only where `path` is None.

    Args:
        path: The file. Its folder is made where it does not exist.
        fingerprint: What the rows depend on: plain data.
        resume: Whether to go on with what the file holds; else it is written anew, and a file that
            was there is kept under its name with `.old` behind it.

    Attributes:
        documents: The documents of all rows, by key.

    Raises:
        ConfigurationError: The file was written for another data set or with other settings.
        DataFileError: It is no journal, or a line other than the last is broken.
    """

    def __init__(
        self, path: str | Path | None, fingerprint: Mapping[str, Any], *, resume: bool = False
    ) -> None:
        self.documents: dict[str, Document] = {}
        self._rows: dict[tuple[str, str], Row] = {}
        self._lock = threading.Lock()
        self._path = Path(path) if path is not None else None
        # Through JSON, so that it compares equal with what is read back.
        head = json.loads(json.dumps(fingerprint, default=str))
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if not (resume and self._path.exists() and self._load(head)):
            # Whoever forgets to resume would lose hours of scores.
            if _has_rows(self._path):
                self._path.replace(self._path.with_name(self._path.name + ".old"))
            self._path.write_text("", encoding="utf-8")
            self._write([{"fingerprint": head}])

    def get(self, system: str, query_id: str) -> Row | None:
        """Return the finished row, or None. A failed one is not finished: it is tried again."""
        return self._rows.get((system, query_id))

    def put(self, system: str, query_id: str, row: Row, documents: Mapping[str, Document]) -> None:
        """Keep a row and the documents that it names; a row with an `error` counts as failed."""
        with self._lock:
            new = {key: one for key, one in documents.items() if key not in self.documents}
            self.documents.update(new)
            if not row.get("error"):
                self._rows[system, query_id] = row
            if self._path is not None:
                self._write(
                    [
                        *(_document_line(key, one) for key, one in new.items()),
                        {"system": system, "query": query_id, "row": row},
                    ]
                )

    def _write(self, lines: Iterable[Row]) -> None:
        # Opened anew each time: a journal needs no closing, and a run is slow beside it.
        with Path(self._path or "").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line, default=str) + "\n" for line in lines)

    def _load(self, head: Row) -> bool:
        """Read the file; cut a torn last line off. Return False where not even a head is whole."""
        path = Path(self._path or "")
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if not whole:
            return False
        for line, text in enumerate(whole.splitlines(), 1):
            self._take(text, line, head, path)
        if len(whole) < len(data):
            path.write_bytes(whole)
        return True

    def _take(self, text: bytes, line: int, head: Row, path: Path) -> None:
        try:
            found = json.loads(text)
            if line == 1:
                _same_run(found["fingerprint"], head, path)
            elif "document" in found:
                self.documents[found["document"]] = Document(**found["fields"])
            elif not found["row"].get("error"):
                self._rows[found["system"], found["query"]] = found["row"]
        except ConfigurationError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataFileError(
                "This is no line of a journal. Start the run anew, without resume.",
                path=path,
                line=line,
            ) from error


def _has_rows(path: Path) -> bool:
    """Return whether a journal holds more than its head: else there is nothing to keep."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return bool(file.readline() and file.readline())


def _document_line(key: str, document: Document) -> Row:
    # JSON has no keys but strings.
    fields = {"page_content": document.page_content, "metadata": plain(document.metadata)}
    return {"document": key, "fields": {**fields, "id": document.id}}


def _same_run(old: Mapping[str, Any], new: Mapping[str, Any], path: Path) -> None:
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if differing:
        where, was, now = _first_difference(
            differing[0], old.get(differing[0]), new.get(differing[0])
        )
        raise ConfigurationError(
            f"The journal {path} cannot be resumed: {', '.join(differing)} differ "
            f"({where} was {str(was)[:80]}, is {str(now)[:80]}). Use the settings of the first "
            f"run, or start anew without resume."
        )


def _first_difference(where: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """Return the innermost first place where two JSON values differ, and both values there."""
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [(key, old.get(key), new.get(key)) for key in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        parts = [(number, *values) for number, values in enumerate(zip(old, new, strict=True))]
    else:
        return where, old, new
    for key, was, now in parts:
        if was != now:
            return _first_difference(f"{where}.{key}", was, now)
    return where, old, new  # One says null where the other says nothing.
