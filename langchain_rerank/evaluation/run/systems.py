"""What can be evaluated: any retriever, chain or compressor of LangChain, any scorer."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig

from langchain_rerank import ranking
from langchain_rerank.base_retrievers.depth import FirstStage
from langchain_rerank.base_retrievers.stages import documents_of
from langchain_rerank.documents import (
    RELEVANCE_SCORE,
    first_stage_score,
    scored_text,
    with_metadata,
)
from langchain_rerank.errors import InputTypeError
from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.run.environment import scorer_settings
from langchain_rerank.evaluation.run.stage import Found, Stage, stopwatch
from langchain_rerank.resolving import ModelLike
from langchain_rerank.result import RerankResult
from langchain_rerank.retriever import CrossEncoderRerankRetriever
from langchain_rerank.scorers import contract
from langchain_rerank.scorers.contract import Scorer, scorer_name

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Key = Callable[[Document], str]
Reranker = Scorer | BaseDocumentCompressor | Runnable[Any, Any]
RerankerLike: TypeAlias = ModelLike | Reranker
"""What may stand as `model` in an evaluation: that of a reranking retriever, and any compressor,
retriever or chain of LangChain."""
FirstStageLike: TypeAlias = FirstStage | Callable[[str], Any]
"""What may stand as `retriever`: a first stage, or a function from a query to documents."""


@dataclass(frozen=True)
class ChainKeys:
    """Where a chain takes the question and puts answer and contexts.

    Attributes:
        question: The key of its input; None passes the question itself.
        answer: The key of the answer; it need not be there.
        contexts: The key of the retrieved documents, or of their texts.
    """

    question: str | None = None
    answer: str = "answer"
    contexts: str = "context"


def own_order(model: object) -> TypeIs[BaseDocumentCompressor | Runnable[Any, Any]]:
    """Return whether LangChain runs a model as it is: it has an order, and no scores to mix."""
    return isinstance(model, (BaseDocumentCompressor, Runnable))


def reranks(model: Reranker) -> TypeIs[Scorer | BaseDocumentCompressor]:
    """Return whether a model puts candidates in order; else it is asked the question itself."""
    return isinstance(model, BaseDocumentCompressor) or not isinstance(model, Runnable)


def reranker_name(model: Reranker) -> str:
    """Return how a report calls a reranker."""
    return type(model).__name__ if own_order(model) else scorer_name(model)


def reranker_settings(model: Reranker) -> dict[str, Any]:
    """Return what identifies a reranker in a report."""
    return {"name": type(model).__name__} if own_order(model) else scorer_settings(model)


def system(
    name: str,
    runnable: Runnable[Any, Any],
    key: Key,
    *,
    keys: ChainKeys | None = None,
    top_n: int | None = None,
    generates: bool = False,
    answers: bool = False,
    cost: int = 1,
) -> Stage:
    """Return the stage of one retriever or chain that is asked the question.

    Args:
        name: What it is called.
        runnable: It returns documents, or a dictionary with them.
        key: What identifies a document.
        keys: How to talk to a chain.
        top_n: How many documents count; None leaves it to the system.
        generates: Whether it may ask a language model.
        answers: Whether a chain has to give an answer, too.
        cost: How long it takes beside other stages, about.
    """
    talk = keys or ChainKeys()

    async def ask(record: Record, config: RunnableConfig) -> dict[str, Found]:
        question: Any = record.question
        if talk.question is not None and not isinstance(runnable, BaseRetriever):
            question = {talk.question: question}
        elapsed = stopwatch()
        if isinstance(runnable, CrossEncoderRerankRetriever):
            output: Any = await runnable.asearch(record.question, config)
        else:
            output = await called(runnable, question, config)
        times = {"total": elapsed()}
        if isinstance(output, RerankResult):
            times, output = {**output.timings, **times}, output.documents
        response = None
        if isinstance(output, Mapping):
            response, output = _of_chain(name, output, talk, answers=answers)
        more = ". A chain returns a dictionary with its answer and its contexts."
        documents = documents_of(output, name, more=more, texts=True)[:top_n]
        found = Found.of(documents, key, latency_ms=times)
        scores = _scores([found.documents[one] for one in found.keys])
        return {name: replace(found, scores=scores, response=response)}

    said = {name: type(runnable).__name__, "top_n": top_n}
    return Stage((name,), ask, settings=said.copy, generates=generates, cost=cost)


async def called(runnable: Runnable[Any, Any], question: Any, config: RunnableConfig) -> Any:
    """Return what a runnable answers."""
    return await _awaited(runnable.ainvoke, runnable.invoke, question, config)


async def _awaited(own: Callable[..., Any], blocking: Callable[..., Any], *given: Any) -> Any:
    """Return what an asynchronous method returns; where there is none, the other in a thread."""
    try:
        return await own(*given)
    except NotImplementedError:
        return await asyncio.to_thread(blocking, *given)


def _of_chain(
    name: str, output: Mapping[Any, Any], talk: ChainKeys, *, answers: bool
) -> tuple[str | None, Any]:
    """Return answer and contexts of what a chain gave."""
    needed = (talk.answer, talk.contexts) if answers else (talk.contexts,)
    missing = next((key for key in needed if key not in output), None)
    if missing is not None:
        raise InputTypeError(
            f"The output of {name} has no {missing!r}, only {', '.join(map(str, output))}. Name "
            f"the right keys with ChainKeys(answer=..., contexts=...)."
        )
    return text_of(output.get(talk.answer)), output[talk.contexts]


def text_of(answer: Any) -> str | None:
    """Return the text of what a chain answered: a string, a message, or anything else."""
    if answer is None or isinstance(answer, str):
        return answer
    return str(getattr(answer, "text", answer))


def _scores(documents: Sequence[Document]) -> tuple[float, ...]:
    """Return the scores that decided the order, where every document has one of the same kind."""
    reranked = [one.metadata.get(RELEVANCE_SCORE) for one in documents]
    known = tuple(
        float(one) for one in reranked if isinstance(one, (int, float)) and math.isfinite(one)
    )
    return known if len(known) == len(documents) else first_stage_scores(documents)


def first_stage_scores(documents: Sequence[Document]) -> tuple[float, ...]:
    """Return the first stage's scores; empty unless every document has a finite one."""
    scores = [first_stage_score(one) for one in documents]
    known = tuple(one for one in scores if one is not None)
    return known if len(known) == len(scores) else ()


async def reranked(
    model: Reranker,
    record: Record,
    candidates: Mapping[str, Document],
    metadata_fields: Sequence[str],
    config: RunnableConfig,
    key: Key,
) -> Found:
    """Return the order that a scorer or a compressor gives the candidates; timed as "rerank".

    Candidates are by key, in first-stage order; `key` says what identifies what is returned.

    Raises:
        InputTypeError: The compressor returned something else than documents.
    """
    if not candidates:
        return Found(latency_ms={"rerank": 0.0})
    keys = list(candidates)
    elapsed = stopwatch()
    if not own_order(model):
        texts = [scored_text(one, metadata_fields) for one in candidates.values()]
        scores = await contract.ascore(model, record.question, texts)
        times = {"rerank": elapsed()}
        order = ranking.order(scores)
        return Found(tuple(keys[i] for i in order), tuple(scores[i] for i in order), times)
    if not isinstance(model, BaseDocumentCompressor):
        raise InputTypeError(f"{reranker_name(model)} is asked questions, not candidates.")
    copies = [with_metadata(one, {}) for one in candidates.values()]
    compressed = await _awaited(
        model.acompress_documents,
        model.compress_documents,
        copies,
        record.question,
        config.get("callbacks"),
    )
    times = {"rerank": elapsed()}
    output = documents_of(compressed, reranker_name(model))
    by_text = {one.page_content: name for name, one in reversed(list(candidates.items()))}

    def known(document: Document) -> str:
        # Some compressors make documents anew, without their ids.
        own = key(document)
        return own if own in candidates else by_text.get(document.page_content, own)

    found = replace(Found.of(output, known, latency_ms=times), scores=_scores(output)).once()
    new = {
        name: one
        for name, one in found.documents.items()
        if name not in candidates or one.page_content != candidates[name].page_content
    }
    return replace(found, documents=new)
