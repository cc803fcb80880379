"""What a call of a reranking retriever carries past LangChain, and what it brings back.

`BaseRetriever.invoke` keeps the config to itself and hands a method those arguments alone that it
declares. A subclass that overrides `_get_relevant_documents` the usual way declares none, so
`top_n` or a filter would be dropped without a word. They travel in context variables instead, which
threads and tasks started for the call inherit. They hold the retriever weakly: what a call leaves
open (a connection, an event loop) keeps the call's context, and must not keep its scorer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any
from weakref import ReferenceType, ref

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from langchain_rerank.base_retrievers.call_arguments import declared
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.result import RerankResult


@dataclass
class _Call:
    """One call of `retriever`: its config, and the arguments that its method does not declare."""

    retriever: ReferenceType[BaseRetriever]
    config: RunnableConfig
    undeclared: Mapping[str, Any]
    taken_up: bool = False


@dataclass
class Receipt:
    """What a search of `retriever` found, once it is over."""

    retriever: ReferenceType[BaseRetriever]
    model: str
    kept: RerankResult | None = None
    started: float = field(default_factory=perf_counter)

    def result(self, query: str, documents: list[Document]) -> RerankResult:
        """Return what was found, with the `documents` that the call returned in the end."""
        if self.kept is not None:
            return replace(self.kept, documents=documents)
        # A method of a subclass that does not ask ours.
        ms = (perf_counter() - self.started) * 1000.0
        return RerankResult(
            query=query,
            documents=documents,
            model=self.model,
            candidates=len(documents),
            truncated=0,
            timings={"total": ms},
            error=None,
        )


_calls: ContextVar[_Call | None] = ContextVar("langchain_rerank_call", default=None)
_receipts: ContextVar[Receipt | None] = ContextVar("langchain_rerank_receipt", default=None)


@contextmanager
def call_of(
    retriever: BaseRetriever,
    method: Callable[..., Any],
    config: RunnableConfig | None,
    kwargs: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    """Carry a call past LangChain; gives the arguments that `method`, which is called, declares.

    Raises:
        ConfigurationError: The call ended, and what `method` does not declare reached nobody.
    """
    handed = _handed(retriever, method, kwargs)
    undeclared = {name: value for name, value in kwargs.items() if name not in handed}
    call = _Call(ref(retriever), ensure_config(config), undeclared)
    token = _calls.set(call)
    try:
        yield handed
    finally:
        _calls.reset(token)
    if undeclared and not call.taken_up:
        raise ConfigurationError(
            f"{type(retriever).__name__} overrides the method that searches and left out "
            f"{', '.join(undeclared)}. Call super()._get_relevant_documents(query, "
            f"run_manager=run_manager) in it, or declare **kwargs and use them."
        )


def _handed(
    retriever: BaseRetriever, method: Callable[..., Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    # LangChain hands on nothing where the sync method declares nothing, run_id is its own.
    takes_others = type(retriever)._expects_other_args  # noqa: SLF001 - what decides there
    names = declared(method, kwargs.keys())
    return {
        name: value
        for name, value in kwargs.items()
        if name == "run_id" or (takes_others and name in names)
    }


def taken_up(
    retriever: BaseRetriever, kwargs: Mapping[str, Any]
) -> tuple[RunnableConfig | None, dict[str, Any]]:
    """Return the config and the arguments of the call of `retriever` that is under way."""
    call = _calls.get()
    if call is None or call.retriever() is not retriever:
        return None, dict(kwargs)
    call.taken_up = True
    return call.config, {**call.undeclared, **kwargs}


@contextmanager
def receipt_of(retriever: BaseRetriever, model: str) -> Iterator[Receipt]:
    """Collect what a call of `retriever` finds."""
    receipt = Receipt(ref(retriever), model)
    token = _receipts.set(receipt)
    try:
        yield receipt
    finally:
        _receipts.reset(token)


def keep_result(retriever: BaseRetriever, result: RerankResult) -> list[Document]:
    """Return the documents of `result`, and keep it for the search that is under way, if one is."""
    receipt = _receipts.get()
    if receipt is not None and receipt.retriever() is retriever:
        receipt.kept = result
    return result.documents
