"""The store opened, whatever state its file is in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from langchain_rerank.first_stage.kept.database import is_damage, set_aside_as, warn_of
from langchain_rerank.first_stage.kept.store import Store

T = TypeVar("T")


@contextmanager
def opened(path: Path | None) -> Iterator[Store]:
    """Give the store at `path`, in memory with a warning where there can be none.

    A file that is no store, or is damaged, is set aside and a new one begun.
    """
    store = _opened(path)
    try:
        yield store
    finally:
        store.close()


def with_store(path: Path | None, use: Callable[[Store], T]) -> T:
    """Return what `use` makes of the store; where that shows damage, of a new one."""
    try:
        with opened(path) as store:
            return use(store)
    except sqlite3.DatabaseError as error:
        if path is None:
            raise
        if is_damage(error):
            _set_aside(path, error)
        else:
            # Locked for a minute, or a disk that fails: no reason to put what is kept away.
            warn_of(f"{path} cannot be used ({error})")
            path = None
    with opened(path) as store:
        return use(store)


def _opened(path: Path | None) -> Store:
    if path is None:
        return Store(None)
    try:
        return Store(path)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return _begun_anew(path, error)
        warn_of(f"{path} cannot be used ({error})")
    except OSError as error:
        warn_of(f"{path} cannot be used ({error.strerror})")
    return Store(None)


def _begun_anew(path: Path, error: Exception) -> Store:
    _set_aside(path, error)
    try:
        return Store(path)
    except (sqlite3.Error, OSError):
        return Store(None)


def _set_aside(path: Path, error: Exception) -> None:
    aside = set_aside_as(path)
    warn_of(f"{path} is damaged or of another version ({error}): it is set aside as {aside.name}")
    with suppress(OSError):
        path.replace(aside)
        path.with_name(f"{path.name}-journal").unlink(missing_ok=True)
