"""`DenseRetriever`: search in any LangChain vector store that keeps the scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from pydantic import ConfigDict, Field, field_validator

from langchain_rerank.base_retrievers.overriding import AsyncFollowsSync
from langchain_rerank.base_retrievers.search_kwargs import search_kwargs_with_depth
from langchain_rerank.checks import check_text, shown, whole_number
from langchain_rerank.documents import with_scores
from langchain_rerank.errors import ConfigurationError, InputTypeError
from langchain_rerank.fields import CheckedAssignment, Count
from langchain_rerank.first_stage.filters import predicate
from langchain_rerank.first_stage.vectors import VectorIndex


class DenseRetriever(AsyncFollowsSync, CheckedAssignment, BaseRetriever):
    """Retriever over a vector store, with scores in `metadata["first_stage_score"]`.

    The score is higher for better documents, whatever the store returns: a similarity as it is, a
    distance negated. Which of the two it is shows in the ranking itself, since every store returns
    the best first. (The "relevance scores" of vector stores are no way to tell: several stores
    have none, and those for inner products grow with the distance or jump where it is 0.)

    Further arguments of a call reach the store: `retriever.invoke(query, k=10, filter=...)`.

    Examples:
        >>> from langchain_core.embeddings import DeterministicFakeEmbedding
        >>> from langchain_core.vectorstores import InMemoryVectorStore
        >>> store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
        >>> _ = store.add_texts(["Cats sleep.", "QLoRA quantises."])
        >>> found = DenseRetriever(vectorstore=store, k=1).invoke("Cats sleep.")
        >>> found[0].page_content, round(found[0].metadata["first_stage_score"], 3)
        ('Cats sleep.', 1.0)
    """

    vectorstore: VectorStore
    """The store to search in."""
    k: Count = 50
    """How many documents to return at most."""
    by_embeddings: ClassVar[bool] = True
    """Its scores are those of embeddings: a hybrid passes them on as `dense_score`."""
    search_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the store's `similarity_search_with_score` (`filter`, say)."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    @field_validator("search_kwargs")
    @classmethod
    def _no_second_depth(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "k" in value:
            raise ConfigurationError(
                f"search_kwargs={shown(value)}: the number of documents is the field k of this "
                f"retriever; write DenseRetriever(k={value['k']!r}) instead."
            )
        return value

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,  # noqa: ARG002 - one step, no child
        k: int | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        k, arguments = self._arguments(query, k, kwargs)
        try:
            found = self.vectorstore.similarity_search_with_score(query, **arguments)
        except NotImplementedError as error:
            raise self._no_scores() from error
        return self._scored(found, k)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,  # noqa: ARG002 - as above
        k: int | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        k, arguments = self._arguments(query, k, kwargs)
        try:
            found = await self.vectorstore.asimilarity_search_with_score(query, **arguments)
        except NotImplementedError as error:
            raise self._no_scores() from error
        return self._scored(found, k)

    def _arguments(
        self, query: str, k: int | None, kwargs: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        check_text(query)
        k = self.k if k is None else whole_number(k, "k")
        # One document alone does not show which way the scores go.
        asked = max(k, 2)
        merged = {**self.search_kwargs, **kwargs}
        if (
            isinstance(self.vectorstore, (InMemoryVectorStore, VectorIndex))
            and merged.get("filter") is not None
        ):
            # These take functions only; with this a filter on metadata means the same
            # to every stage of a hybrid. (It reads every document for any filter, so none is made.)
            merged["filter"] = predicate(merged.get("filter"))
        if "fetch_k" in merged:
            return k, {**merged, "k": asked}
        return k, search_kwargs_with_depth(self.vectorstore, merged, asked)

    def _no_scores(self) -> ConfigurationError:
        store = type(self.vectorstore).__name__
        return ConfigurationError(
            f"{store} gives no scores (it has no similarity_search_with_score). Use "
            f"store.as_retriever() instead; the reranker then goes by the ranks."
        )

    def _scored(self, found: Sequence[tuple[Document, float]], k: int) -> list[Document]:
        scores = [_number(score, self.vectorstore) for _, score in found]
        higher = higher_is_better(scores)
        if higher is None:
            higher = not _is_distance(self.vectorstore)
        # A score that is no finite number says nothing, and would break JSON.
        signed = [(s if higher else -s) if math.isfinite(s) else None for s in scores[:k]]
        return with_scores([document for document, _ in found[:k]], signed)


def _number(score: object, store: VectorStore) -> float:
    try:
        return float(score)  # type: ignore[arg-type]  # what else a store may give is caught
    except OverflowError:
        return math.inf
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"{type(store).__name__} gave {shown(score)} as the score of a document; expected a "
            f"number. Use store.as_retriever() instead; the reranker then goes by the ranks."
        ) from error


def higher_is_better(scores: Sequence[float]) -> bool | None:
    """Return whether scores that come best first are similarities; None where it does not show.

    Args:
        scores: `(n,)` scores, best first; noise in between does not matter, and what is no finite
            number says nothing.

    Examples:
        >>> higher_is_better([0.9, 0.5])
        True
        >>> higher_is_better([0.1, 0.5])
        False
        >>> higher_is_better([0.9, 0.5, float("nan")])
        True
        >>> higher_is_better([0.5]) is None
        True
    """
    finite = [score for score in scores if math.isfinite(score)]
    if not finite or finite[0] == finite[-1]:
        return None
    return finite[0] > finite[-1]


def _is_distance(store: VectorStore) -> bool:
    """Return whether the store says that its scores are distances, for want of a ranking.

    FAISS with inner products says so wrongly: the sign of a document that is found alone differs
    there from its sign among others, which changes no order.
    """
    try:
        relevance = store._select_relevance_score_fn()  # noqa: SLF001 - what stores override
        return relevance(0.2) < relevance(0.1)
    except Exception:  # noqa: BLE001 - a store that cannot say so raises whatever it likes
        return False  # as langchain-core's own store
