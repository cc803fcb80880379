"""The journal of a run: what is finished, on disk, so that a killed run goes on where it was.

JSONL, one flushed line per row, each with a checksum and the id of the run that wrote it. The first
line holds the fingerprint of what rows depend on: data, retriever, models, settings. A document
stands in it once, before the first row that names it. A lock keeps a second process out.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Self

from filelock import FileLock, Timeout
from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError, DataFileError, RerankError
from langchain_rerank.evaluation.data.plain import plain
from langchain_rerank.evaluation.run import lines
from langchain_rerank.evaluation.run.identity import Unsaid
from langchain_rerank.evaluation.run.lines import Row

logger = logging.getLogger(__name__)

_BEGIN = b'{"fingerprint": '
_LOCK_SECONDS = 2.0  # what a run that was just stopped may take to let go


class Journal:
    """Finished rows by system and query; in memory only where `path` is None.

    Close it, or use it as a context manager: until then no other run gets the file.

    Args:
        path: The file. Its folder is made where it does not exist.
        fingerprint: What the rows depend on: plain data.
        resume: Whether to go on with what the file holds; else it is written anew, and a file that
            was there is kept under its name with `.old` after it.
        unsaid: What the fingerprint does not say, by system: rows of a scorer that does not say
            what it is could be those of another.

    Attributes:
        path: The file, whatever link leads to it.
        documents: The documents of all rows, by key.
        warnings: What whoever reads the report should know about the journal.

    Raises:
        ConfigurationError: Another run has the file open, or it was written for another data set,
            with other settings, or by something unknown.
        DataFileError: A file is there that is no journal, which is left as it is; or a line other
            than the last is damaged.
    """

    def __init__(
        self,
        path: str | Path | None,
        fingerprint: Mapping[str, Any],
        *,
        resume: bool = False,
        unsaid: Mapping[str, Unsaid] | None = None,
    ) -> None:
        self.unsaid = unsaid or {}
        self.path: Path | None = None
        self.documents: dict[str, Document] = {}
        self.warnings: list[str] = []
        self._brought: dict[tuple[str, str], tuple[str, ...]] = {}
        self._rows: dict[tuple[str, str, str], Row] = {}
        self._finished: set[tuple[str, str]] = set()
        self._runs: set[str] = set()
        self._run = uuid.uuid4().hex
        self._threads = threading.Lock()
        self._file: BinaryIO | None = None
        self._lock: FileLock | None = None
        if path is None:
            return
        # Through JSON, so that it compares equal with what is read back.
        head = json.loads(json.dumps(fingerprint, default=str))
        try:
            # One lock for all names of a file.
            self.path = Path(path).resolve()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.path)
            self._open(self.path, head, resume=resume)
        except BaseException as error:
            self.close()
            # A ValueError is a name that no file can have, a RuntimeError links in a circle.
            expected = OSError | ValueError | RuntimeError
            if isinstance(error, RerankError) or not isinstance(error, expected):
                raise
            reason = getattr(error, "strerror", None) or str(error)
            raise DataFileError(
                f"no journal can be kept there ({reason}); name another place",
                path=ascii(str(path)),
            ) from error

    def _open(self, path: Path, head: Row, *, resume: bool) -> None:
        if not (resume and path.exists() and self._load(path, head)):
            lines.refuse_foreign(path, _BEGIN)
            # Whoever forgets to resume would lose hours of scores.
            if _has_rows(path):
                old = path.with_name(path.name + ".old")
                lines.refuse_foreign(old, _BEGIN)
                path.replace(old)
            path.write_bytes(b"")
        self._file = path.open("ab")
        self._write([{"fingerprint": head, "run": self._run}])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another run have the file."""
        with self._threads:
            self._close_file()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def get(self, system: str, query_id: str, given: str = "") -> Row | None:
        """Return the finished row, or None. A failed one is not finished: it is tried again.

        `given` is what else the row is about, as it was said to `put`.
        """
        return self._rows.get((system, query_id, given))

    def has(self, system: str, query_id: str) -> bool:
        """Return whether there is a finished row, whatever else it is about."""
        return (system, query_id) in self._finished

    def brought(self, system: str, query_id: str) -> tuple[str, ...]:
        """Return the keys of the documents that stand in the file as this row saw them first."""
        return self._brought.get((system, query_id), ())

    def put(
        self,
        system: str,
        query_id: str,
        row: Row,
        documents: Mapping[str, Document],
        given: str = "",
    ) -> None:
        """Keep a row and the documents that it names; a row with an `error` counts as failed."""
        with self._threads:
            new = {key: one for key, one in documents.items() if key not in self.documents}
            self.documents.update(new)
            if not row.get("error"):
                self._rows[system, query_id, given] = row
                self._finished.add((system, query_id))
            line = {"system": system, "query": query_id, "row": row, "run": self._run}
            self._write(
                [
                    *(_document_line(key, one, self._run) for key, one in new.items()),
                    {**line, "given": given} if given else line,
                ]
            )

    def _write(self, rows: Sequence[Row]) -> None:
        if self._file is None:
            return
        try:
            lines.write(self._file, rows)
        except OSError as error:
            # A full disk costs the journal, not the run.
            said = f"The journal {self.path} was kept no longer, and the run went on: {error}."
            logger.warning("%s", said)
            self.warnings.append(said)
            self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # It writes what a full disk did not take.
                self._file.close()
            self._file = None

    def _load(self, path: Path, head: Row) -> bool:
        """Read the file. Return False where not even a head is whole."""
        new: list[str] = []  # documents that no row has named yet

        def take(line: bytes) -> None:
            found = lines.unsealed(line)
            if "fingerprint" in found:
                _check_same_run(found["fingerprint"], head, path)
                self._runs.add(found["run"])
                new.clear()  # of a row that was never whole
            elif found["run"] not in self._runs:
                raise ValueError("it belongs to no run that this file knows")
            elif "document" in found:
                self.documents[found["document"]] = Document(**found["fields"])
                new.append(found["document"])
            else:
                system, query, row = found["system"], found["query"], found["row"]
                if new:
                    self._brought[system, query] = tuple(new)
                if not row.get("error"):
                    self._rows[system, query, found.get("given", "")] = row
                new.clear()

        otherwise = "done again; or start the run anew, without resume"
        whole = lines.load(path, _BEGIN, take, what="a journal", otherwise=otherwise)
        unknown = [name for one in self.unsaid.values() for name in one.scorers]
        if self._rows and unknown:
            raise ConfigurationError(
                f"The journal {path} cannot be resumed: {', '.join(unknown)} has no "
                f"identity, so its results could be taken for another one's. Give it an attribute "
                f"`identity` or `name` that says model and version, say identity=... here, or "
                f"start anew without resume."
            )
        # Without its documents, as where somebody removed a line, a row is not finished.
        self._rows = {
            key: row
            for key, row in self._rows.items()
            if all(one in self.documents for one in row.get("keys", ()))
        }
        self._finished = {(system, query) for system, query, _ in self._rows}
        return whole


def _locked(path: Path) -> FileLock | None:
    lock = FileLock(path.with_name(f".{path.name}.lock"), thread_local=False)
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except Timeout as error:
        raise ConfigurationError(
            f"Another run is writing to the journal {path}. Wait until it has ended, or name "
            f"another file or folder."
        ) from error
    except (OSError, NotImplementedError) as error:
        logger.warning("%s cannot be locked, so keep other runs away from it: %s", path, error)
        return None
    return lock


def _check_same_run(old: Mapping[str, Any], new: Mapping[str, Any], path: Path) -> None:
    """Check that a journal was written by the run that is to go on with it.

    Raises:
        ConfigurationError: They differ; it names the first place.
    """
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
    elif isinstance(old, list) and isinstance(new, list) and old and new:
        parts = [(number, *values) for number, values in enumerate(zip_longest(old, new))]
    else:
        return where, old, new
    for key, was, now in parts:
        if was != now:
            return _first_difference(f"{where}.{key}", was, now)
    return where, old, new  # One says null where the other says nothing.


def _has_rows(path: Path) -> bool:
    """Return whether a journal holds more than its head: else there is nothing to keep."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return bool(file.readline() and file.readline())


def _document_line(key: str, document: Document, run: str) -> Row:
    # JSON has no keys but strings.
    fields = {"page_content": document.page_content, "metadata": plain(document.metadata)}
    return {"document": key, "fields": {**fields, "id": document.id}, "run": run}
