"""LangChain's models in the shape that RAGAS's metrics want."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeVar

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel

from langchain_rerank.errors import JudgeError
from langchain_rerank.evaluation.judge.judge import Judge, as_judge
from langchain_rerank.evaluation.ragas.importing import import_ragas
from langchain_rerank.evaluation.run.background import run

T = TypeVar("T")
Ask = Callable[[str, type[BaseModel]], Awaitable[BaseModel]]
"""From a prompt, and the model that the answer is read as, to the answer."""


def ragas_llm(judge: Judge | BaseChatModel) -> Any:
    """Return a judge, or any LangChain chat model, as the `llm` of a metric of RAGAS.

    Raises:
        MissingExtraError: ragas is not installed.
    """
    asked = as_judge(judge)
    return llm_of(lambda prompt, model: asked.answer(prompt, model, {}))


def ragas_embeddings(embeddings: Embeddings, *, timeout: float = 60.0) -> Any:
    """Return LangChain embeddings as the `embeddings` of a metric of RAGAS.

    Args:
        embeddings: The embeddings.
        timeout: Seconds for one call.

    Raises:
        MissingExtraError: ragas is not installed.
    """
    return _embeddings_class()(embeddings, timeout)


def llm_of(ask: Ask) -> Any:
    """Return a RAGAS LLM that asks by `ask`."""
    return _llm_class()(ask)


@cache
def _llm_class() -> type:
    base: Any = import_ragas("ragas.llms.base").InstructorBaseRagasLLM

    class LangChainLLM(base):  # type: ignore[misc]  # ragas has no types
        def __init__(self, ask: Ask) -> None:
            self.ask = ask

        def generate(self, prompt: str, response_model: type[BaseModel]) -> BaseModel:
            return run(self.agenerate(prompt, response_model))

        async def agenerate(self, prompt: str, response_model: type[BaseModel]) -> BaseModel:
            return await self.ask(prompt, response_model)

    return LangChainLLM


@cache
def _embeddings_class() -> type:
    base: Any = import_ragas("ragas.embeddings.base").BaseRagasEmbedding

    class LangChainEmbeddings(base):  # type: ignore[misc]  # ragas has no types
        def __init__(self, embeddings: Embeddings, timeout: float) -> None:
            super().__init__()
            self.embeddings = embeddings
            self.timeout = timeout

        def embed_text(self, text: str, **_: Any) -> list[float]:
            return run(self.aembed_text(text))

        async def aembed_text(self, text: str, **_: Any) -> list[float]:
            return await _in_time(self.embeddings.aembed_query(text), self.timeout)

        async def aembed_texts(self, texts: list[str], **_: Any) -> list[list[float]]:
            return await _in_time(self.embeddings.aembed_documents(texts), self.timeout)

    return LangChainEmbeddings


async def _in_time(embedding: Awaitable[T], timeout: float) -> T:
    try:
        return await asyncio.wait_for(embedding, timeout)
    except TimeoutError as error:
        raise JudgeError(f"the embeddings did not answer within {timeout:g} s") from error
    except Exception as error:  # any provider's client: it raises what it likes
        raise JudgeError(f"the embeddings failed with {type(error).__name__}: {error}") from error
