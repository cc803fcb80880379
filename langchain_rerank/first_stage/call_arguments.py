"""Which arguments of a call a stage takes: LangChain drops some silently and fails on others.

`BaseRetriever.invoke(query, **kwargs)` drops the arguments of a retriever whose method takes none,
raises TypeError where it takes others, and raises it in `ainvoke` where only the sync method takes
them, since the inherited async method takes none.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable

from langchain_rerank.first_stage.depth import FirstStage


def arguments_taken(stage: FirstStage, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `kwargs` that `stage` takes in a call; for a plain runnable, none.

    Args:
        stage: A retriever, also inside `bind`, `with_config` or `configurable_fields`.
        kwargs: Arguments of the call.
    """
    inner = _innermost(stage)
    if not isinstance(inner, BaseRetriever):
        return {}
    known = getattr(inner, "call_arguments", None)
    if known is None:
        method = type(inner)._get_relevant_documents  # noqa: SLF001 - its signature is the contract
        parameters = inspect.signature(method).parameters
        if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
            return dict(kwargs)
        known = parameters.keys() - {"self", "query", "run_manager"}
    return {name: value for name, value in kwargs.items() if name in known}


def arguments_refused(stage: FirstStage, kwargs: Mapping[str, Any]) -> list[str]:
    """Return the names in `kwargs` that a retriever does not take in a call.

    A plain runnable gets whatever is passed and says by itself what it does not know: for one the
    result is empty.
    """
    if not isinstance(_innermost(stage), BaseRetriever):
        return []
    return sorted(kwargs.keys() - arguments_taken(stage, kwargs).keys())


def only_sync_takes_arguments(stage: FirstStage) -> bool:
    """Return whether `stage` has no async method of its own, so that `ainvoke` takes none."""
    inner = _innermost(stage)
    return (
        isinstance(inner, BaseRetriever)
        and type(inner)._aget_relevant_documents is BaseRetriever._aget_relevant_documents  # noqa: SLF001 - as above
    )


def _innermost(stage: FirstStage) -> FirstStage:
    while True:
        if isinstance(stage, RunnableBindingBase):
            stage = stage.bound
        elif isinstance(stage, DynamicRunnable):
            stage = stage.default
        else:
            return stage
