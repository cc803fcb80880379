"""Verdicts that were given before: by judge, metric and content, on disk where a path is given.

JSONL, one flushed line per verdict. Only what was answered is kept, so that a failure is tried
again; the content is part of the key, so that nothing can be out of date.
"""

from __future__ import annotations

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

from langchain_rerank.errors import DataFileError
from langchain_rerank.evaluation.run.lines import whole_lines

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
            judges may share it, one after the other.

    Raises:
        DataFileError: The file is none that this class wrote, and is left as it is. A torn last
            line, as a killed run leaves it, is cut off.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._path = Path(path) if path is not None else None
        self._known: dict[str, Any] = {}
        self._lock = threading.Lock()
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            self._load(self._path)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Any:
        """Return the verdict, or None."""
        return self._known.get(key)

    def put(self, key: str, verdict: Any, *, metric: str) -> None:
        """Keep a verdict, plain data and not None; `metric` is for people who read the file."""
        with self._lock:
            self._known[key] = verdict
            if self._path is not None:
                line = {"key": key, "metric": metric, "verdict": verdict}
                with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def copy(self) -> Verdicts:
        """Return a copy in memory: what is put there leaves the file alone."""
        copied = Verdicts()
        copied._known = dict(self._known)
        return copied

    def _load(self, path: Path) -> None:
        for number, line in whole_lines(path, _BEGIN):
            try:
                found = json.loads(line)
                self._known[found["key"]] = found["verdict"]
            except (ValueError, KeyError, TypeError) as error:
                raise DataFileError(
                    "This is no line of a file of verdicts. Name another file for them.",
                    path=path,
                    line=number,
                ) from error
