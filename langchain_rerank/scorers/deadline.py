"""A deadline for any scorer: who set it raises in time, and who works below it finds out.

The deadline travels in a context variable, through wrappers and into their threads, so that a
scorer which waits for something (a queue, a server) can stop waiting and drop what has not begun. A
scorer that knows nothing of deadlines runs on; what it returns too late is dropped.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

from langchain_rerank.errors import ScorerTimeoutError, ScorerUnavailableError, see
from langchain_rerank.locks import in_forked_children

T = TypeVar("T")

# Calls that still run with nobody waiting, and how many there may be of a scorer. A service would
# else end out of threads where something hangs for hours.
_left: set[tuple[str, Future[Any]]] = set()
_MOST_LEFT = 1000
in_forked_children(_left.clear)  # their threads are the parent's

_deadline: ContextVar[float | None] = ContextVar("langchain_rerank_deadline", default=None)


def remaining() -> float | None:
    """Return the seconds until the deadline of the call, at least 0, or None where there is none.

    Examples:
        >>> remaining() is None
        True
        >>> within(60.0, "a scorer", lambda: 59.0 < remaining() <= 60.0)
        True
    """
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def check(name: str) -> None:
    """Refuse to ask the scorer `name` for anything new after the deadline.

    Raises:
        ScorerTimeoutError: The deadline has passed.
    """
    if remaining() == 0.0:
        raise _too_late(name)


def within(timeout: float | None, name: str, call: Callable[[], T]) -> T:
    """Return the result of `call()`, which gets at most `timeout` seconds; None is no limit.

    With a limit it runs in a thread of its own, so that even what cannot be interrupted does not
    keep the caller.

    Args:
        timeout: Seconds; a deadline that is set already holds as well.
        name: The scorer that is asked, for the message.
        call: What to do.

    Raises:
        ScorerTimeoutError: Time is up. What still runs is left to end by itself.
    """
    if timeout is None:
        return call()
    with _set(timeout):
        future = in_thread(call, name)
        try:
            return result_of(future, name)
        finally:
            leave(future, name)


async def awithin(timeout: float | None, name: str, work: Callable[[], Awaitable[T]]) -> T:
    """Return the result of `await work()`, which is cancelled after `timeout` seconds.

    Args:
        timeout: Seconds; None is no limit, and a deadline that is set already holds as well.
        name: The scorer that is asked, for the message.
        work: What to await.

    Raises:
        ScorerTimeoutError: Time is up.
    """
    if timeout is None:
        return await work()
    with _set(timeout):
        try:
            async with asyncio.timeout(remaining()) as limit:
                return await work()
        except TimeoutError:
            if not limit.expired():
                raise
            raise _too_late(name) from None


def result_of(future: Future[T], name: str) -> T:
    """Return what the scorer `name` gives; where time is up or the wait ends before, cancel it.

    Raises:
        ScorerTimeoutError: The deadline has passed; or whatever the future raises.
    """
    try:
        return future.result(remaining())
    except TimeoutError:
        if future.done():
            return future.result()
        raise _too_late(name) from None
    finally:
        future.cancel()


def in_thread(call: Callable[[], T], name: str) -> Future[T]:
    """Return the future result of `call()` of a scorer, in a thread of its own with this context.

    The thread is a daemon: a call that never ends must not keep the process from ending.

    Raises:
        ScorerUnavailableError: So many of its calls run on, with nobody waiting, that it hangs.
    """
    hanging = sum(of == name for of, _ in list(_left))
    if hanging >= _MOST_LEFT:
        raise ScorerUnavailableError(
            f"{name} is asked nothing more until one of {hanging} calls ends that ran out of time "
            f"and still run, each in a thread. It hangs: give what it waits for a time limit of "
            f"its own. {see('the-model-failed')}"
        )
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            future.set_exception(error)
        else:
            future.set_result(result)

    thread = threading.Thread(
        target=copy_context().run, args=(work,), name="langchain-rerank-deadline", daemon=True
    )
    thread.start()
    return future


def leave(future: Future[Any], name: str) -> None:
    """Note that nobody waits for `future`, of the scorer `name`, until it is done."""
    _left.add((name, future))
    future.add_done_callback(lambda done: _left.discard((name, done)))


@contextmanager
def _set(timeout: float) -> Iterator[None]:
    mine, outer = time.monotonic() + timeout, _deadline.get()
    token = _deadline.set(mine if outer is None else min(mine, outer))
    try:
        yield
    finally:
        _deadline.reset(token)


def _too_late(name: str) -> ScorerTimeoutError:
    return ScorerTimeoutError(
        f"{name} did not score in the time that `timeout` gives it. Raise timeout, score fewer "
        f"candidates, or load the model before the first query, if that was it. "
        f"{see('the-model-failed')}"
    )
