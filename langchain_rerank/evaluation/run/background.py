"""Run a coroutine from synchronous code, also while an event loop is running (a notebook)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextvars import Context
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

_END = object()
_STOP_SECONDS = 5.0  # what a stopped run may take to let go of its files


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what `coroutine` returns, run to its end on a loop of its own in the background.

    One loop serves all calls: clients keep connections that belong to the loop they were opened
    on, and a second call on another loop would fail on them.
    """
    loop, thread = _background()
    if threading.current_thread() is thread:
        loop, _ = _started()  # a call out of a coroutine on that loop would wait for itself
    ended = threading.Event()

    async def whole() -> T:
        try:
            return await coroutine
        finally:
            ended.set()

    future = asyncio.run_coroutine_threadsafe(whole(), loop)
    try:
        return future.result()
    except BaseException:
        # Ctrl-C reaches the waiting thread only.
        if future.cancel():
            ended.wait(_STOP_SECONDS)
        raise


def blocking(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Return a function that waits for what an asynchronous one returns (see `run`)."""

    @wraps(function)
    def call(*arguments: P.args, **settings: P.kwargs) -> T:
        return run(function(*arguments, **settings))

    call.__name__ = call.__qualname__ = function.__name__.removeprefix("a")
    return call


def iterate(items: AsyncIterator[T]) -> Iterator[T]:
    """Yield what an asynchronous generator yields; between two items it works on."""

    async def step() -> Any:
        return await anext(items, _END)

    try:
        while (item := run(step())) is not _END:
            yield cast("T", item)
    finally:
        run(cast("Any", items).aclose())


@cache
def _background() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    return _started()


def _started() -> tuple[asyncio.AbstractEventLoop, threading.Thread]:
    loop = Context().run(asyncio.new_event_loop)  # It would keep this call's context for ever.
    name = "langchain-rerank-evaluation"
    thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
    thread.start()
    return loop, thread
