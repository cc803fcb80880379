"""Which arguments of a call a stage takes: LangChain drops some silently and fails on others.

`BaseRetriever.invoke(query, **kwargs)` drops the arguments of a retriever whose method takes none,
raises TypeError where it takes others, and raises it in `ainvoke` where only the sync method takes
them, as where the async one is inherited. Of what is composed, some hands the arguments on
(to every fallback, to the first step of a sequence), and the rest drops them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    Runnable,
    RunnableBranch,
    RunnableGenerator,
    RunnableLambda,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import (
    RunnableConfigurableAlternatives,
    RunnableConfigurableFields,
)

from langchain_rerank.base_retrievers.depth import FirstStage


def arguments_taken(stage: FirstStage, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of `kwargs` that every retriever in `stage` takes; none of a plain runnable."""
    if not kwargs:
        return {}  # Asking may build what LangChain's alternatives make.
    taken = set(kwargs)
    for receiver in _receivers(stage):
        taken &= _taken(receiver, taken) if isinstance(receiver, BaseRetriever) else set()
    return {name: value for name, value in kwargs.items() if name in taken}


def arguments_refused(stage: FirstStage, kwargs: Mapping[str, Any]) -> list[str]:
    """Return the names in `kwargs` that would be dropped somewhere in `stage`.

    A function gets whatever is passed and says by itself what it does not know; so does a runnable
    of another package.
    """
    if not kwargs:
        return []
    names = set(kwargs)
    refused: set[str] = set()
    for receiver in _receivers(stage):
        if isinstance(receiver, BaseRetriever):
            refused |= names - _taken(receiver, names)
        elif _drops_arguments(receiver):
            refused |= names
    return sorted(refused)


def only_sync_takes(stage: FirstStage, kwargs: Mapping[str, Any]) -> bool:
    """Return whether a retriever in `stage` takes `kwargs` in sync calls and not in async ones."""
    if not kwargs:
        return False
    names = set(kwargs)
    return any(
        isinstance(receiver, BaseRetriever)
        and _handed(receiver, type(receiver)._aget_relevant_documents, names) != names  # noqa: SLF001 - its signature is the contract
        for receiver in _receivers(stage)
    )


def declared(method: Callable[..., Any], names: Collection[str]) -> set[str]:
    """Return those of `names` that the method of a retriever declares as arguments of a call."""
    parameters = inspect.signature(method).parameters
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return set(names)
    return set(names) & (parameters.keys() - {"self", "query", "run_manager"})


def _receivers(stage: Any) -> Iterator[Runnable[Any, Any]]:
    """Yield what gets the arguments of a call of `stage`, whichever way the call takes."""
    handed_to = may_become(stage)
    if isinstance(stage, RunnableSequence):
        handed_to = [stage.first]
    elif handed_to is None:
        yield stage
        handed_to = [stage.base_retriever] if _compresses(stage) else []
    for receiver in handed_to:
        yield from _receivers(receiver if isinstance(receiver, Runnable) else receiver())


def may_become(stage: Any) -> list[Any] | None:
    """Return what LangChain's wrapper `stage` may turn out to be in a call; None of no wrapper.

    An alternative may be a function that makes it; that is left to who needs it.
    """
    if isinstance(stage, RunnableBindingBase):
        return [stage.bound]
    if isinstance(stage, RunnableConfigurableFields):
        return [stage.default]
    if isinstance(stage, RunnableConfigurableAlternatives):
        return [stage.default, *stage.alternatives.values()]
    if isinstance(stage, RunnableWithFallbacks):
        return [stage.runnable, *stage.fallbacks]
    if isinstance(stage, RunnableBranch):
        return [*(runnable for _, runnable in stage.branches), stage.default]
    return None


def _compresses(stage: Any) -> bool:
    """Return whether `stage` hands what it gets to a base, as ContextualCompressionRetriever does.

    A reranking retriever of ours has arguments of its own, and looks after those of its base.
    """
    fields = type(stage).model_fields if isinstance(stage, BaseRetriever) else {}
    return "base_retriever" in fields and "first_stage_k" not in fields


def _taken(retriever: BaseRetriever, names: set[str]) -> set[str]:
    """Return those of `names` that the retriever's method is handed and has a use for."""
    # A subclass may declare less than its class has a use for.
    handed = _handed(retriever, type(retriever)._get_relevant_documents, names)  # noqa: SLF001 - as above
    return handed & set(getattr(retriever, "call_arguments", names))


def _handed(retriever: BaseRetriever, method: Callable[..., Any], names: set[str]) -> set[str]:
    if "first_stage_k" in type(retriever).model_fields:
        return names  # A reranking retriever of ours hands on what is not its own, or refuses it.
    return declared(method, names)


def _drops_arguments(runnable: Runnable[Any, Any]) -> bool:
    """Return whether a runnable is one of langchain-core's that has no use for arguments."""
    calls_a_function = isinstance(runnable, (RunnableLambda, RunnableGenerator))
    return not calls_a_function and type(runnable).__module__.startswith("langchain_core.")
