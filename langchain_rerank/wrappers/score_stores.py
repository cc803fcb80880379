"""Where cached scores lie: in memory, least recently used out first, and in an SQLite file."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from langchain_rerank.errors import DataFileError, ScorerClosedError, ScorerUnavailableError
from langchain_rerank.locks import ProcessLock, in_forked_children
from langchain_rerank.scorers import deadline

logger = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE scores (
    key BLOB PRIMARY KEY, score REAL NOT NULL, passage_start INTEGER, passage_end INTEGER,
    checksum INTEGER NOT NULL
) WITHOUT ROWID
"""
_SCHEMA_VERSION = 2
_BUSY_SECONDS = 30.0
# So many times as long as was waited for a lock in vain, the file is left alone: a service must not
# spend its days waiting for a process that stopped with the file locked.
_REST = 10
_KEYS_PER_SELECT = 500  # SQLite builds allow at least 999 variables in a statement

# Connections that a forked child inherited. SQLite forbids it to use or to close them, so they are
# kept from being collected.
_inherited: list[sqlite3.Connection] = []


class Entry(NamedTuple):
    """A cached score, with the offsets of the passage that gave it where there is one."""

    score: float
    passage_start: int | None = None
    passage_end: int | None = None

    def checksum(self, key: bytes) -> int:
        """Return what tells a damaged row: SQLite itself notices no changed bit in a value."""
        # SQLite keeps no sign of a zero.
        score, *passage = self
        return zlib.crc32(key + repr((score + 0.0, *passage)).encode())


class MemoryStore:
    """The `max_entries` entries that were used last. Safe under threads."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._lock = ProcessLock()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Return the entries that are there, by key."""
        found: dict[bytes, Entry] = {}
        with self._lock():
            for key in keys:
                entry = self._entries.get(key)
                if entry is not None:
                    self._entries.move_to_end(key)
                    found[key] = entry
        return found

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Keep `entries`; drop those that were used longest ago beyond the bound."""
        with self._lock():
            for key, entry in entries.items():
                self._entries[key] = entry
                self._entries.move_to_end(key)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)


class SqliteStore:
    """Entries in an SQLite file (write-ahead log), safe under threads, processes and forks.

    Args:
        path: The file; it and its folder are created where missing. Not on a network file system,
            where SQLite's locks do not hold.

    Raises:
        DataFileError: The file is no score cache, or one of another version.
        ScorerUnavailableError: The file cannot be opened, or stayed locked.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self._lock = ProcessLock()
        self._closed = False
        self._rests_until = 0.0
        with self._errors():
            self._connection: sqlite3.Connection | None = self._open()
        _stores.add(self)

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path,
            timeout=_BUSY_SECONDS,
            isolation_level=None,  # transactions are written out below
            check_same_thread=False,  # the lock serialises
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        with _transaction(connection):
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if 0 < version < _SCHEMA_VERSION:
                logger.warning("The score cache %s is of an older version; emptied.", self.path)
                connection.execute("DROP TABLE IF EXISTS scores")
                version = tables = 0
            if version == 0 and tables == 0:
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            elif version != _SCHEMA_VERSION:
                raise DataFileError(
                    f"An SQLite file with schema version {version} and {tables} tables, expected a "
                    f"score cache of version {_SCHEMA_VERSION}. Give another path, or delete the "
                    f"file if it is an old cache.",
                    path=self.path,
                )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise ScorerUnavailableError(
                f"The score cache {self.path} cannot be used: {error}. Check that the folder is "
                f"writable and the disk not full; a lock is waited for {_BUSY_SECONDS:.0f} s."
            ) from error
        except sqlite3.DatabaseError as error:
            raise DataFileError(
                f"Not a readable score cache: {error}. Give another path or delete the file.",
                path=self.path,
            ) from error

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        # Scores that are there already must not be lost to a lock: half of the call's time is left.
        left = deadline.remaining()
        seconds = _BUSY_SECONDS if left is None else min(_BUSY_SECONDS, left / 2)
        with self._turn(seconds), self._errors():
            if self._connection is None:  # the first use in a forked child
                self._connection = self._open()
            self._connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
            try:
                yield self._connection
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                    self._rests_until = time.monotonic() + _REST * seconds
                raise

    @contextlib.contextmanager
    def _turn(self, seconds: float) -> Iterator[None]:
        lock = self._lock()
        got = lock.acquire(timeout=seconds)
        try:
            if self._closed:
                raise ScorerClosedError(f"The score cache {self.path} was closed.")
            if not got or time.monotonic() < self._rests_until:
                raise ScorerUnavailableError(
                    f"The score cache {self.path} is locked by another process, and left alone for "
                    f"a while."
                )
            yield
        finally:
            if got:
                lock.release()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """Return the entries that are there, by key."""
        found: dict[bytes, Entry] = {}
        with self._connected() as connection:
            for start in range(0, len(keys), _KEYS_PER_SELECT):
                chunk = keys[start : start + _KEYS_PER_SELECT]
                marks = ",".join("?" * len(chunk))
                rows = connection.execute(
                    "SELECT key, checksum, score, passage_start, passage_end FROM scores "  # noqa: S608
                    f"WHERE key IN ({marks})",  # only question marks are put in
                    chunk,
                ).fetchall()
                entries = [(key, checksum, Entry(*entry)) for key, checksum, *entry in rows]
                sound = {key: entry for key, sum_, entry in entries if sum_ == entry.checksum(key)}
                damaged = [(key,) for key, *_ in entries if key not in sound]
                if damaged:
                    connection.executemany("DELETE FROM scores WHERE key = ?", damaged)
                found.update(sound)
        return found

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Keep `entries`; one that is there already stays."""
        with self._connected() as connection, _transaction(connection):
            connection.executemany(
                "INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?)",
                [(key, *entry, entry.checksum(key)) for key, entry in entries.items()],
            )

    def close(self) -> None:
        """Close the file; later calls raise `ScorerClosedError`. Closing twice is fine."""
        with self._lock():
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._closed = True

    def leave_to_parent(self) -> None:
        """In a child that was just forked: keep off the connection of the parent."""
        if self._connection is not None:
            _inherited.append(self._connection)
            self._connection = None


_stores: weakref.WeakSet[SqliteStore] = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for store in _stores:
        store.leave_to_parent()


in_forked_children(_leave_all_to_parent)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    import tenacity

    # Of two connections that change the mode at once, SQLite refuses one without waiting.
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_message(match="database is locked"),
        wait=tenacity.wait_random(0.001, 0.05),
        stop=tenacity.stop_after_delay(_BUSY_SECONDS),
        reraise=True,
    )
    retrying(connection.execute, "PRAGMA journal_mode = WAL")


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # of some errors, a full disk say, SQLite rolls back itself
            connection.execute("ROLLBACK")
        raise
