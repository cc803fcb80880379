"""The systems under evaluation: what each returns for a question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from langchain_rerank.base_retrievers.depth import with_depth
from langchain_rerank.documents import unique
from langchain_rerank.errors import ConfigurationError, InputTypeError
from langchain_rerank.evaluation.run.environment import scorer_settings
from langchain_rerank.evaluation.run.scoring import as_first_stage, described
from langchain_rerank.evaluation.score.results import FIRST_STAGE, RERANKED
from langchain_rerank.retriever import CrossEncoderRerankRetriever

MakeChain = Callable[[Runnable[str, list[Document]]], Runnable[Any, Any]]


@dataclass(frozen=True)
class Found:
    """What a system returned for one question.

    Attributes:
        documents: `(n,)` documents, best first, after the cut.
        response: The answer, where a chain gave one.
        error: Why there is nothing.
    """

    documents: tuple[Document, ...] = ()
    response: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class Stage:
    """One thing to run for every question, and the systems whose results it gives.

    Attributes:
        names: The systems.
        search: Returns what each of them found.
        settings: What identifies it in a report and in a journal.
        generates: Whether a language model may be asked: it is not run for an estimate.
    """

    names: tuple[str, ...]
    search: Callable[[str, RunnableConfig], Awaitable[dict[str, Found]]]
    settings: dict[str, Any]
    generates: bool = False

    async def found(self, question: str, config: RunnableConfig) -> dict[str, Found]:
        """Return what each system found; what one raises is its error."""
        try:
            return await self.search(question, config)
        except Exception as error:  # noqa: BLE001 - anybody's chain: one failure keeps the rest
            return {name: Found(error=described(error)) for name in self.names}


@dataclass(frozen=True)
class ChainKeys:
    """Where a chain takes the question and puts answer and contexts.

    Attributes:
        question: The key of its input; None passes the question itself.
        answer: The key of the answer.
        contexts: The key of the retrieved documents, or of their texts.
    """

    question: str | None = None
    answer: str = "answer"
    contexts: str = "context"


def stages(
    systems: Any, *, chain: MakeChain | None, keys: ChainKeys, top_n: int | None
) -> list[Stage]:
    """Return the stages of what a user gave as systems.

    Args:
        systems: A `CrossEncoderRerankRetriever`, which is evaluated before and after reranking; a
            mapping of retrievers or chains by name, the baseline first; or one of those.
        chain: Builds a RAG chain around a retriever.
        keys: How to talk to a chain.
        top_n: How many documents count; None leaves it to the systems.

    Raises:
        ConfigurationError: None of these.
    """
    if isinstance(systems, CrossEncoderRerankRetriever):
        reranking = systems if top_n is None else systems.model_copy(update={"top_n": top_n})
        if chain is None:
            return [_before_and_after(reranking)]
        systems = {FIRST_STAGE: _first_stage(reranking), RERANKED: reranking}
    elif not isinstance(systems, Mapping):
        systems = {"retriever": systems}
    if not systems:
        raise ConfigurationError("There is no system to evaluate; give a retriever or a chain.")
    made = []
    for name, one in systems.items():
        runnable = as_first_stage(one)
        generates = chain is not None or not isinstance(runnable, BaseRetriever)
        asked = runnable if chain is None else chain(runnable)
        made.append(_single(str(name), asked, keys, top_n, generates=generates))
    return made


def _before_and_after(retriever: CrossEncoderRerankRetriever) -> Stage:
    """Retrieve once and score once, so that both orders are of the same candidates."""

    async def search(question: str, config: RunnableConfig) -> dict[str, Found]:
        candidates = await _candidates(retriever, question, config)
        before = Found(tuple(candidates[: retriever.top_n]))
        try:
            result = await retriever.arerank(candidates, question, config.get("callbacks"))
        except Exception as error:  # noqa: BLE001 - the first stage did its part
            return {FIRST_STAGE: before, RERANKED: Found(error=described(error))}
        return {FIRST_STAGE: before, RERANKED: Found(tuple(result.documents))}

    settings = {
        "first_stage": type(retriever.base_retriever).__name__,
        "first_stage_k": retriever.first_stage_k,
        "top_n": retriever.top_n,
        "score_threshold": retriever.score_threshold,
        "first_stage_weight": retriever.first_stage_weight,
        "metadata_fields": list(retriever.metadata_fields),
        "model": scorer_settings(retriever.scorer),
    }
    return Stage((FIRST_STAGE, RERANKED), search, settings)


def _first_stage(retriever: CrossEncoderRerankRetriever) -> Runnable[str, list[Document]]:
    async def candidates(question: str, config: RunnableConfig) -> list[Document]:
        return (await _candidates(retriever, question, config))[: retriever.top_n]

    def sync(question: str, config: RunnableConfig) -> list[Document]:
        found = with_depth(retriever.base_retriever, retriever.first_stage_k).invoke(
            question, config
        )
        return _kept(retriever, found)[: retriever.top_n]

    return RunnableLambda(sync, candidates, name=FIRST_STAGE)


async def _candidates(
    retriever: CrossEncoderRerankRetriever, question: str, config: RunnableConfig
) -> list[Document]:
    base = with_depth(retriever.base_retriever, retriever.first_stage_k)
    return _kept(retriever, await base.ainvoke(question, config))


def _kept(retriever: CrossEncoderRerankRetriever, found: Sequence[Document]) -> list[Document]:
    return unique(found, retriever.deduplicate)[: retriever.first_stage_k]


def _single(
    name: str, runnable: Runnable[Any, Any], keys: ChainKeys, top_n: int | None, *, generates: bool
) -> Stage:
    async def search(question: str, config: RunnableConfig) -> dict[str, Found]:
        asked: Any = question if keys.question is None else {keys.question: question}
        if isinstance(runnable, BaseRetriever):
            asked = question
        return {name: _read(await runnable.ainvoke(asked, config), keys, top_n)}

    settings = {name: type(runnable).__name__, "top_n": top_n}
    return Stage((name,), search, settings, generates)


def _read(output: Any, keys: ChainKeys, top_n: int | None) -> Found:
    if not isinstance(output, Mapping):
        return Found(tuple(_documents(output))[:top_n])
    missing = [key for key in (keys.answer, keys.contexts) if key not in output]
    if missing:
        raise InputTypeError(
            f"The chain's output has no {missing[0]!r}, only {', '.join(map(str, output))}. Name "
            f"the right keys with ChainKeys(answer=..., contexts=...)."
        )
    answer = output[keys.answer]
    return Found(
        documents=tuple(_documents(output[keys.contexts]))[:top_n],
        response=answer if isinstance(answer, str) else str(getattr(answer, "text", answer)),
    )


def _documents(found: Any) -> list[Document]:
    if not isinstance(found, (list, tuple)):
        raise InputTypeError(
            f"A list of documents was expected, got {type(found).__name__}. A chain returns a "
            f"dictionary with its answer and its contexts."
        )
    return [one if isinstance(one, Document) else Document(page_content=one) for one in found]
