"""Texts, their embeddings and terms, and which of the user's files has them.

A text is kept once, under the hash of its content, with a vector per model and terms per language.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from langchain_rerank.first_stage.kept.database import DamagedStoreError, Database
from langchain_rerank.user_cache import cache_folder

DAY = 86_400
KEPT_DAYS = 180  # what nothing has used for longer is removed by itself


class KeptFile(NamedTuple):
    """A file as the store knows it.

    Attributes:
        n: Its number in the store.
        stamp: Size and times when it was read.
        read_ns: When that was.
    """

    n: int
    stamp: str
    read_ns: int


class NewFile(NamedTuple):
    """A file to keep: `chunks` has each passage's text, and what else it has, as JSON."""

    path: str
    source: str
    stamp: str
    read_ns: int
    chunks: Sequence[tuple[str, str]]


def default_store() -> Path:
    """Return where the index is kept: in the user's cache folder."""
    return cache_folder("index") / "index.sqlite3"


def sha(text: str) -> bytes:
    """Return what a text is known by."""
    return hashlib.sha256(_bytes(text)).digest()


def _bytes(text: str) -> bytes:
    # Texts and names of files may hold lone surrogates, which SQLite's own strings cannot.
    return text.encode("utf-8", "surrogatepass")


def string(data: bytes) -> str:
    """Return what was kept as bytes, since it may hold lone surrogates."""
    return data.decode("utf-8", "surrogatepass")


class Store(Database):
    """The kept index: what is in the database, and how it gets there."""

    # Files of the user.

    def files(self, root: str, settings: str) -> dict[tuple[str, str], KeptFile]:
        """Return the files that are kept of a root, by path and source."""
        rows = self.db.execute(
            "SELECT path, source, n, stamp, read_ns FROM file WHERE root = ? AND settings = ?",
            (_bytes(root), settings),
        )
        return {(string(path), string(source)): KeptFile(*rest) for path, source, *rest in rows}

    def put_files(self, root: str, settings: str, files: Sequence[NewFile]) -> None:
        """Keep what was read of files, in place of what was kept of them."""

        def put() -> None:
            for file in files:
                texts = self._put_texts([text for text, _ in file.chunks])
                self._forget(
                    "SELECT n FROM file "
                    "WHERE root = ? AND settings = ? AND path = ? AND source = ?",
                    (_bytes(root), settings, _bytes(file.path), _bytes(file.source)),
                )
                n = self.db.execute(
                    "INSERT INTO file VALUES (NULL, ?, ?, ?, ?, ?, ?)",
                    (
                        *map(_bytes, (root, file.path, file.source)),
                        *(settings, file.stamp, file.read_ns),
                    ),
                ).lastrowid
                self.db.executemany(
                    "INSERT INTO chunk VALUES (?, ?, ?, ?, ?)",
                    [
                        (n, number, text, _crc_of(number, text, data), data)
                        for number, (text, (_, data)) in enumerate(
                            zip(texts, file.chunks, strict=True)
                        )
                    ],
                )

        self.write(put)

    def forget_files(self, numbers: Iterable[int]) -> None:
        """Forget files; their texts stay until nothing has used them for long."""
        gone = list(numbers)

        def forget() -> None:
            for n in gone:
                self._forget("SELECT ?", (n,))

        if gone:
            self.write(forget)

    def _forget(self, select: str, values: tuple[Any, ...]) -> None:
        self.db.execute(f"DELETE FROM chunk WHERE file IN ({select})", values)  # noqa: S608 - own SQL
        self.db.execute(f"DELETE FROM file WHERE n IN ({select})", values)  # noqa: S608 - own SQL

    def chunks(self, files: Sequence[int]) -> list[list[tuple[str, str]]]:
        """Return the passages of each file, in order, as they were put in.

        Raises:
            DamagedStoreError: A passage is not the one that was kept.
        """
        found = []
        for n in files:
            rows = self.db.execute(
                "SELECT number, chunk.text, crc, data, sha, body "
                "FROM chunk JOIN text ON text.n = chunk.text WHERE file = ? ORDER BY number",
                (n,),
            ).fetchall()
            (expected,) = self.db.execute(
                "SELECT count(*) FROM chunk WHERE file = ?", (n,)
            ).fetchone()
            if len(rows) != expected:
                raise DamagedStoreError("a text is missing")
            if any(_crc_of(at, text, data) != crc for at, text, crc, data, _, _ in rows):
                raise DamagedStoreError("a passage is not the one that was kept")
            found.append([(_text(digest, body), data) for *_, data, digest, body in rows])
        return found

    # Texts, and what is computed of them.

    def ask(self, texts: Iterable[str]) -> dict[bytes, int]:
        """Return the number of each text by its hash, and speak of these texts from now on."""
        by_sha = {sha(text): text for text in texts}
        found = self._numbers("text", "sha", by_sha)
        missing = [text for digest, text in by_sha.items() if digest not in found]
        if missing:
            self.write(lambda: self._put_texts(missing))
            found = self._numbers("text", "sha", by_sha)
        today = int(time.time()) // DAY
        self.db.execute("DELETE FROM asked")
        self.db.executemany("INSERT INTO asked VALUES (?)", [(n,) for n in found.values()])
        (stale,) = self.db.execute(
            "SELECT count(*) FROM asked JOIN text ON n = text WHERE used < ?", (today,)
        ).fetchone()
        if stale:
            with suppress(sqlite3.OperationalError), self.writing():  # a date that is not vital
                self.db.execute(
                    "UPDATE text SET used = ? WHERE n IN (SELECT text FROM asked) AND used < ?",
                    (today, today),
                )
                remove_unused(self, today - KEPT_DAYS)
        return found

    def _numbers(self, table: str, column: str, keys: Iterable[bytes]) -> dict[bytes, int]:
        """Return the numbers of rows by what a column of them is."""
        found: dict[bytes, int] = {}
        wanted = sorted(set(keys))
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            marks = ", ".join("?" * len(part))
            select = f"SELECT {column}, n FROM {table} WHERE {column} IN ({marks})"  # noqa: S608 - own SQL
            found.update(self.db.execute(select, part))
        return found

    def _put_texts(self, texts: Sequence[str]) -> list[int]:
        today = int(time.time()) // DAY
        self.db.executemany(
            "INSERT OR IGNORE INTO text VALUES (NULL, ?, ?, ?)",
            [(sha(text), _bytes(text), today) for text in texts],
        )
        numbers = self._numbers("text", "sha", map(sha, texts))
        return [numbers[sha(text)] for text in texts]

    def without_vector(self, model: str) -> list[tuple[int, str]]:
        """Return number and text of those asked for that the model has not embedded."""
        return self._without(
            "SELECT v.text FROM vector v JOIN model m ON m.n = v.model "
            "WHERE m.key = ? AND length(v.numbers) = 4 * m.dim",
            model,
        )

    def without_terms(self, cut: str) -> list[tuple[int, str]]:
        """Return number and text of those asked for that were not yet cut into terms so."""
        return self._without(
            "SELECT c.text FROM counts c JOIN cut ON cut.n = c.cut WHERE cut.key = ?", cut
        )

    def _without(self, select: str, key: str) -> list[tuple[int, str]]:
        rows = self.db.execute(
            f"SELECT n, sha, body FROM asked JOIN text ON n = asked.text "  # noqa: S608 - own SQL
            f"WHERE n NOT IN ({select}) ORDER BY n",
            (key,),
        )
        return [(n, _text(digest, body)) for n, digest, body in rows]

    def put_vectors(self, model: str, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Keep the vectors of texts, `(n, dim)`; of another length than before, those before go."""

        def put() -> None:
            dim = vectors.shape[1]
            self.db.execute("INSERT OR IGNORE INTO model VALUES (NULL, ?, ?)", (model, dim))
            n, before = self.db.execute(
                "SELECT n, dim FROM model WHERE key = ?", (model,)
            ).fetchone()
            if before != dim:
                self.db.execute("DELETE FROM vector WHERE model = ?", (n,))
                self.db.execute("UPDATE model SET dim = ? WHERE n = ?", (dim, n))
            blobs = [vector.astype("<f4").tobytes() for vector in vectors]
            self.db.executemany(
                "INSERT OR REPLACE INTO vector VALUES (?, ?, ?, ?)",
                [(n, t, zlib.crc32(blob, t), blob) for t, blob in zip(numbers, blobs, strict=True)],
            )

        self.write(put)

    def vectors(self, model: str) -> tuple[dict[int, int], NDArray[np.float32]]:
        """Return the row of each text asked for, and their vectors, `(n, dim)`.

        Raises:
            DamagedStoreError: A vector is not the one that was kept.
        """
        found = self.db.execute(
            "SELECT v.text, v.crc, v.numbers, m.dim FROM model m JOIN vector v ON v.model = m.n "
            "JOIN asked ON asked.text = v.text WHERE m.key = ?",
            (model,),
        ).fetchall()
        blobs = [_intact(text, crc, blob) for text, crc, blob, _ in found]
        rows = {row[0]: position for position, row in enumerate(found)}
        dim = found[0][3] if found else 0
        matrix = np.frombuffer(b"".join(blobs), dtype="<f4")
        if matrix.size != len(found) * dim:
            raise DamagedStoreError("vectors are not as long as their model says")
        return rows, matrix.reshape(len(found), dim)

    def put_counts(self, cut: str, counts: Mapping[int, Mapping[str, int]]) -> None:
        """Keep how often which term stands in texts, by the number of the text."""

        def put() -> None:
            self.db.execute("INSERT OR IGNORE INTO cut VALUES (NULL, ?)", (cut,))
            (n,) = self.db.execute("SELECT n FROM cut WHERE key = ?", (cut,)).fetchone()
            terms = sorted({_bytes(term) for one in counts.values() for term in one})
            self.db.executemany(
                "INSERT OR IGNORE INTO term VALUES (NULL, ?, ?)",
                [(term, zlib.crc32(term)) for term in terms],
            )
            ids = self._numbers("term", "term", terms)
            rows = []
            for text, one in counts.items():
                pairs = [[ids[_bytes(term)], count] for term, count in one.items()]
                blob = np.array(pairs, dtype="<i4").tobytes()
                rows.append((n, text, zlib.crc32(blob, text), blob))
            self.db.executemany("INSERT OR REPLACE INTO counts VALUES (?, ?, ?, ?)", rows)

        self.write(put)

    def counts(self, cut: str) -> tuple[dict[int, NDArray[np.int32]], dict[str, int]]:
        """Return the (term, count) pairs of each text asked for, `(terms, 2)`, and all terms' ids.

        Raises:
            DamagedStoreError: They are not those that were kept.
        """
        found = self.db.execute(
            "SELECT c.text, c.crc, c.numbers FROM cut JOIN counts c ON c.cut = cut.n "
            "JOIN asked ON asked.text = c.text WHERE cut.key = ?",
            (cut,),
        ).fetchall()
        pairs = {
            text: np.frombuffer(_intact(text, crc, blob), dtype="<i4").reshape(-1, 2)
            for text, crc, blob in found
        }
        terms = self.db.execute("SELECT term, n, crc FROM term")
        return pairs, {string(_intact(0, crc, term)): n for term, n, crc in terms}


def remove_unused(store: Store, before: int, *, most: int = -1) -> None:
    """Remove texts last used before a day, and whatever hangs on them alone."""
    old = store.db.execute(
        "SELECT n FROM text WHERE used < ? ORDER BY used LIMIT ?", (before, most)
    ).fetchall()
    if not old:
        return
    for statement in (
        "DELETE FROM file WHERE n IN (SELECT file FROM chunk WHERE text = ?)",
        "DELETE FROM chunk WHERE text = ?",
        "DELETE FROM text WHERE n = ?",
    ):
        store.db.executemany(statement, old)
    for table in ("vector", "counts"):
        store.db.execute(f"DELETE FROM {table} WHERE text NOT IN (SELECT n FROM text)")  # noqa: S608 - own SQL
    store.db.execute("DELETE FROM chunk WHERE file NOT IN (SELECT n FROM file)")
    store.db.execute("DELETE FROM model WHERE n NOT IN (SELECT model FROM vector)")


def _text(digest: bytes, body: bytes) -> str:
    if hashlib.sha256(body).digest() != digest:
        raise DamagedStoreError("a text is not the one that was kept")
    return string(body)


def _crc_of(number: int, text: int, data: str) -> int:
    return zlib.crc32(f"{number} {text} {data}".encode("utf-8", "replace"))


def _intact(text: int, crc: int, blob: bytes) -> bytes:
    """Return what was kept under the number of a text."""
    if zlib.crc32(blob, text) != crc:
        raise DamagedStoreError("numbers are not those that were kept")
    return blob
