"""What a user's subclass overrides counts in async calls, too."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from langchain_core.runnables.config import run_in_executor

_TWINS = (
    ("_get_relevant_documents", "_aget_relevant_documents"),
    ("compress_documents", "acompress_documents"),
    ("rerank", "arerank"),
    ("search", "asearch"),
)


class AsyncFollowsSync:
    """Class of which a subclass that overrides a sync method alone means it for async calls too.

    So it is with LangChain's own classes, whose async methods run the sync ones. Ours have async
    methods of their own, which would pass an override by, and with it the filter that it applies.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Have the async method run the sync one where that comes from nearer in the bases."""
        super().__init_subclass__(**kwargs)
        for name, async_name in _TWINS:
            nearest = next(
                (one for one in cls.__mro__ if not {name, async_name}.isdisjoint(vars(one))), None
            )
            if nearest is not None and async_name not in vars(nearest):
                setattr(cls, async_name, _running(getattr(cls, name), name))


def _running(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return an async method that runs the sync one called `name`, which is now `method`."""

    @wraps(method)  # its signature, which says what arguments it takes
    async def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "run_manager" in kwargs:
            kwargs["run_manager"] = kwargs["run_manager"].get_sync()
        return await run_in_executor(None, partial(getattr(self, name), *args, **kwargs))

    return run
