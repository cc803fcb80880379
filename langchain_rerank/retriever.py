"""`CrossEncoderRerankRetriever`: two-stage retrieval as one LangChain retriever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import patch_config, run_in_executor
from langchain_core.runnables.utils import ConfigurableFieldSpec
from pydantic import ConfigDict, field_validator, model_validator

from langchain_rerank.base_retrievers.call_arguments import (
    arguments_refused,
    only_sync_takes,
)
from langchain_rerank.base_retrievers.depth import depth_of, with_depth
from langchain_rerank.base_retrievers.merging import with_own_scores
from langchain_rerank.base_retrievers.overriding import AsyncFollowsSync
from langchain_rerank.base_retrievers.stages import as_stage, documents_of
from langchain_rerank.calls import call_of, keep_result, receipt_of, taken_up
from langchain_rerank.checks import check_query, shown, whole_number
from langchain_rerank.errors import ConfigurationError, see
from langchain_rerank.fields import Count
from langchain_rerank.reranking import Cut, Reranking
from langchain_rerank.result import RerankResult
from langchain_rerank.scorers.contract import scorer_name

if TYPE_CHECKING:
    from langchain_rerank.base_retrievers.depth import FirstStage
else:
    FirstStage = Any  # or pydantic would refuse a function before it is made a Runnable


class CrossEncoderRerankRetriever(AsyncFollowsSync, Reranking, BaseRetriever):
    """Retriever that fetches candidates from a base retriever and reranks them.

    Examples:
        >>> from langchain_core.documents import Document
        >>> from langchain_core.runnables import RunnableLambda
        >>> from langchain_rerank.testing import WordOverlapScorer
        >>> documents = [Document("Cats sleep."), Document("QLoRA quantises."), Document("Dogs.")]
        >>> retriever = CrossEncoderRerankRetriever(
        ...     base_retriever=RunnableLambda(lambda query: documents),
        ...     model=WordOverlapScorer(),
        ...     top_n=1,
        ... )
        >>> retriever.invoke("What is QLoRA?")[0].page_content
        'QLoRA quantises.'
        >>> len(retriever.invoke("What is QLoRA?", top_n=2))
        2
    """

    # Again, since BaseRetriever would ignore a misspelt setting.
    model_config = ConfigDict(extra="forbid")

    base_retriever: FirstStage
    """The first stage: any `BaseRetriever` or `Runnable[str, list[Document]]`. Never changed."""
    first_stage_k: Count = 50
    """How many candidates are scored. Sets the depth of the base where that is possible, for this
    retriever's calls only; what the base gives beyond it is cut off."""

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """The configurable fields of the base."""
        specs: list[ConfigurableFieldSpec] = self.base_retriever.config_specs
        return specs

    @field_validator("base_retriever")
    @classmethod
    def _check_base(cls, value: Any) -> Runnable[str, Any]:
        return as_stage(value, "base_retriever")

    @model_validator(mode="after")
    def _check_depth(self) -> Self:
        self._check_depths(self.first_stage_k, self.top_n)
        return self

    def search(
        self, query: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> RerankResult:
        """Return documents with scores, rank movement and timings; print it to see a table.

        Args:
            query: The query.
            config: As for `invoke`.
            **kwargs: `top_n`, `first_stage_k` and `score_threshold` override the settings for this
                call; all others (`filter`, say) reach the base retriever.

        Raises:
            InputError: An empty query, or more than `max_candidates` candidates.
            ConfigurationError: An override is impossible, or the base takes no such argument.
            ScorerError: The scorer failed, with `on_error="raise"`.
        """
        with receipt_of(self, scorer_name(self.scorer)) as receipt:
            documents = self.invoke(query, config, **kwargs)
        return receipt.result(query, documents)

    async def asearch(
        self, query: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> RerankResult:
        """Return what `search` returns, without blocking the event loop."""
        with receipt_of(self, scorer_name(self.scorer)) as receipt:
            documents = await self.ainvoke(query, config, **kwargs)
        return receipt.result(query, documents)

    def invoke(
        self,
        input: str,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return the documents kept, best first. See `search` for the arguments."""
        with call_of(self, self._get_relevant_documents, config, kwargs) as declared:
            return super().invoke(input, config, **declared)

    async def ainvoke(
        self,
        input: str,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Return what `invoke` returns, without blocking the event loop."""
        with call_of(self, self._aget_relevant_documents, config, kwargs) as declared:
            return await super().ainvoke(input, config, **declared)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        **kwargs: Any,
    ) -> list[Document]:
        config, kwargs = taken_up(self, kwargs)
        call = self._call(query, kwargs)
        started = perf_counter()
        child = patch_config(config, callbacks=run_manager.get_child("first_stage"))
        candidates = self._retrieved(call, call.base.invoke(query, child, **call.base_kwargs))
        retrieved = perf_counter()
        child = patch_config(config, callbacks=run_manager.get_child("rerank"))
        scored = self._score(query, candidates, child)
        result = self._result(query, candidates, scored, call.cut, retrieved)
        return _finished(self, result, started, retrieved)

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        **kwargs: Any,
    ) -> list[Document]:
        config, kwargs = taken_up(self, kwargs)
        call = self._call(query, kwargs)
        started = perf_counter()
        child = patch_config(config, callbacks=run_manager.get_child("first_stage"))
        if only_sync_takes(call.base, call.base_kwargs):
            found = await run_in_executor(child, call.base.invoke, query, child, **call.base_kwargs)
        else:
            found = await call.base.ainvoke(query, child, **call.base_kwargs)
        candidates = self._retrieved(call, found)
        retrieved = perf_counter()
        child = patch_config(config, callbacks=run_manager.get_child("rerank"))
        scored = await self._ascore(query, candidates, child)
        result = self._result(query, candidates, scored, call.cut, retrieved)
        return _finished(self, result, started, retrieved)

    def _call(self, query: str, kwargs: Mapping[str, Any]) -> _Call:
        """Return one call's settings: ours taken out of `kwargs`, the base set to its depth."""
        check_query(query)
        rest = dict(kwargs)
        cut = self._cut(rest)
        first_stage_k = whole_number(rest.pop("first_stage_k", self.first_stage_k), "first_stage_k")
        self._check_depths(first_stage_k, cut.top_n)
        _check_settings_of_a_call(rest)
        base = with_depth(self.base_retriever, first_stage_k)
        # LangChain would drop these without a word, and a filter that is ignored shows documents
        # that nobody should see.
        if refused := arguments_refused(base, rest):
            raise ConfigurationError(
                f"The base, {base.get_name()}, takes no {', '.join(refused)} in a call. This "
                f"retriever itself takes top_n, first_stage_k and score_threshold; set up anything "
                f"else in the base. {see('arguments-that-the-base-does-not-take')}"
            )
        return _Call(cut, first_stage_k, base, rest)

    def _retrieved(self, call: _Call, found: Any) -> list[Document]:
        """Return the candidates to score out of what the base found."""
        found = documents_of(found, "The base retriever")
        limit = depth_of(call.base)
        if limit is None and not call.base_kwargs:
            deeper = with_depth(self.base_retriever, call.first_stage_k + 1)
            # A depth that nobody can read or set shows in what comes back, unless a filter explains
            # it.
            limit = len(found) if deeper is self.base_retriever else None
        top_n = call.cut.top_n
        if top_n is not None and limit and limit <= top_n < call.first_stage_k:
            self._warn_once(
                f"The base retriever gave {len(found)} documents, not more than "
                f"top_n={top_n}: reranking cannot find what was never retrieved. If the base "
                f"has a depth of its own, raise it there: first_stage_k={call.first_stage_k} "
                f"cannot set it. {see('few-candidates')}"
            )
        candidates = self._candidates(found, limit=call.first_stage_k)
        return with_own_scores(call.base, candidates)

    def _check_depths(self, first_stage_k: int, top_n: int | None) -> None:
        if first_stage_k > self.max_candidates:
            raise ConfigurationError(
                f"first_stage_k={first_stage_k} is more than max_candidates={self.max_candidates}. "
                f"A cross-encoder reads every candidate: lower first_stage_k, or raise "
                f"max_candidates if this is meant. {see('too-many-candidates')}"
            )
        if top_n is not None and first_stage_k <= top_n:
            self._warn_once(
                f"first_stage_k={first_stage_k} is not more than top_n={top_n}: reranking can "
                f"reorder the candidates but not find what was never retrieved. Raise "
                f"first_stage_k (50 is a good start). {see('few-candidates')}"
            )


def _check_settings_of_a_call(kwargs: Mapping[str, Any]) -> None:
    """Refuse what looks like a setting of ours, but would reach the base and do something else."""
    own = CrossEncoderRerankRetriever.model_fields.keys() - BaseRetriever.model_fields.keys()
    if ours := sorted(kwargs.keys() & own):
        raise ConfigurationError(
            f"{', '.join(ours)} cannot be set in a call; top_n, first_stage_k and score_threshold "
            f"can. Build another retriever, or a copy: model_copy(update={{{ours[0]!r}: ...}})."
        )
    if "k" in kwargs:
        raise ConfigurationError(
            f"k={shown(kwargs['k'])}: say top_n for how many documents to return, or "
            f"first_stage_k for how many candidates to rerank."
        )


class _Call(NamedTuple):
    """The settings of one call."""

    cut: Cut
    first_stage_k: int
    base: Runnable[str, Any]
    base_kwargs: dict[str, Any]


def _finished(
    retriever: CrossEncoderRerankRetriever, result: RerankResult, started: float, retrieved: float
) -> list[Document]:
    """Return the documents of `result`, and leave it where `search` looks for it."""
    first_stage_ms = (retrieved - started) * 1000.0
    total_ms = first_stage_ms + result.timings["rerank"]
    timings = {"first_stage": first_stage_ms, **result.timings, "total": total_ms}
    return keep_result(retriever, replace(result, timings=timings))
