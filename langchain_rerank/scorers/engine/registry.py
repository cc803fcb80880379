"""Loaded models, shared by every scorer with the same load settings."""

from __future__ import annotations

import atexit
import threading
from dataclasses import dataclass, field

from langchain_rerank.scorers.engine.core import Engine
from langchain_rerank.scorers.engine.loading import LoadSettings


@dataclass
class _Entry:
    """One shared model: its users and, once somebody scored, its engine."""

    users: int = 0
    engine: Engine | None = None
    loading: threading.Lock = field(default_factory=threading.Lock)


_entries: dict[LoadSettings, _Entry] = {}
# Reentrant: a garbage collection inside a locked section may run the finalizer of another scorer.
_lock = threading.RLock()


def acquire(settings: LoadSettings) -> Engine:
    """Return the engine for `settings`, loaded by the first caller; counts one user.

    Raises:
        ConfigurationError: The device or the precision is not there.
        ModelLoadError: The model cannot be loaded.
    """
    with _lock:
        entry = _entries.setdefault(settings, _Entry())
        entry.users += 1
    try:
        with entry.loading:  # Other models stay usable while this one loads.
            if entry.engine is None or not entry.engine.alive:
                entry.engine = Engine(settings)
            return entry.engine
    except BaseException:
        release(settings)
        raise


def release(settings: LoadSettings, *, keep: bool = False) -> None:
    """Count one user less; without users the model is unloaded, or stays loaded with `keep`."""
    with _lock:
        entry = _entries.get(settings)
        if entry is None:
            return
        entry.users = max(0, entry.users - 1)
        if entry.users or keep:
            return
        del _entries[settings]
    if entry.engine is not None:
        entry.engine.close()


@atexit.register
def _close_all() -> None:
    """Stop every worker while the interpreter still runs: torch must not be cut off mid-call."""
    with _lock:
        entries = list(_entries.values())
        _entries.clear()
    for entry in entries:
        if entry.engine is not None:
            entry.engine.close()
