"""Loaded models, shared by every scorer with the same load settings."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from dataclasses import dataclass, field
from typing import NamedTuple

from langchain_rerank.embedded import MODEL_FOLDER
from langchain_rerank.scorers.engine.engine import Engine
from langchain_rerank.scorers.engine.loading import fingerprint
from langchain_rerank.scorers.engine.settings import EMBEDDED, LoadSettings

logger = logging.getLogger(__name__)


class Key(NamedTuple):
    """What is shared: a model loaded with `settings` from the files that `content` stands for."""

    settings: LoadSettings
    content: str | None


def content_of(settings: LoadSettings) -> str | None:
    """Return what tells the model from others of its name; None for one that was passed in.

    A folder in which a model was trained anew holds another one.
    """
    if not isinstance(settings.model, str):
        return None
    return fingerprint(str(MODEL_FOLDER) if settings.model == EMBEDDED else settings.model)


@dataclass
class _Entry:
    """One shared model: its users and, once somebody scored, its engine."""

    users: int = 0
    engine: Engine | None = None
    loading: threading.Lock = field(default_factory=threading.Lock)


_entries: dict[Key, _Entry] = {}
# Reentrant: a garbage collection inside a locked section may run the finalizer of another scorer.
_lock = threading.RLock()
# The ids of this process and of those it was forked from, as far as they loaded a model.
_loaded_in: set[int] = set()


def acquire(settings: LoadSettings) -> tuple[Engine, Key]:
    """Return the engine for `settings`, loaded by the first caller, and what to release.

    Counts one user.

    Raises:
        ConfigurationError: The device or the precision is not there.
        ModelLoadError: The model cannot be loaded.
        ScorerOutOfMemoryError: It does not fit in memory.
    """
    key = Key(settings, content_of(settings))
    with _lock:
        entry = _entries.setdefault(key, _Entry())
        entry.users += 1
        outdated = [old for old in _entries if old.settings == settings and old != key]
    for old in outdated:
        _unload_unused(old)
    try:
        with entry.loading:  # Other models stay usable while this one loads.
            if entry.engine is None or not entry.engine.alive:
                _survive_fork()
                entry.engine = Engine(settings)
            return entry.engine, key
    except BaseException:
        release(key)
        raise


def release(key: Key, *, keep: bool = False) -> None:
    """Count one user less; without users the model is unloaded, or stays loaded with `keep`."""
    with _lock:
        entry = _entries.get(key)
        if entry is None:
            return
        entry.users = max(0, entry.users - 1)
    if not keep:
        _unload_unused(key)


def _unload_unused(key: Key) -> None:
    with _lock:
        entry = _entries.get(key)
        if entry is None or entry.users:
            return
        del _entries[key]
    if entry.engine is not None:
        entry.engine.close()


def _survive_fork() -> None:
    """Compute on one thread in a child of a process that has a model.

    A fork does not copy OpenMP's threads, and the child would wait for them for ever.
    """
    import torch

    if _loaded_in and os.getpid() not in _loaded_in and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
        logger.warning(
            "This process was forked from one that had loaded a model, so it computes on one "
            "thread. Load models after the fork, or start processes by 'spawn'."
        )
    _loaded_in.add(os.getpid())


@atexit.register
def _close_all() -> None:
    """Stop every worker while the interpreter still runs: torch must not be cut off mid-call."""
    with _lock:
        entries = list(_entries.values())
        _entries.clear()
    for entry in entries:
        if entry.engine is not None:
            entry.engine.close()
