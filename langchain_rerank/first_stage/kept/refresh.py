"""Bring what is kept of files up to date, and give it in the order of the files."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from langchain_core.documents import Document
from numpy.typing import NDArray

from langchain_rerank.errors import InputError
from langchain_rerank.files.loading import ChunkSettings, check_read, checked, read_unless
from langchain_rerank.files.walking import Found, LeftOut, files_below
from langchain_rerank.first_stage.kept.store import KeptFile, NewFile, Store, sha
from langchain_rerank.first_stage.plain import not_json
from langchain_rerank.first_stage.terms import Terms
from langchain_rerank.first_stage.vectors import finite_vectors
from langchain_rerank.plain_text import well_formed
from langchain_rerank.reading.text import is_folder

BLOCK = 256  # texts that are embedded, and then kept, at a time: what a kill loses at most
_FILES, _TEXTS = 64, 1000  # that are read and cut, and then kept, at a time
# A file that changes this shortly after it was read may do so without another time.
_SETTLED_NS = 2_000_000_000

Progress = Callable[[str, int, int], object]
"""Is told what is done, how many of how many."""

T = TypeVar("T")

Embed = Callable[[list[str]], list[list[float]]]
"""Embeds documents."""


def no_progress(what: str, done: int, total: int) -> None:
    """Say nothing."""


@dataclass(frozen=True, eq=False)  # arrays have no plain equality
class Refreshed:
    """What files hold, in order, with what was computed of it.

    Attributes:
        documents: `(n,)` the passages.
        counts: `(n,)` the numbers of each one's terms, with how often they occur; None unless asked
            for.
        terms: The number of each term.
        vectors: `(n, dim)` the embeddings; None unless asked for.
        read: How many files were read anew.
        files: How many files there are.
        embedded: How many texts were embedded anew.
    """

    documents: Sequence[Document]
    counts: Sequence[NDArray[np.int32]] | None
    terms: dict[str, int]
    vectors: NDArray[np.float32] | None
    read: int
    files: int
    embedded: int


def refresh(
    store: Store,
    roots: Sequence[Path],
    settings: ChunkSettings,
    *,
    terms: Terms | None,
    model: str | None,
    embed: Embed | None,
    follow_symlinks: bool,
    progress: Progress = no_progress,
) -> Refreshed:
    """Read the files that changed, embed the texts that are new, and return all of them.

    Without `terms` there are no counts, without `model` (what tells it from others) no vectors.

    Raises:
        DataFileError: As `load_documents`.
        MissingExtraError: As `load_documents`.
        InputError: The model gave no vector for each text.
    """
    documents: list[Document] = []
    read = files = 0
    for root, found, left_out in files_below(roots, follow_symlinks=follow_symlinks):
        for fresh, passages in _of_root(store, root, found, left_out, settings, progress):
            documents.extend(passages)
            read += fresh
            files += 1
        left_out.warn(root, stacklevel=2)
    checked(documents, roots)
    numbers = store.ask(document.page_content for document in documents)
    order = [numbers[sha(document.page_content)] for document in documents]
    counts, vectors, embedded = None, None, 0
    term_numbers: dict[str, int] = {}
    if terms is not None:
        _keep_terms(store, terms, progress)
        pairs, term_numbers = store.counts(terms.key)
        counts = _each(pairs, order)
    if model is not None and embed is not None:
        embedded = keep_vectors(store, model, embed, progress)
        rows, matrix = store.vectors(model)
        vectors = matrix[_each(rows, order)]
    return Refreshed(documents, counts, term_numbers, vectors, read, files, embedded)


def _each(found: Mapping[int, T], order: Sequence[int]) -> list[T]:
    try:
        return [found[n] for n in order]
    except KeyError as error:
        raise sqlite3.OperationalError("another process cleared it") from error


def _of_root(
    store: Store,
    root: Path,
    found: Sequence[Found],
    left_out: LeftOut,
    settings: ChunkSettings,
    progress: Progress,
) -> Iterator[tuple[bool, list[Document]]]:
    """Yield the passages of each file in order, and whether it was read anew."""
    name = str(root.resolve())
    keys = {(str(Path(name, file.path.relative_to(root))), file.source): file for file in found}
    with store.reading():
        kept = store.files(name, settings.key)
        unchanged = [key for key, file in keys.items() if key in kept and _is_same(file, kept[key])]
        chunks = store.chunks([kept[key].n for key in unchanged])
    passages = dict(zip(unchanged, chunks, strict=True))
    stale = {key: file for key, file in keys.items() if key not in passages}
    if not left_out.again:
        # Under another name it may be asked for again: where another root has a file of its name.
        paths = {path for path, _ in keys}
        store.forget_files(one.n for (path, _), one in kept.items() if path not in paths)
    fresh: dict[tuple[str, str], list[Document]] = {}
    waiting: list[NewFile] = []
    for position, (key, file) in enumerate(stale.items(), 1):
        now = time.time_ns()
        documents = read_unless(root, file, settings, left_out)
        if documents is None:
            if key in kept:
                store.forget_files([kept[key].n])
            continue
        fresh[key] = documents
        waiting.append(_new(key, file, now, documents))
        if len(waiting) == _FILES or position == len(stale):
            store.put_files(name, settings.key, waiting)
            waiting = []
            progress("Reading files", position, len(stale))
    store.put_files(name, settings.key, waiting)
    check_read(root, len(fresh) + len(unchanged), left_out)
    for key, file in keys.items():
        if key not in fresh and key not in passages:
            continue
        documents = fresh[key] if key in fresh else _documents(passages[key])
        left_out.look_at(file, documents)
        yield key in fresh, documents


def _documents(chunks: Iterable[tuple[str, str]]) -> list[Document]:
    return [
        Document(text, id=id_, metadata=metadata)
        for text, data in chunks
        for id_, metadata in [json.loads(data)]
    ]


def _is_same(file: Found, kept: KeptFile) -> bool:
    """Return whether a file is, as far as its size and times say, what was read."""
    changed = max(file.stat.st_mtime_ns, file.stat.st_ctime_ns)
    return kept.stamp == _stamp(file.stat) and changed + _SETTLED_NS <= kept.read_ns


def _stamp(facts: os.stat_result) -> str:
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns} {facts.st_ino}"


def _new(key: tuple[str, str], file: Found, now: int, documents: Sequence[Document]) -> NewFile:
    path, source = key
    plain = all(not_json(one.metadata, "metadata") is None for one in documents)
    # A file whose metadata JSON cannot hold (dates of a Parquet file) is read each time, and so is
    # a folder, whose own time says nothing of what is in it.
    stamp = _stamp(file.stat) if plain and not is_folder(file.path) else ""
    chunks = [
        (one.page_content, json.dumps([one.id, one.metadata if plain else {}])) for one in documents
    ]
    return NewFile(path, source, stamp, now, chunks)


def _keep_terms(store: Store, terms: Terms, progress: Progress) -> None:
    missing = store.without_terms(terms.key)
    for start in range(0, len(missing), _TEXTS):
        block = missing[start : start + _TEXTS]
        store.put_counts(terms.key, {n: Counter(terms(text)) for n, text in block})
        progress("Counting terms", start + len(block), len(missing))


def keep_vectors(store: Store, model: str, embed: Embed, progress: Progress) -> int:
    """Embed the texts that are asked for and have no vector yet; return how many.

    Raises:
        InputError: The model gave no vector for each text.
    """
    missing = store.without_vector(model)
    if not missing:
        return 0
    with store.embedding(lambda: progress("Waiting for another process that embeds", 0, 0)):
        done = _embed(store, model, store.without_vector(model), embed, progress)
        # Vectors of another length than before have replaced those of other texts.
        return done + _embed(store, model, store.without_vector(model), embed, progress)


def _embed(
    store: Store, model: str, missing: Sequence[tuple[int, str]], embed: Embed, progress: Progress
) -> int:
    for start in range(0, len(missing), BLOCK):
        block = missing[start : start + BLOCK]
        vectors = _vectors(embed([well_formed(text) for _, text in block]), len(block))
        store.put_vectors(model, [n for n, _ in block], vectors)
        progress("Embedding", start + len(block), len(missing))
    return len(missing)


def _vectors(given: Sequence[Sequence[float]], n: int) -> NDArray[np.float32]:
    lengths = {len(vector) for vector in given}
    if len(given) != n or len(lengths) != 1 or 0 in lengths:
        raise InputError(
            f"The embedding model gave {len(given)} vectors of the lengths {sorted(lengths)} for "
            f"{n} texts; expected one vector each, all of one length."
        )
    return finite_vectors(given)
