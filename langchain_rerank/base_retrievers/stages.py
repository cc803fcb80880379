"""What may be a stage, and the documents that one found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import BaseModel

from langchain_rerank.checks import listed, shown
from langchain_rerank.errors import ConfigurationError, InputTypeError


def as_stage(value: Any, name: str) -> Runnable[Any, Any]:
    """Return a retriever or runnable as it is, and a function as a runnable.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(value, Runnable):
        return value
    if callable(value) and not isinstance(value, type):
        return RunnableLambda(value)
    raise ConfigurationError(
        f"{name} must be a LangChain retriever or a Runnable from query to documents, got "
        f"{shown(value)}. A vector store becomes one by .as_retriever()."
    )


def corpus_of(documents: Iterable[Document], otherwise: str) -> list[Document]:
    """Return documents that are to be searched as a list; `otherwise` ends the message.

    Raises:
        InputTypeError: One of them is not a document.
    """
    corpus = listed(documents, "documents", "LangChain documents")
    for position, document in enumerate(corpus):
        if not isinstance(document, Document):
            raise InputTypeError(
                f"documents[{position}] is of type {type(document).__name__}; expected LangChain "
                f"documents{otherwise}"
            )
    return corpus


def documents_of(found: Any, name: str, *, more: str = ".", texts: bool = False) -> list[Document]:
    """Return what a stage found as a list, whatever gives the documents in order.

    Where `texts` may stand for documents, as in the contexts of a chain, they become such.

    Raises:
        InputTypeError: It is no series, or one with something else than documents.
    """
    expected = f"{name} must return a list of documents, got"
    if isinstance(found, BaseModel):  # a document, which would give its fields one by one
        raise InputTypeError(f"{expected} {type(found).__name__}{more}")
    try:
        documents: list[Any] = listed(found, "documents", "documents")
    except InputTypeError:
        raise InputTypeError(f"{expected} {type(found).__name__}{more}") from None
    for position, one in enumerate(documents):
        if texts and isinstance(one, str):
            documents[position] = Document(one)
        elif not isinstance(one, Document):
            raise InputTypeError(
                f"{expected} one with {type(one).__name__} at position {position}{more}"
            )
    return documents
