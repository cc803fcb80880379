"""The store opened, whatever state its file is in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from langchain_rerank.first_stage.kept.database import is_damage, set_aside_as, warn_of
from langchain_rerank.first_stage.kept.store import Store

T = TypeVar("T")


def opened(path: Path | None) -> closing[Store]:
    """Give the store at `path`, in memory with a warning where there can be none.

    A file that is no store, or is damaged, is set aside and a new one begun.
    """
    try:
        return closing(Store(path))
    except (sqlite3.DatabaseError, OSError) as error:
        if path is None:
            raise
        path = _without(path, error)
    try:
        return closing(Store(path))
    except (sqlite3.Error, OSError):
        return closing(Store(None))


def with_store(path: Path | None, use: Callable[[Store], T]) -> T:
    """Return what `use` makes of the store; where that shows damage, of a new one."""
    try:
        with opened(path) as store:
            return use(store)
    except sqlite3.DatabaseError as error:
        if path is None:
            raise
        path = _without(path, error)
    with opened(path) as store:
        return use(store)


def _without(path: Path, error: sqlite3.DatabaseError | OSError) -> Path | None:
    """Return where to go on after an error of a store, which a warning tells.

    A damaged one is set aside for a new one. Locked for a minute, or a disk that fails: no reason
    to put what is kept away, and this run keeps in memory.
    """
    if isinstance(error, OSError) or not is_damage(error):
        said = error.strerror if isinstance(error, OSError) else error
        warn_of(f"{path} cannot be used ({said})")
        return None
    aside = set_aside_as(path)
    warn_of(f"{path} is damaged or of another version ({error}): it is set aside as {aside.name}")
    with suppress(OSError):
        path.replace(aside)
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
    return path
