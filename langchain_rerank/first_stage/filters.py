"""Filters on documents, in the two forms that LangChain's vector stores take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError

DocumentFilter: TypeAlias = Callable[[Document], bool] | Mapping[str, Any]
"""A test of a document, as for `InMemoryVectorStore`, or metadata that it must have, as for FAISS:
equal values, or one of a list of values."""


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
    """
    if given is None:
        return lambda document: True  # noqa: ARG005 - the signature of a filter
    if callable(given):
        return given
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"filter={given!r}: expected a function of a document, or metadata as a dictionary."
        )
    for key, value in given.items():
        if key.startswith("$") or isinstance(value, Mapping):
            raise ConfigurationError(
                f"filter={given!r}: this retriever compares metadata with a value or a list of "
                f"values and knows no operators. Pass a function of a document instead."
            )

    def keep(document: Document) -> bool:
        return all(
            key in document.metadata
            and (
                document.metadata[key] in wanted
                if isinstance(wanted, (list, tuple, set, frozenset))
                else document.metadata[key] == wanted
            )
            for key, wanted in given.items()
        )

    return keep
