"""`HybridRetriever`: several first stages at once, fused by rank or by score."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, patch_config, run_in_executor
from langchain_core.runnables.utils import ConfigurableFieldSpec, get_unique_config_specs
from pydantic import ConfigDict, Field, field_validator, model_validator

from langchain_rerank.base_retrievers.call_arguments import (
    arguments_taken,
    declared,
    may_become,
    only_sync_takes,
)
from langchain_rerank.base_retrievers.depth import FirstStage, with_depth
from langchain_rerank.base_retrievers.merging import with_own_scores
from langchain_rerank.base_retrievers.overriding import AsyncFollowsSync
from langchain_rerank.base_retrievers.stages import as_stage, corpus_of, documents_of
from langchain_rerank.checks import check_embeddings, listed, whole_number
from langchain_rerank.documents import DENSE_SCORE, FIRST_STAGE_SCORE, with_metadata
from langchain_rerank.errors import ConfigurationError, InputError
from langchain_rerank.fields import CheckedAssignment, Count, Real
from langchain_rerank.first_stage.bm25 import BM25Retriever
from langchain_rerank.first_stage.dense import DenseRetriever
from langchain_rerank.first_stage.fusion import C, Fusion, checked_weights, fused_documents
from langchain_rerank.first_stage.terms import ENGLISH, TextToTerms
from langchain_rerank.first_stage.vectors import VectorIndex


class HybridRetriever(AsyncFollowsSync, CheckedAssignment, BaseRetriever):
    """Retriever that asks several stages and fuses their rankings, by rank or by score.

    Every stage is asked for `k` documents (where its depth can be set) unless `depths` says
    otherwise, the fused ranking is cut to `k`, and its score is in `metadata["first_stage_score"]`.
    Where one of the stages is a `DenseRetriever` or a dense `IndexRetriever`, its score is in
    `metadata["dense_score"]` too: that is what a reranker with `first_stage_weight` mixes in. The
    order of the stages does not matter. Documents are matched by id, or by text where they have
    none. Under async the stages run at the same time; in traces each is a child run.

    Arguments of a call other than `k` reach the stages that take them. A `filter` must be taken by
    all of them: a stage that ignored it would bring back what it is meant to keep out.

    Examples:
        >>> from langchain_rerank.first_stage import BM25Retriever
        >>> cats = BM25Retriever.from_texts(["Cats sleep.", "Cats purr."])
        >>> dogs = BM25Retriever.from_texts(["Dogs sleep.", "Cats sleep."])
        >>> hybrid = HybridRetriever(retrievers=[cats, dogs], k=1)
        >>> [document.page_content for document in hybrid.invoke("sleeping cats")]
        ['Cats sleep.']
    """

    retrievers: list[Runnable[str, Any]] = Field(min_length=1)
    """The stages: retrievers, or any runnables from a query to documents. Never changed."""
    weights: list[Real] | None = None
    """How much each stage counts, at least 0; None for 1 each. One of weight 0 is not asked."""
    k: Count = 50
    """How many documents are returned at most, and each stage is asked for."""
    depths: list[Count | None] | None = None
    """How many documents each stage is asked for instead; None for `k`."""
    fusion: Fusion = "ranks"
    """Reciprocal "ranks", or normalised "scores" where every stage gives scores."""
    id_key: str | None = None
    """The metadata that tells documents apart, in place of their ids."""
    c: Real = Field(default=C, ge=0, allow_inf_nan=False)
    """The constant of the fusion: the larger, the less the first ranks stand out."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    @field_validator("retrievers", mode="before")
    @classmethod
    def _as_stages(cls, value: Any) -> list[Runnable[Any, Any]]:
        stages = listed(value, "retrievers", "retrievers")
        return [as_stage(one, f"retrievers[{number}]") for number, one in enumerate(stages)]

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        checked_weights(self.weights, len(self.retrievers))
        if self.depths is not None and len(self.depths) != len(self.retrievers):
            raise ConfigurationError(
                f"Got {len(self.depths)} depths for {len(self.retrievers)} retrievers: one each."
            )
        return self

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """The configurable fields of the stages."""
        return get_unique_config_specs(
            spec for retriever in self.retrievers for spec in retriever.config_specs
        )

    def invoke(
        self,
        input: str,  # noqa: A002 - the name of every runnable's argument
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return the fused documents, best first.

        Args:
            input: The query.
            config: As for any runnable; `configurable` reaches the stages.
            **kwargs: `k` for this call; the others reach the stages that take them.

        Raises:
            ConfigurationError: No stage takes an argument, or not every stage takes `filter`.
        """
        carried = _carried(self._get_relevant_documents, config)
        return super().invoke(input, config, **carried, **kwargs)

    async def ainvoke(
        self,
        input: str,  # noqa: A002 - as above
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return what `invoke` returns, from stages that run at the same time."""
        carried = _carried(self._aget_relevant_documents, config)
        return await super().ainvoke(input, config, **carried, **kwargs)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        _config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        k = self.k if k is None else whole_number(k, "k")
        stages = self._stages(k, kwargs)
        rankings = [
            stage.retriever.invoke(
                query,
                patch_config(_config, callbacks=run_manager.get_child(stage.tag)),
                **stage.kwargs,
            )
            for stage in stages
        ]
        return self._fused(stages, rankings, k)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        _config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        k = self.k if k is None else whole_number(k, "k")

        async def ranking(stage: _Stage) -> list[Document]:
            config = patch_config(_config, callbacks=run_manager.get_child(stage.tag))
            if only_sync_takes(stage.retriever, stage.kwargs):
                return await run_in_executor(
                    config, stage.retriever.invoke, query, config, **stage.kwargs
                )
            return await stage.retriever.ainvoke(query, config, **stage.kwargs)

        stages = self._stages(k, kwargs)
        rankings = await asyncio.gather(*map(ranking, stages))
        return self._fused(stages, rankings, k)

    def _stages(self, k: int, kwargs: Mapping[str, Any]) -> list[_Stage]:
        """Return the stages that count at their depth, each with the arguments that it takes."""
        weights = checked_weights(self.weights, len(self.retrievers))
        depths = self.depths or [None] * len(self.retrievers)
        stages = [
            _Stage(
                with_depth(retriever, depth or k),
                arguments_taken(retriever, kwargs),
                f"stage_{number}",
                weight,
                depth or k,
            )
            for number, (retriever, weight, depth) in enumerate(
                zip(self.retrievers, weights, depths, strict=True), start=1
            )
            if weight
        ]
        for name in kwargs:
            takers = sum(name in stage.kwargs for stage in stages)
            if takers == 0 or (name == "filter" and takers < len(stages)):
                refusing = [
                    stage.retriever.get_name() for stage in stages if name not in stage.kwargs
                ]
                raise ConfigurationError(
                    f"{name}={kwargs[name]!r}: {', '.join(refusing)} takes no such argument in a "
                    f"call. Check the name, or set it up in the stages themselves."
                )
        return stages

    def _fused(
        self, stages: Sequence[_Stage], rankings: Sequence[object], k: int
    ) -> list[Document]:
        checked: list[list[Document]] = []
        for stage, ranking in zip(stages, rankings, strict=True):
            found = documents_of(ranking, stage.retriever.get_name())
            own = with_own_scores(stage.retriever, found[: stage.depth])
            checked.append(_with_dense_scores(stage.retriever, own))
        return fused_documents(
            checked,
            weights=[stage.weight for stage in stages],
            c=self.c,
            fusion=self.fusion,
            id_key=self.id_key,
        )[:k]


def _carried(method: Callable[..., Any], config: RunnableConfig | None) -> dict[str, Any]:
    """Return the config as an argument of a call, where the method that searches takes it.

    BaseRetriever keeps it to itself; the stages need it (`configurable`, metadata).
    """
    return {"_config": ensure_config(config)} if declared(method, ["_config"]) else {}


def _with_dense_scores(retriever: Runnable[str, Any], ranking: list[Document]) -> list[Document]:
    """Return a ranking with its scores as `dense_score` too, where embeddings gave them."""
    if not _by_embeddings(retriever):
        return ranking
    return [
        with_metadata(document, {DENSE_SCORE: document.metadata[FIRST_STAGE_SCORE]})
        if FIRST_STAGE_SCORE in document.metadata
        else document
        for document in ranking
    ]


def _by_embeddings(retriever: Any) -> bool:
    """Return whether a stage, whatever LangChain wrapped it in, scores by embeddings alone."""
    parts = may_become(retriever)
    if parts is None:
        return getattr(retriever, "by_embeddings", False) is True
    return all(map(_by_embeddings, parts))


class _Stage(NamedTuple):
    """A stage of one call."""

    retriever: FirstStage
    kwargs: dict[str, Any]
    tag: str
    weight: float
    depth: int


def hybrid_retriever(
    documents: Iterable[Document],
    embeddings: Embeddings,
    *,
    k: int = 50,
    weights: Sequence[float] | None = None,
    depths: Sequence[int | None] | None = None,
    fusion: Fusion = "ranks",
    language: str | None = ENGLISH,
    preprocess_func: TextToTerms | None = None,
) -> HybridRetriever:
    """Return the usual hybrid over `documents`: BM25 and embeddings, all in memory.

    Args:
        documents: The corpus, each document with an id of its own. Those without an id are found
            under the id `#<position>`, counted from 0; the documents themselves stay as they are.
        embeddings: The embedding model; it embeds the whole corpus here.
        k: How many documents to return at most.
        weights: How much BM25 and the embeddings count, at least 0; None for 1 each.
        depths: How many documents BM25 and the embeddings are asked for; None for `k`.
        fusion: By reciprocal "ranks" or by normalised "scores".
        language: As for `BM25Retriever`.
        preprocess_func: As for `BM25Retriever`.

    Raises:
        InputError: There is no document, none with a term, or two have the same id.
        InputTypeError: One of `documents` is not a document.
        MissingExtraError: The packages of the extra `bm25` are not installed.
    """
    corpus: list[Document] = []
    seen: set[str] = set()
    check_embeddings(embeddings)
    for position, document in enumerate(corpus_of(documents, ": Document(text).")):
        name = document.id or f"#{position}"
        if name in seen:
            raise InputError(
                f"documents[{position}] has the id {name!r} of an earlier document. Give each its "
                f"own id, or none to any."
            )
        seen.add(name)
        corpus.append(document if document.id == name else document.model_copy(update={"id": name}))
    bm25 = BM25Retriever.from_documents(
        corpus, k=k, language=language, preprocess_func=preprocess_func
    )
    store = VectorIndex.from_documents(corpus, embeddings)
    return HybridRetriever(
        retrievers=[bm25, DenseRetriever(vectorstore=store, k=k)],
        weights=None if weights is None else listed(weights, "weights", "numbers"),
        depths=None if depths is None else listed(depths, "depths", "numbers"),
        fusion=fusion,
        k=k,
    )
