"""What the user sees of the store, and how it is made smaller."""

from __future__ import annotations

import time

from langchain_rerank.first_stage.kept.store import DAY, Store, remove_unused, string


def roots(store: Store) -> list[tuple[str, int, int, int]]:
    """Return each root with its files, its passages, and the day it was last used."""
    rows = store.db.execute(
        "SELECT root, count(DISTINCT file.n), count(*), max(used) FROM file "
        "JOIN chunk ON chunk.file = file.n JOIN text ON text.n = chunk.text "
        "GROUP BY root ORDER BY root"
    )
    return [(string(root), *rest) for root, *rest in rows]


def models(store: Store) -> list[tuple[str, int]]:
    """Return each model with the number of its vectors."""
    return store.db.execute(
        "SELECT key, count(vector.text) FROM model LEFT JOIN vector ON vector.model = model.n "
        "GROUP BY key ORDER BY key"
    ).fetchall()


def size_of(store: Store) -> int:
    """Return the bytes that what is kept takes."""
    (pages,) = store.db.execute("PRAGMA page_count").fetchone()
    (free,) = store.db.execute("PRAGMA freelist_count").fetchone()
    (page,) = store.db.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * page)


def prune(store: Store, *, days: int | None = None, size: int | None = None) -> int:
    """Remove what was not used for `days`, then what was not for longest until `size` bytes.

    Returns:
        How many texts were removed.
    """
    before = _texts(store)
    if days is not None:
        with store.writing():
            remove_unused(store, int(time.time()) // DAY - days)
    while size is not None and size_of(store) > size and _texts(store):
        # By tenths, the oldest first.
        (day,) = store.db.execute(
            "SELECT used FROM text ORDER BY used LIMIT 1 OFFSET (SELECT count(*) / 10 FROM text)"
        ).fetchone()
        with store.writing():
            remove_unused(store, day + 1, most=max(_texts(store) // 10, 100))
    store.db.execute("VACUUM")
    return before - _texts(store)


def _texts(store: Store) -> int:
    (n,) = store.db.execute("SELECT count(*) FROM text").fetchone()
    return int(n)


def clear(store: Store) -> None:
    """Remove everything; its bytes go before the file shrinks, for which there may be no room."""
    store.db.execute("PRAGMA secure_delete = ON")
    with store.writing():
        for table in ("chunk", "file", "vector", "counts", "text", "model", "cut", "term"):
            store.db.execute(f"DELETE FROM {table}")  # noqa: S608 - own SQL
    store.db.execute("VACUUM")
