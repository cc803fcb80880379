"""Verdicts that were given before: by judge, metric and content, on disk where a path is given.

JSONL, one flushed line per verdict, each with a checksum. Only what was answered is kept, so that a
failure is tried again; the content is part of the key, so that nothing can be out of date.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from langchain_rerank.errors import DataFileError
from langchain_rerank.evaluation.run import lines

logger = logging.getLogger(__name__)

_MEMBERS = {"key", "metric", "verdict"}
_BEGIN = b'{"key": "'


def verdict_key(*content: Any) -> str:
    """Return what names a verdict: a hash of the judge, the metric and all that was judged.

    Examples:
        >>> verdict_key("judge", "faithfulness", ["a"]) == verdict_key("judge", "recall", ["a"])
        False
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


class Verdicts:
    """Plain data by key; in memory only where `path` is None.

    Args:
        path: A JSONL file; its folder is made where it does not exist. Several runs and several
            judges may share it, also at the same time.

    Raises:
        DataFileError: No file can be there, or it is none that this class wrote, and is left as it
            is. A torn last line, as a killed run leaves it, is cut off.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = Path(path) if path is not None else None
        self._known: dict[str, Any] = {}
        self._lock = threading.Lock()
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _alone_with(self._path):
                if self._path.exists():
                    otherwise = "asked again; or name another file for them"
                    lines.load(
                        self._path,
                        _BEGIN,
                        self._take,
                        what="a file of verdicts",
                        otherwise=otherwise,
                    )
        except OSError as error:
            raise DataFileError(
                f"no verdicts can be kept there ({error.strerror or error}); name another file",
                path=self._path,
            ) from error

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Any:
        """Return the verdict, or None."""
        return self._known.get(key)

    def put(self, key: str, verdict: Any, *, metric: str) -> None:
        """Keep a verdict, plain data and not None; `metric` is for people who read the file."""
        with self._lock:
            self._known[key] = verdict
            if self._path is None:
                return
            try:
                with _alone_with(self._path), self._path.open("ab") as file:
                    lines.write(file, [{"key": key, "metric": metric, "verdict": verdict}])
            except OSError as error:
                # A full disk costs the file, not the run.
                logger.warning("%s is kept no longer, and the run goes on: %s", self._path, error)
                self._path = None

    def copy(self) -> Verdicts:
        """Return a copy in memory: what is put there leaves the file alone."""
        copied = Verdicts()
        copied._known = dict(self._known)
        return copied

    def _take(self, line: bytes) -> None:
        found = _read(line)
        self._known[found["key"]] = found["verdict"]


def _read(line: bytes) -> lines.Row:
    """Return what a line holds; those of 0.1.0 have no checksum."""
    try:
        return lines.unsealed(line)
    except ValueError:
        found: lines.Row = json.loads(line)
        if found.keys() != _MEMBERS:
            raise
        return found


@contextmanager
def _alone_with(path: Path) -> Iterator[None]:
    """Keep other runs away from a file for a moment, where its place allows that."""
    with ExitStack() as stack:
        with suppress(OSError, NotImplementedError):  # a folder that can only be read, say
            stack.enter_context(FileLock(path.with_name(f".{path.name}.lock")))
        yield
