"""Where a run took place: versions, hardware, time, precision."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from typing import Any

from langchain_rerank.optional import version_of
from langchain_rerank.scorers.contract import scorer_name
from langchain_rerank.wrappers.wrapper import identity_of, is_pointwise

_PACKAGES = (
    "langchain-rerank",
    "langchain-core",
    "sentence-transformers",
    "transformers",
    "torch",
    "numpy",
)


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment(started: str) -> dict[str, Any]:
    """Return versions, hardware, and when the run started (`now()` at its start) and ended."""
    return {
        "started": started,
        "ended": now(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cpu_count": os.cpu_count(),
        "gpu": _gpu(),
        "packages": {name: version_of(name) for name in _PACKAGES},
    }


def scorer_settings(scorer: object) -> dict[str, Any]:
    """Return what identifies a scorer in a report: name, identity, and how it computes."""
    identity = identity_of(scorer)
    found = {"name": scorer_name(scorer), "pointwise": is_pointwise(scorer)}
    if identity is not None:
        found["identity"] = str(identity)
    for name in ("device", "dtype", "path", "max_length"):
        value = getattr(scorer, name, None)
        if isinstance(value, (str, int)):
            found[name] = value
    return found


def _gpu() -> str | None:
    # Whoever computed with torch has imported it: a report never loads it.
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())
