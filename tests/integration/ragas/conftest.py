"""A judge that answers every metric of RAGAS by simple rules, and what it is asked about."""

import json
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from pydantic import Field

from langchain_rerank import CrossEncoderRerankRetriever
from langchain_rerank.testing import WordOverlapScorer

TOPICS = ("lora", "bm25", "tokens", "cache", "vectors", "prompts")


@pytest.fixture(autouse=True)
def _needs_ragas():
    if find_spec("ragas") is None:
        pytest.skip("ragas is not installed (the extra 'ragas')")


def answer_to(prompt: str) -> str:
    """Return what a judge that goes by single words answers to a prompt of RAGAS."""
    start = prompt.rindex("\ninput: ") + len("\ninput: ")
    data, _ = json.JSONDecoder().raw_decode(prompt, start)
    if "statements" in data:
        verdicts = [
            {"statement": one, "reason": "", "verdict": int(one.split()[0] in data["context"])}
            for one in data["statements"]
        ]
        return json.dumps({"statements": verdicts})
    if "user_input" in data:
        return json.dumps({"rating": 2 if data["user_input"].split()[0] in data["context"] else 0})
    if "response" in data:
        return json.dumps({"question": f"What of {data['response']}", "noncommittal": 0})
    if '"classifications"' in prompt:
        found = int(data["answer"].split()[0] in data["context"])
        one = {"statement": data["answer"], "reason": "", "attributed": found}
        return json.dumps({"classifications": [one]})
    if "context" in data:
        found = int(data["answer"].split()[0] in data["context"])
        return json.dumps({"reason": "", "verdict": found})
    text = data.get("answer") or data.get("text")
    return json.dumps({"statements": [one.strip() for one in text.split(".") if one.strip()]})


class ScriptedJudge(BaseChatModel):
    """Answers by `answer_to`, or as `fault` says; keeps what it was asked."""

    asked: list[str] = Field(default_factory=list)
    fault: Callable[[str], Awaitable[str | None]] | None = None

    @property
    def _llm_type(self) -> str:
        return "scripted-judge"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs: Any):
        raise NotImplementedError

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs: Any):
        prompt = messages[-1].content
        self.asked.append(prompt)
        text = await self.fault(prompt) if self.fault else None
        text = answer_to(prompt) if text is None else text
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


@pytest.fixture
def judge():
    return ScriptedJudge()


@pytest.fixture
def corpus():
    return [
        Document(f"{topic} is explained here, note {number}.", id=f"{topic}{number}")
        for topic in TOPICS
        for number in range(3)
    ]


@pytest.fixture
def questions():
    """Eight questions: one without any hit in the first stage, one without labels."""
    labelled = [
        {
            "id": topic,
            "question": f"{topic} explained note 2",
            "reference": f"{topic} is explained.",
            "reference_context_ids": [f"{topic}2"],
        }
        for topic in TOPICS
    ]
    return [
        *labelled,
        {
            "id": "nothing",
            "question": "unheard words",
            "reference": "none.",
            "reference_context_ids": ["lora0"],
        },
        {"id": "unlabelled", "question": "lora note 1"},
    ]


@pytest.fixture
def retriever(corpus):
    """A first stage that finds the documents of a topic in the order of the corpus."""

    def search(question: str) -> list[Document]:
        return [
            one for one in corpus if one.page_content.split()[0] == question.split(maxsplit=1)[0]
        ]

    return CrossEncoderRerankRetriever(
        base_retriever=RunnableLambda(search), model=WordOverlapScorer(), first_stage_k=3, top_n=2
    )


@pytest.fixture
def make_chain():
    """A RAG chain that answers with the first document it finds."""

    def chain(found):
        return RunnablePassthrough.assign(
            context=lambda asked: found.invoke(asked["input"])
        ).assign(
            answer=lambda asked: asked["context"][0].page_content if asked["context"] else "I pass."
        )

    return chain
