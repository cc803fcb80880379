"""Run a coroutine from synchronous code, also while an event loop is running (a notebook)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what `coroutine` returns, run to its end on a loop of its own in the background.

    One loop serves all calls: clients keep connections that belong to the loop they were opened
    on, and a second call on another loop would fail on them.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result()
    except BaseException:
        # Ctrl-C reaches the waiting thread only.
        future.cancel()
        raise


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="langchain-rerank-ragas", daemon=True).start()
    return loop
