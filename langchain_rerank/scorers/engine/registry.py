"""Loaded models, shared by every scorer that loads the same files in the same way.

Nothing here waits in a finalizer, and no finalizer touches what is listed here: a garbage
collection may run one in the middle of anything. It leaves a note, and a thread of this module
reads the notes.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from queue import SimpleQueue
from typing import Any

from langchain_rerank.errors import ModelLoadError, ScorerOutOfMemoryError
from langchain_rerank.scorers.engine.engine import Engine
from langchain_rerank.scorers.engine.keys import Key, key_of
from langchain_rerank.scorers.engine.settings import LoadSettings

logger = logging.getLogger(__name__)

# How long a hub that failed is not asked again.
REMEMBERED_SECONDS = 10.0


@dataclass(eq=False)
class Entry:
    """One shared model: how many use it, and its engine, maybe still loading."""

    key: Key
    users: int = 0
    loading: Future[Engine] | None = None

    @property
    def engine(self) -> Engine | None:
        """The engine, once it is loaded."""
        loading = self.loading
        if loading is None or not loading.done() or loading.exception() is not None:
            return None
        return loading.result()


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory.

    Attributes:
        name: Its name.
        device: Where it computes, such as "cuda:0".
        dtype: In which precision, such as "bfloat16".
        path: How: "packed", "padded", "openvino" or "predict".
        users: How many scorers hold it; a model without any is idle.
        bytes: Of its weights in that precision.
    """

    name: str
    device: str
    dtype: str
    path: str
    users: int
    bytes: int


class _State:
    """What belongs to one process: a forked child starts with a new one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.entries: dict[Key, Entry] = {}
        self.failures: dict[Key, tuple[float, ModelLoadError]] = {}
        self.notes: deque[tuple[Entry, bool]] = deque()  # Who was left, and whether for good.
        self.reading_notes = threading.RLock()
        self.bell: SimpleQueue[None] = SimpleQueue()
        self.reader: threading.Thread | None = None


_state = _State()
# Of parents: threads and memory that a child must not clean up.
_inherited: list[_State] = []


@cache
def _threads() -> ThreadPoolExecutor:
    # Not asyncio's shared pool, nor that of slow scorers: neither may hold up a load.
    return ThreadPoolExecutor(2, thread_name_prefix="langchain-rerank-begin")


# The ids of this process and of those it was forked from, as far as they loaded a model.
_loaded_in: set[int] = set()


def begin(settings: LoadSettings) -> tuple[Entry, Future[Engine]]:
    """Return the entry of a model, with one user more, and its engine to come.

    The first caller starts the load, in a thread of its own; all who ask meanwhile wait for the
    same one, and get its error if it fails.

    Raises:
        ConfigurationError: The device or the precision is not there.
        ModelLoadError: A moment ago the hub failed to give the model.
    """
    key = key_of(settings)
    _read_notes()
    state = _state
    with state.lock:
        _raise_remembered(state, key)
        entry = state.entries.get(key)
        if entry is None:
            entry = state.entries[key] = Entry(key)
            if not isinstance(settings.model, str):
                weakref.finalize(settings.model, _leave_note, state, entry, True).atexit = False
        entry.users += 1
        outdated = [
            old
            for old in state.entries.values()
            if old.key.content != key.content and old.key._replace(content=key.content) == key
        ]
        loading = entry.loading
        if loading is None or (loading.done() and not loading.result().alive):
            loading = entry.loading = Future()
            loading.set_running_or_notify_cancel()  # Whoever gives up waiting stops it for nobody.
            threading.Thread(
                target=_load_into,
                args=(loading, entry, settings),
                name="langchain-rerank-load",
                daemon=True,
            ).start()
        if state.reader is None:
            state.reader = threading.Thread(
                target=_read_notes_for_ever,
                args=(state,),
                name="langchain-rerank-idle",
                daemon=True,
            )
            state.reader.start()
    for old in outdated:
        _unload(state, old)
    return entry, loading


def acquire(settings: LoadSettings) -> tuple[Engine, Entry]:
    """Return the engine for `settings`, loaded by the first caller, and what to release.

    Counts one user.

    Raises:
        ConfigurationError: The device or the precision is not there.
        ModelLoadError: The model cannot be loaded.
        ScorerOutOfMemoryError: It does not fit in memory.
    """
    entry, loading = begin(settings)
    try:
        return loading.result(), entry
    except BaseException:
        release(entry, keep=True)
        raise


async def aacquire(settings: LoadSettings) -> tuple[Engine, Entry]:
    """Return what `acquire` returns, without blocking the event loop."""
    # What comes before the load itself takes no time, except that it may import torch.
    beginning = asyncio.get_running_loop().run_in_executor(_threads(), begin, settings)
    try:
        entry, loading = await asyncio.shield(beginning)
    except asyncio.CancelledError:
        beginning.add_done_callback(_give_up)  # It goes on, and counts a user that is gone.
        raise
    try:
        return await asyncio.wrap_future(loading), entry
    except BaseException:
        release(entry, keep=True)
        raise


def _give_up(beginning: asyncio.Future[tuple[Entry, Future[Engine]]]) -> None:
    if not beginning.cancelled() and beginning.exception() is None:
        release(beginning.result()[0], keep=True)


def release(entry: Entry, *, keep: bool = False) -> None:
    """Count one user less; without users the model is unloaded, or stays loaded with `keep`."""
    state = _state
    with state.lock:
        entry.users = max(0, entry.users - 1)
    if not keep or entry.loading is None:
        _unload(state, entry)


def forgotten_by(scorer: object, entry: Entry) -> weakref.finalize[..., Any]:
    """Return what counts one user less when `scorer` is collected; the model stays loaded."""
    finalizer = weakref.finalize(scorer, _leave_note, _state, entry, False)
    finalizer.atexit = False
    return finalizer


def loaded_models() -> list[LoadedModel]:
    """Return the models that are in memory in this process."""
    _read_notes()
    with _state.lock:
        found = [(entry, entry.engine) for entry in _state.entries.values()]
    return [_described(entry, engine) for entry, engine in found if engine and engine.alive]


def unload_idle() -> list[LoadedModel]:
    """Unload the models that no scorer holds, free their memory, and return which they were.

    A scorer that is closed unloads its model by itself, if it was the last with it; one that is
    merely forgotten leaves it for the next. A model that was unloaded loads again on its next use.
    """
    _read_notes()
    state, unloaded = _state, []
    with state.lock:
        idle = [(entry, entry.engine) for entry in state.entries.values() if not entry.users]
    for entry, engine in idle:
        described = _described(entry, engine) if engine else None
        if _unload(state, entry) and described:
            unloaded.append(described)
    return unloaded


def _described(entry: Entry, engine: Engine) -> LoadedModel:
    return LoadedModel(
        engine.name, engine.device, engine.dtype, engine.path, entry.users, engine.bytes
    )


def _unload(state: _State, entry: Entry, *, used: bool = False) -> bool:
    """Forget an entry without users, or a `used` one too, and close its engine; say whether."""
    with state.lock:
        if state.entries.get(entry.key) is not entry or (entry.users and not used):
            return False
        del state.entries[entry.key]
        loading = entry.loading
    if loading is not None:
        loading.add_done_callback(_close_engine)  # At once, or when it is there.
    return True


def _close_engine(loading: Future[Engine]) -> None:
    if loading.exception() is None:
        loading.result().close()


def _load_into(loading: Future[Engine], entry: Entry, settings: LoadSettings) -> None:
    try:
        engine = _load(settings)
    except BaseException as error:  # noqa: BLE001  # whoever waits gets it
        with _state.lock:
            if entry.loading is loading:
                entry.loading = None  # Else the error would keep a model that was passed in.
            if isinstance(error, ModelLoadError) and _is_of_the_hub(settings, error):
                _state.failures[entry.key] = (time.monotonic() + REMEMBERED_SECONDS, error)
        loading.set_exception(error)
    else:
        loading.set_result(engine)


def _load(settings: LoadSettings) -> Engine:
    _survive_fork()
    try:
        return Engine(settings)
    except ScorerOutOfMemoryError:
        unloaded = unload_idle()
        if not unloaded:
            raise
    names = ", ".join(model.name for model in unloaded)
    logger.warning("Unloaded %s, which nobody used, to make room for %s.", names, settings.name)
    return Engine(settings)


def _is_of_the_hub(settings: LoadSettings, error: ModelLoadError) -> bool:
    """Return whether the hub, or the way to it, failed: asking at once again costs seconds."""
    if not isinstance(settings.model, str) or os.path.isdir(settings.model):  # noqa: PTH112
        return False
    cause = error.__cause__
    package = type(cause).__module__.partition(".")[0]
    return isinstance(cause, OSError) or package in {"httpx", "huggingface_hub", "requests"}


def _raise_remembered(state: _State, key: Key) -> None:
    now = time.monotonic()
    state.failures = {one: kept for one, kept in state.failures.items() if kept[0] > now}
    if key in state.failures:
        _, error = state.failures[key]
        # A new error: one that is raised again and again collects tracebacks.
        raise type(error)(*error.args) from error.__cause__


def _leave_note(state: _State, entry: Entry, for_good: bool) -> None:
    """Note in a finalizer that a scorer, or `for_good` the model itself, was collected."""
    state.notes.append((entry, for_good))
    state.bell.put(None)


def _read_notes_for_ever(state: _State) -> None:
    while True:
        state.bell.get()
        _read_notes(state)


def _read_notes(state: _State | None = None) -> None:
    state = state or _state
    with state.reading_notes:
        while state.notes:
            entry, for_good = state.notes.popleft()
            if for_good:
                _unload(state, entry, used=True)
                continue
            with state.lock:
                entry.users = max(0, entry.users - 1)


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


def _begin_anew() -> None:
    """Start a forked child without its parent's engines and locks, one of which may be held."""
    global _state  # noqa: PLW0603  # of the process
    _inherited.append(_state)
    _state = _State()
    _threads.cache_clear()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_begin_anew)


@atexit.register
def close_all() -> None:
    """Stop every worker while the interpreter still runs: torch must not be cut off mid-call."""
    with _state.lock:
        entries = list(_state.entries.values())
    for entry in entries:
        if entry.loading is None or entry.loading.done():
            _unload(_state, entry, used=True)
