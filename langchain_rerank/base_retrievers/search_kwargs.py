"""The `search_kwargs` of vector stores: the depth in them, read and set."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from langchain_core.vectorstores import VectorStore

# The defaults of `k` and `fetch_k` in langchain-core and in its stores.
_K, _FETCH_K = 4, 20


def search_kwargs_with_depth(
    store: VectorStore | None, search_kwargs: Mapping[str, Any], k: int, *, mmr: bool = False
) -> dict[str, Any]:
    """Return a copy of `search_kwargs` with `k`, and with `fetch_k` in proportion where it counts.

    Maximal marginal relevance picks `k` out of `fetch_k`: at `fetch_k == k` it would pick them all
    and the diversity that the user asked for would be gone. Stores that filter after the search
    (FAISS) filter `fetch_k` documents, and give no more than are left.
    """
    deeper = {**search_kwargs, "k": k}
    if mmr or "fetch_k" in search_kwargs or "fetch_k" in _search_parameters(store):
        fetch_k = search_kwargs.get("fetch_k") or _FETCH_K
        proportion = fetch_k / (search_kwargs.get("k") or _K)
        deeper["fetch_k"] = max(fetch_k, k, math.ceil(proportion * k))
    return deeper


def search_depth(store: VectorStore | None, search_kwargs: Mapping[str, Any]) -> int | None:
    """Return the `k` of a search, or the default of the store's own method."""
    k = search_kwargs.get("k")
    if k is None and (parameter := _search_parameters(store).get("k")) is not None:
        k = parameter.default
    return k if isinstance(k, int) else None


def _search_parameters(store: VectorStore | None) -> Mapping[str, inspect.Parameter]:
    return {} if store is None else inspect.signature(store.similarity_search).parameters
