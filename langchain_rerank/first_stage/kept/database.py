"""The kept file as a database: opened, written in one piece, and left for memory where it must be.

Several processes may read and write at once; what is killed loses what it had not yet committed.
A file that cannot be written costs a warning and time: the rest of the run keeps in memory.
"""

from __future__ import annotations

import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from langchain_rerank.errors import ConfigurationError, RerankWarning, see

SCHEMA = 3

T = TypeVar("T")

# No number of a text or file is given twice: a process that still knows the first would take the
# second for it.
_TABLES = """
CREATE TABLE text (n INTEGER PRIMARY KEY AUTOINCREMENT, sha BLOB NOT NULL UNIQUE,
    body BLOB NOT NULL, used INTEGER NOT NULL);
CREATE INDEX text_used ON text (used);
CREATE TABLE model (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, dim INTEGER NOT NULL);
CREATE TABLE vector (model INTEGER NOT NULL, text INTEGER NOT NULL, crc INTEGER NOT NULL,
    numbers BLOB NOT NULL, PRIMARY KEY (model, text)) WITHOUT ROWID;
CREATE TABLE term (n INTEGER PRIMARY KEY, term BLOB NOT NULL UNIQUE, crc INTEGER NOT NULL);
CREATE TABLE cut (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE);
CREATE TABLE counts (cut INTEGER NOT NULL, text INTEGER NOT NULL, crc INTEGER NOT NULL,
    numbers BLOB NOT NULL, PRIMARY KEY (cut, text)) WITHOUT ROWID;
CREATE TABLE file (n INTEGER PRIMARY KEY AUTOINCREMENT, root BLOB NOT NULL, path BLOB NOT NULL,
    source BLOB NOT NULL, settings TEXT NOT NULL, stamp TEXT NOT NULL, read_ns INTEGER NOT NULL,
    UNIQUE (root, settings, path, source));
CREATE TABLE chunk (file INTEGER NOT NULL, number INTEGER NOT NULL, text INTEGER NOT NULL,
    crc INTEGER NOT NULL, data TEXT NOT NULL, PRIMARY KEY (file, number)) WITHOUT ROWID;
CREATE INDEX chunk_text ON chunk (text);
"""


class DamagedStoreError(sqlite3.DatabaseError):
    """What the store gave is not what was put in."""


class Database:
    """The file, open.

    Args:
        path: Where it is; None keeps in memory, for this run only.

    Raises:
        sqlite3.Error: The file cannot be opened, or is no such store.
        ConfigurationError: It is the database of another program.
        OSError: Its folder cannot be made.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock: FileLock | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Notes are private, so what is kept of them is.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            self._lock = FileLock(f"{path}.lock")
        self.db = _connected(path)
        try:
            self._make_tables()
        except BaseException:
            self.db.close()
            raise

    def _make_tables(self) -> None:
        tables = {name for (name,) in self.db.execute("SELECT name FROM sqlite_master")}
        if tables and tables.isdisjoint({"text", "vector", "counts", "chunk"}):
            raise ConfigurationError(
                f"{self.path} is the database of another program; name a file of its own for the "
                f"index."
            )
        if not self._version():
            with self.writing():
                if not self._version():  # else another process was first
                    for statement in filter(str.strip, _TABLES.split(";\n")):
                        self.db.execute(statement)
                    self.db.execute(f"PRAGMA user_version = {SCHEMA}")
        if self._version() != SCHEMA:
            raise DamagedStoreError(f"its version is {self._version()}, and {SCHEMA} is read here")
        self.db.execute("CREATE TEMP TABLE asked (text INTEGER PRIMARY KEY)")

    def _version(self) -> int:
        (version,) = self.db.execute("PRAGMA user_version").fetchone()
        return int(version)

    def close(self) -> None:
        """Close the file; nothing can be read any more."""
        self.db.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Commit what is written inside as a whole, or nothing of it."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")
            raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let nothing that is read inside change meanwhile; other processes wait to write."""
        self.db.execute("BEGIN")
        try:
            yield
        finally:
            with suppress(sqlite3.OperationalError):  # an error may have ended it
                self.db.execute("COMMIT")

    @contextmanager
    def embedding(self, waiting: Callable[[], object]) -> Iterator[None]:
        """Hold the lock under which one process at a time embeds; `waiting` is called to say so."""
        lock = self._lock
        held = lock is not None and _acquired(lock, waiting)
        try:
            yield
        finally:
            if lock is not None and held:
                lock.release()

    def write(self, put: Callable[[], T]) -> T:
        """Return what `put` gives, in one transaction; in memory where the file takes no more."""
        try:
            with self.writing():
                return put()
        except sqlite3.DatabaseError as error:
            # Full, read-only, or locked for a minute: all of which leaves what is there readable.
            if self.path is None or not isinstance(error, sqlite3.OperationalError):
                raise
            self._go_on_in_memory(error)
            with self.writing():
                return put()

    def _go_on_in_memory(self, error: Exception) -> None:
        asked = self.db.execute("SELECT text FROM asked").fetchall()
        memory = _connected(None)
        try:
            self.db.backup(memory)
        except sqlite3.Error:
            memory.close()
            raise
        self.db.close()
        warn_of(f"{self.path} cannot be written ({error})")
        self.db, self.path, self._lock = memory, None, None
        self.db.execute("CREATE TEMP TABLE asked (text INTEGER PRIMARY KEY)")
        self.db.executemany("INSERT INTO asked VALUES (?)", asked)


def set_aside_as(path: Path) -> Path:
    """Return where a damaged store at `path` is put."""
    return path.with_name(f"{path.name}.damaged")


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error says that the file is not, or no longer, such a store.

    Others (locked, full, read-only, a disk that fails) say nothing of what is in it.
    """
    missing = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR  # a table, a column
    return missing or not isinstance(error, sqlite3.OperationalError)


def _acquired(lock: FileLock, waiting: Callable[[], object]) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    except OSError:  # a folder without permission, a file system without locks
        return False
    return True


def warn_of(what: str) -> None:
    """Warn that what only speeds up does not."""
    warnings.warn(
        f"The kept index is of no use now: {what}. The search is the same, only slower. "
        f"{see('the-kept-index')}",
        RerankWarning,
        stacklevel=3,
    )


def _connected(path: Path | None) -> sqlite3.Connection:
    # One thread at a time uses it, not always the same. A rollback journal, the default: with a
    # write-ahead log, opens by two processes at once fail with "database is locked".
    db = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=60,
        isolation_level=None,
        check_same_thread=False,
    )
    db.execute("PRAGMA temp_store = MEMORY")
    return db
