"""Work on many items, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def each(
    items: Sequence[T],
    work: Callable[[T], Awaitable[None]],
    *,
    limit: int,
    advance: Callable[[int, int], None],
) -> None:
    """Do `work` on every item, at most `limit` at once, in order of the items.

    What one raises stops the others and is raised. `advance` is told how many are done, and of how
    many.
    """
    waiting, done = iter(items), 0

    async def worker() -> None:
        nonlocal done
        for item in waiting:
            await work(item)
            advance(done := done + 1, len(items))

    tasks = [asyncio.create_task(worker()) for _ in range(min(limit, len(items)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
