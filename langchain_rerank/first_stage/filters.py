"""Filters on documents, in the two forms that LangChain's vector stores take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from langchain_core.documents import Document

from langchain_rerank.checks import shown
from langchain_rerank.errors import ConfigurationError

DocumentFilter: TypeAlias = Callable[[Document], bool] | Mapping[Any, Any]
"""A test of a document, as for `InMemoryVectorStore`, or metadata that it must have, as for FAISS:
equal values, or one of a list of values; of metadata that is a list, one of its elements."""


def predicate(given: DocumentFilter | None) -> Callable[[Document], bool]:
    """Return the filter as a function.

    Args:
        given: A function, a mapping, or None, which keeps every document.

    Raises:
        ConfigurationError: Not a filter, or one that uses the operators of a vector store.

    Examples:
        >>> keep = predicate({"source": "a.md", "page": [1, 2]})
        >>> keep(Document("x", metadata={"source": "a.md", "page": 2}))
        True
        >>> keep(Document("x", metadata={"source": "a.md"}))
        False
        >>> predicate({"tags": "b"})(Document("x", metadata={"tags": ["a", "b"]}))
        True
    """
    if given is None:
        return lambda document: True  # noqa: ARG005 - the signature of a filter
    if callable(given):
        return partial(_kept, given)
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"filter={shown(given)}: expected a function of a document, or metadata as a "
            f"dictionary."
        )
    for key, value in given.items():
        if (isinstance(key, str) and key.startswith("$")) or isinstance(value, Mapping):
            raise ConfigurationError(
                f"filter={shown(given)}: this retriever compares metadata with a value or a list "
                f"of values and knows no operators. Pass a function of a document instead."
            )

    wanted = {key: _alternatives(value) for key, value in given.items()}

    def keep(document: Document) -> bool:
        return all(
            key in (document.metadata or {}) and _has(document.metadata[key], values)
            for key, values in wanted.items()
        )

    return keep


def _has(held: Any, values: Sequence[Any]) -> bool:
    """Return whether metadata is one of the values, or a list (of tags) with one of them."""
    several = held if isinstance(held, (list, tuple, set, frozenset)) else ()
    return any(_same(one, value) for one in (held, *several) for value in values)


def _kept(given: Callable[[Document], Any], document: Document) -> bool:
    kept = given(document)
    if isinstance(kept, bool):  # nearly always, and asked of every document
        return kept
    if inspect.isawaitable(kept):
        if inspect.iscoroutine(kept):
            kept.close()
        # It would count as true, and the filter let everything through.
        raise ConfigurationError(
            f"filter={shown(given)} is an async function; expected one that says at once whether "
            f"it keeps a document. Await what it needs before the call."
        )
    return bool(kept)


def _alternatives(value: Any) -> list[Any]:
    """Return the values of which a document must have one."""
    if isinstance(value, (Sequence, AbstractSet)) and not isinstance(
        value, (str, bytes, bytearray)
    ):
        return list(value)
    # An array or a series of one dimension is a list of values as well.
    if getattr(value, "ndim", None) == 1:
        return list(value.tolist())
    return [value]


def _same(one: Any, other: Any) -> bool:
    """Return whether two values are equal; arrays are where all of their elements are."""
    try:
        same = one == other
        if isinstance(same, bool):
            return same
        return bool(np.array_equal(one, other))
    except (TypeError, ValueError, RecursionError):
        return False  # what cannot be compared (missing values, what contains itself) is not equal
