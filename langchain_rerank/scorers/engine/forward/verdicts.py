"""What long probes found, kept between runs: a second start need not compute them again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_rerank.user_cache import cache_folder

# This process's own are not read back: what it imported may have been changed since.
_written: set[str] = set()


class Verdicts:
    """Whether each path agreed with `predict` on the long probes.

    Args:
        about: What else decides it, as JSON data: the model's files, versions, device, precision.
            None keeps nothing.
    """

    def __init__(self, about: Mapping[str, Any] | None) -> None:
        self._about = about

    def get(self, path: str) -> bool | None:
        """Return what was found for `path` by an earlier process; None if nothing can be read."""
        file = self._file(path)
        if file is None or file.name in _written:
            return None
        try:
            kept = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        agrees = kept.get("agrees") if isinstance(kept, dict) else None
        return agrees if isinstance(agrees, bool) else None

    def put(self, path: str, *, agrees: bool) -> None:
        """Keep what was found, where the folder can be written."""
        file = self._file(path)
        if file is None:
            return
        _written.add(file.name)
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=file.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump({"agrees": agrees, "path": path, **(self._about or {})}, stream)
            Path(temporary).replace(file)

    def _file(self, path: str) -> Path | None:
        if self._about is None:
            return None
        about = json.dumps({**self._about, "path": path}, sort_keys=True, default=str)
        name = hashlib.blake2b(about.encode(), digest_size=20).hexdigest()
        return cache_folder("verdicts") / f"{name}.json"
