"""The systems under evaluation: a reranking retriever before and after, or any by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from langchain_rerank.base_retrievers.depth import with_depth
from langchain_rerank.base_retrievers.stages import as_stage
from langchain_rerank.duplicates import unique
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.run.environment import scorer_settings
from langchain_rerank.evaluation.run.stage import FIRST_STAGE, RERANKED, Found, Stage, described
from langchain_rerank.evaluation.run.systems import ChainKeys, Key, called, system
from langchain_rerank.retriever import CrossEncoderRerankRetriever

MakeChain = Callable[[Runnable[str, list[Document]]], Runnable[Any, Any]]


def systems_of(
    systems: Any, key: Key, *, chain: MakeChain | None, keys: ChainKeys, top_n: int | None
) -> tuple[dict[str, Runnable[Any, Any]], list[Stage]]:
    """Return what a user gave as systems by name, the baseline first, and the stages that ask them.

    `systems` are those of `RagasEvaluation`, or a single retriever or chain. Before and after
    reranking are one stage where no `chain` is built around them.

    Raises:
        ConfigurationError: None of these.
    """
    one_stage: list[Stage] = []
    if isinstance(systems, CrossEncoderRerankRetriever):
        reranking = systems if top_n is None else systems.model_copy(update={"top_n": top_n})
        systems = {FIRST_STAGE: _first_stage(reranking), RERANKED: reranking}
        one_stage = [_before_and_after(reranking, key)]
    elif not isinstance(systems, Mapping):
        systems = {"retriever": systems}
    if not systems:
        raise ConfigurationError("There is no system to evaluate; give a retriever or a chain.")
    named = {str(name): as_stage(one, f"The system {name!r}") for name, one in systems.items()}
    if chain is not None:
        named = {name: chain(one) for name, one in named.items()}
    elif one_stage:
        return named, one_stage
    return named, [
        system(
            name,
            one,
            key,
            keys=keys,
            top_n=top_n,
            generates=chain is not None or not isinstance(one, BaseRetriever),
            answers=True,
        )
        for name, one in named.items()
    ]


def _before_and_after(retriever: CrossEncoderRerankRetriever, key: Key) -> Stage:
    """Retrieve once and score once, so that both orders are of the same candidates."""

    async def ask(record: Record, config: RunnableConfig) -> dict[str, Found]:
        found = await called(_base(retriever), record.question, config)
        candidates = _candidates(retriever, found)
        before = Found.of(candidates[: retriever.top_n], key)
        try:
            result = await retriever.arerank(candidates, record.question, config.get("callbacks"))
        except Exception as error:  # noqa: BLE001 - the first stage did its part
            return {FIRST_STAGE: before, RERANKED: Found(error=described(error))}
        return {FIRST_STAGE: before, RERANKED: Found.of(result.documents, key)}

    def settings() -> dict[str, Any]:
        return {
            "first_stage": type(retriever.base_retriever).__name__,
            "first_stage_k": retriever.first_stage_k,
            "top_n": retriever.top_n,
            "score_threshold": retriever.score_threshold,
            "first_stage_weight": retriever.first_stage_weight,
            "metadata_fields": list(retriever.metadata_fields),
            "model": scorer_settings(retriever.scorer),
        }

    return Stage((FIRST_STAGE, RERANKED), ask, settings=settings)


def _first_stage(retriever: CrossEncoderRerankRetriever) -> Runnable[str, list[Document]]:
    async def candidates(question: str, config: RunnableConfig) -> list[Document]:
        found = await called(_base(retriever), question, config)
        return _candidates(retriever, found)[: retriever.top_n]

    def sync(question: str, config: RunnableConfig) -> list[Document]:
        found = _base(retriever).invoke(question, config)
        return _candidates(retriever, found)[: retriever.top_n]

    return RunnableLambda(sync, candidates, name=FIRST_STAGE)


def _base(retriever: CrossEncoderRerankRetriever) -> Runnable[str, Any]:
    return with_depth(retriever.base_retriever, retriever.first_stage_k)


def _candidates(retriever: CrossEncoderRerankRetriever, found: list[Document]) -> list[Document]:
    return unique(found, retriever.deduplicate, retriever.id_key)[: retriever.first_stage_k]
