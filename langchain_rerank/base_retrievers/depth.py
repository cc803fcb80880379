"""How many documents a first stage returns: read it, and set it on a copy.

LangChain has no common setting for this, so each kind of retriever needs its own rule. Kinds that
live in langchain-core are told by their class; the rest (langchain-classic, langchain-community,
our own) by the fields they declare, so that none of those packages has to be installed.

Copies are shallow (`model_copy`): vector stores, indexes and private attributes are shared with
the base, and only the settings that change are new objects. Documents in which a retriever notes
what a query did (a time-weighted one) are copied too: a query of ours leaves the base alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    Runnable,
    RunnableBranch,
    RunnableSequence,
    RunnableWithFallbacks,
)
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import (
    RunnableConfigurableAlternatives,
    RunnableConfigurableFields,
)

from langchain_rerank.base_retrievers.search_kwargs import search_depth, search_kwargs_with_depth
from langchain_rerank.checks import whole_number

FirstStage: TypeAlias = Runnable[str, list[Document]]
"""What a first stage is: a retriever, or any runnable from a query to documents."""

# What the default prompt of MultiQueryRetriever asks for.
_QUERIES_OF_MULTI_QUERY = 3


def with_depth(retriever: FirstStage, k: int) -> FirstStage:
    """Return the same kind of retriever set to return `k` documents; `retriever` stays as it is.

    Where the depth cannot be set (a lambda, a retriever without such a setting) the result is
    `retriever` itself. A result may still give more than `k` documents (the union of an ensemble,
    of several queries) or fewer (a score threshold, parents of the same children): truncate it.

    What a caller configures at the call (`config["configurable"]`) wins over this setting.

    Args:
        retriever: Any retriever, or any runnable from a query to documents.
        k: Number of documents, at least 1.

    Raises:
        ConfigurationError: `k` is not an integer, or below 1.
    """
    k = whole_number(k, "k")
    if isinstance(retriever, BaseRetriever):
        return _updated(retriever, _retriever_settings(retriever, k))
    return _updated(retriever, _runnable_settings(retriever, k))


def depth_of(retriever: FirstStage) -> int | None:
    """Return how many documents `retriever` can give at most, or None where that is unknown."""
    if isinstance(retriever, BaseRetriever):
        return _retriever_depth(retriever)
    if isinstance(retriever, RunnableBindingBase):
        k = retriever.kwargs.get("top_n" if _reranks(retriever) else "k")
        # A retriever that takes no arguments in a call drops what is bound to it.
        takes_k = getattr(retriever.bound, "_expects_other_args", True)
        return k if isinstance(k, int) and takes_k else depth_of(retriever.bound)
    if isinstance(retriever, RunnableSequence):
        return depth_of(retriever.last)
    if isinstance(retriever, RunnableWithFallbacks):
        return _depth_of_all([retriever.runnable, *retriever.fallbacks], max)
    if isinstance(retriever, RunnableBranch):
        return _depth_of_all([*(taken for _, taken in retriever.branches), retriever.default], max)
    # The depth of a configurable runnable is only known once its configuration is.
    return None


def _retriever_settings(retriever: BaseRetriever, k: int) -> dict[str, Any]:
    """Return the fields that give `retriever` the depth `k`, by what it declares."""
    settings: dict[str, Any] = {}
    # `k` is what LangChain calls the number of documents of a retriever (BM25, TF-IDF, kNN, SVM,
    # our own). Other names (top_k, limit) are left alone: what they mean differs by class, and
    # services refuse values above their own limit.
    if _depth_field(retriever) is not None:
        settings["k"] = k
    search_kwargs = _field(retriever, "search_kwargs")
    if (
        isinstance(search_kwargs, Mapping)
        and _field(retriever, "vectorstore") is not None
        and ("k" in search_kwargs or "k" not in settings)
    ):
        # A multi-vector (parent document) retriever counts child chunks here, several of which lead
        # to one parent, and a time-weighted one what it weighs before it cuts to `k`. Fewer of them
        # than the user chose would lose documents, so for these the setting only ever grows.
        only_grow = "k" in settings or _field(retriever, "docstore") is not None
        settings["search_kwargs"] = _search_kwargs(retriever, search_kwargs, k, only_grow=only_grow)
    if _field(retriever, "first_stage_k") is not None:
        # A reranking retriever of ours sets the depth of its own base by itself.
        first_stage_k = max(_field(retriever, "first_stage_k"), k)
        all_of_them = _field(retriever, "top_n") is None or k == first_stage_k
        settings["top_n"] = None if all_of_them else k
        settings["first_stage_k"] = first_stage_k
    elif isinstance(base := _field(retriever, "base_retriever"), Runnable):
        # A compressor follows that may drop documents: give it at least `k`, and not fewer than
        # the user chose to compress.
        depth = depth_of(base)
        settings["base_retriever"] = (
            base if depth is not None and depth >= k else with_depth(base, k)
        )
    if isinstance(inner := _field(retriever, "retriever"), Runnable):
        settings["retriever"] = with_depth(inner, math.ceil(k / _queries(retriever)))
    members = _field(retriever, "retrievers")
    if isinstance(members, Sequence):
        settings["retrievers"] = _each_with_depth(members, k)
    memories = _field(retriever, "memory_stream")
    if isinstance(memories, Sequence):
        # A time-weighted retriever stamps what it finds as just used, in these very objects.
        settings["memory_stream"] = [
            memory.model_copy(update={"metadata": dict(memory.metadata)}) for memory in memories
        ]
    return settings


def _retriever_depth(retriever: BaseRetriever) -> int | None:
    """Return the most that `retriever` can give, by what it declares."""
    own = _depth_field(retriever)
    if own is None and _field(retriever, "first_stage_k") is not None:
        first_stage_k: int = _field(retriever, "first_stage_k")
        top_n = _field(retriever, "top_n")
        own = first_stage_k if top_n is None else min(top_n, first_stage_k)
    if own is not None:
        return own
    members = _field(retriever, "retrievers")
    if isinstance(members, Sequence):
        return _depth_of_all(members, sum)
    search_kwargs = _field(retriever, "search_kwargs")
    store = _field(retriever, "vectorstore")
    if isinstance(search_kwargs, Mapping) and store is not None:
        return search_depth(store, search_kwargs)
    # What stands behind `retriever` (several queries) or `base_retriever` (a compressor that cuts
    # or splits) does not bound what comes out.
    return None


def _queries(retriever: BaseRetriever) -> int:
    """Return how many queries a retriever makes of one, each of which finds documents of its own.

    A multi-query retriever lists what each query found one after the other, the user's own last:
    at depth `k` each, all but the first would be cut off.
    """
    if (include_original := _field(retriever, "include_original")) is None:
        return 1
    return _QUERIES_OF_MULTI_QUERY + bool(include_original)


def _runnable_settings(runnable: FirstStage, k: int) -> dict[str, Any]:
    """Return the fields that give a runnable which holds a retriever the depth `k`."""
    if isinstance(runnable, RunnableBindingBase):
        return {"bound": with_depth(runnable.bound, k), "kwargs": _bound_kwargs(runnable, k)}
    if isinstance(runnable, RunnableSequence):
        return {"last": with_depth(runnable.last, k)}
    if isinstance(runnable, RunnableWithFallbacks):
        return {
            "runnable": with_depth(runnable.runnable, k),
            "fallbacks": _each_with_depth(runnable.fallbacks, k),
        }
    if isinstance(runnable, RunnableBranch):
        members = [one for _, one in runnable.branches]
        deeper = _each_with_depth(members, k)
        branches = [(when, one) for (when, _), one in zip(runnable.branches, deeper, strict=True)]
        return {
            "branches": runnable.branches if deeper is members else branches,
            "default": with_depth(runnable.default, k),
        }
    settings: dict[str, Any] = {}
    if isinstance(runnable, (RunnableConfigurableFields, RunnableConfigurableAlternatives)):
        settings["default"] = with_depth(runnable.default, k)
    if isinstance(runnable, RunnableConfigurableAlternatives):
        settings["alternatives"] = {
            name: with_depth(alternative, k)
            if isinstance(alternative, Runnable)
            else partial(_made_with_depth, alternative, k)
            for name, alternative in runnable.alternatives.items()
        }
    return settings


def _reranks(runnable: Any) -> bool:
    """Return whether a runnable is a reranking retriever of ours, bound or not."""
    while isinstance(runnable, RunnableBindingBase):
        runnable = runnable.bound
    return isinstance(runnable, BaseRetriever) and _field(runnable, "first_stage_k") is not None


def _bound_kwargs(binding: RunnableBindingBase[Any, Any], k: int) -> Mapping[str, Any]:
    """Return the bound arguments with the depth `k`: they win over what the retriever is set to."""
    kwargs = binding.kwargs
    if not _reranks(binding):
        return search_kwargs_with_depth(None, kwargs, k) if "k" in kwargs else kwargs
    deeper = dict(kwargs)
    if "top_n" in deeper:
        deeper["top_n"] = None  # all that it scores, best first
    if "first_stage_k" in deeper:
        deeper["first_stage_k"] = max(deeper["first_stage_k"], k)
    return deeper


def _made_with_depth(factory: Callable[[], FirstStage], k: int) -> FirstStage:
    return with_depth(factory(), k)


def _each_with_depth(members: Sequence[FirstStage], k: int) -> Sequence[FirstStage]:
    """Return the members with depth `k`, or `members` itself where none can be set."""
    deeper = [with_depth(member, k) for member in members]
    return members if all(map(_same, deeper, members)) else deeper


def _depth_of_all(members: Sequence[FirstStage], combine: Callable[[list[int]], int]) -> int | None:
    """Return what `combine` makes of the members' depths, or None where one is unknown."""
    depths = [depth for member in members if (depth := depth_of(member)) is not None]
    return combine(depths) if depths and len(depths) == len(members) else None


def _updated(runnable: Any, settings: Mapping[str, Any]) -> FirstStage:
    """Return a shallow copy with the settings that differ, or `runnable` where none does."""
    changed = {
        name: value for name, value in settings.items() if not _same(value, getattr(runnable, name))
    }
    # Every class that has such a setting is a pydantic model.
    return cast("FirstStage", runnable.model_copy(update=changed) if changed else runnable)


def _same(one: object, other: object) -> bool:
    # Numbers and dictionaries by value; retrievers by identity, since comparing two of them by
    # value would walk through their vector stores and corpora.
    if isinstance(one, (int, dict)):
        return one == other
    return one is other


def _search_kwargs(
    retriever: BaseRetriever, search_kwargs: Mapping[str, Any], k: int, *, only_grow: bool
) -> Mapping[str, Any]:
    store = _field(retriever, "vectorstore")
    current = search_depth(store, search_kwargs)
    if only_grow and current is not None and current >= k:
        return search_kwargs
    # An enum with string values in langchain-classic, a plain string in langchain-core.
    mmr = _field(retriever, "search_type") == "mmr"
    return search_kwargs_with_depth(store, search_kwargs, k, mmr=mmr)


def _depth_field(retriever: BaseRetriever) -> int | None:
    k = _field(retriever, "k")
    return k if isinstance(k, int) and not isinstance(k, bool) else None


def _field(retriever: BaseRetriever, name: str) -> Any:
    """Return the value of a declared field, or None; a mere attribute or method is no setting."""
    return getattr(retriever, name) if name in type(retriever).model_fields else None
