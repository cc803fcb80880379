"""How a judge is asked: limits in time, retries, rate limiters, names."""

import asyncio
from typing import Any

import pytest
from langchain_core.embeddings import FakeEmbeddings
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, Field

from langchain_rerank.errors import ConfigurationError, JudgeError
from langchain_rerank.evaluation.judge.failures import retryable, unreachable
from langchain_rerank.evaluation.judge.judge import embeddings_identity
from langchain_rerank.evaluation.ragas import Judge


class Verdict(BaseModel):
    reason: str
    verdict: int


GOOD = '{"reason": "", "verdict": 1}'


class HTTPError(Exception):
    def __init__(self, status, headers=None):
        super().__init__(f"status {status}")
        self.status_code = status
        self.response = type("Response", (), {"headers": headers or {}, "status_code": status})()


class Scripted(BaseChatModel):
    """Answers with the next item: a text, an error to raise, or a wait in seconds."""

    script: list[Any]
    prompts: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self):
        return "scripted"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        raise NotImplementedError

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        self.prompts.append(messages[-1].content)
        item = self.script[min(len(self.prompts), len(self.script)) - 1]
        if isinstance(item, Exception):
            raise item
        if isinstance(item, float):
            await asyncio.sleep(item)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(str(item)))])


def judge(*script, **settings):
    model = Scripted(script=list(script), prompts=[])
    return Judge(model, **{"backoff": 0.0, "timeout": 5.0, **settings}), model


async def test_an_answer_is_read():
    asked, model = judge(GOOD)
    assert (await asked.answer("?", Verdict, {})).verdict == 1
    assert model.prompts == ["?"]


@pytest.mark.parametrize(
    "error", [HTTPError(429), HTTPError(503), ConnectionError(), TimeoutError()]
)
async def test_what_may_pass_is_asked_again(error):
    asked, model = judge(error, GOOD)
    assert (await asked.answer("?", Verdict, {})).verdict == 1
    assert model.prompts == ["?", "?"]


@pytest.mark.parametrize("error", [HTTPError(401), HTTPError(400), ValueError("no such model")])
async def test_what_will_not_pass_is_asked_once(error):
    asked, model = judge(error, GOOD)
    with pytest.raises(JudgeError, match=r"\(1 attempt\)") as caught:
        await asked.answer("?", Verdict, {})
    assert caught.value.__cause__ is error
    assert len(model.prompts) == 1


async def test_a_judge_that_answers_garbage_is_told_so():
    asked, model = judge("Yes.", GOOD)
    assert (await asked.answer("?", Verdict, {})).verdict == 1
    assert model.prompts[1].startswith("?\n\nYour last answer could not be used: it holds no JSON")


async def test_garbage_to_the_end_is_a_reason():
    asked, model = judge("Yes.")
    with pytest.raises(JudgeError, match=r"cannot be read: .*'Yes\.' \(3 attempts\)"):
        await asked.answer("?", Verdict, {})
    assert len(model.prompts) == 3


async def test_a_timeout_is_a_reason_with_its_seconds():
    asked, _ = judge(30.0, timeout=0.01, max_attempts=2)
    with pytest.raises(JudgeError, match=r"did not answer within 0\.01 s \(2 attempts\)"):
        await asked.answer("?", Verdict, {})


async def test_a_refusal_is_a_reason_with_its_status():
    asked, _ = judge(HTTPError(429))
    with pytest.raises(JudgeError, match=r"refused with HTTP 429: status 429 \(3 attempts\)"):
        await asked.answer("?", Verdict, {})


async def test_the_servers_own_wait_comes_before_the_backoff(monkeypatch):
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr("langchain_rerank.evaluation.judge.judge.asyncio.sleep", sleep)
    asked, _ = judge(HTTPError(429, {"retry-after": "7"}), HTTPError(503), GOOD, backoff=2.0)
    await asked.answer("?", Verdict, {})
    assert waited[0] == 7.0
    assert 2.0 <= waited[1] <= 6.0  # doubled, and spread by a half


class SlowLimiter(BaseRateLimiter):
    """Lets one pass after longer than the judge's timeout."""

    def __init__(self):
        self.passed = 0

    def acquire(self, *, blocking=True):
        raise NotImplementedError

    async def aacquire(self, *, blocking=True):
        assert blocking
        await asyncio.sleep(0.1)
        self.passed += 1
        return True


async def test_a_rate_limiter_is_respected_and_its_wait_is_no_timeout():
    limiter = SlowLimiter()
    model = Scripted(script=[GOOD], prompts=[], rate_limiter=limiter)
    await Judge(model, timeout=0.05).answer("?", Verdict, {})
    assert limiter.passed == 1
    assert model.rate_limiter is limiter


async def test_structured_output_of_the_model_is_used_where_asked_for():
    class Structured(Scripted):
        def with_structured_output(self, schema, **kwargs):
            return RunnableLambda(lambda prompt: schema(reason=prompt, verdict=0))

    answer = await Judge(Structured(script=[]), structured_output=True).answer("?", Verdict, {})
    assert answer == Verdict(reason="?", verdict=0)


async def test_no_structured_answer_is_a_reason():
    class Structured(Scripted):
        def with_structured_output(self, schema, **kwargs):
            return RunnableLambda(lambda prompt: None)

    asked = Judge(Structured(script=[]), structured_output=True, backoff=0.0)
    with pytest.raises(JudgeError, match="Verdict was expected, got None"):
        await asked.answer("?", Verdict, {})


async def test_any_runnable_to_a_text_can_judge():
    asked = Judge(RunnableLambda(lambda _: GOOD), name="lambda")
    assert (await asked.answer("?", Verdict, {})).verdict == 1
    assert asked.label == "lambda"


def test_judges_are_kept_apart_by_what_makes_them_answer_differently():
    model = FakeListChatModel(responses=["a"])
    judges = [
        Judge(model),
        Judge(FakeListChatModel(responses=["b"])),
        Judge(model.bind(temperature=1)),
        Judge(model, name="mine"),
        Judge(model, structured_output=True),
    ]
    assert len({one.identity for one in judges}) == 5
    assert Judge(FakeListChatModel(responses=["a"])).identity == judges[0].identity
    assert Judge(model, timeout=1.0).identity == judges[0].identity


class Warm(Scripted):
    """Says nothing of its settings in LangChain's own way."""

    temperature: float = 0.0


def test_judges_that_do_not_say_what_they_are_set_to_are_told_apart_by_it():
    words = {"a": "b"}
    judges = [
        Warm(script=[], temperature=0.0),
        Warm(script=[], temperature=1.0),
        RunnableLambda(lambda prompt: words["a"]),
        RunnableLambda(lambda prompt: words["b"]),
    ]
    assert len({Judge(one).identity for one in judges}) == 4
    assert Judge(Warm(script=[], temperature=1.0)).identity == Judge(judges[1]).identity
    embeddings = [FakeEmbeddings(size=1), FakeEmbeddings(size=2)]
    assert len({embeddings_identity(one) for one in embeddings}) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": 0},
        {"timeout": "60"},
        {"timeout": float("nan")},
        {"max_attempts": 0},
        {"max_attempts": 1.5},
        {"backoff": -1},
        {"backoff": None},
        {"structured_output": True},
    ],
)
def test_impossible_settings_are_refused(settings):
    model = RunnableLambda(lambda _: GOOD)
    with pytest.raises(ConfigurationError):
        Judge(model, **settings)


def test_a_name_is_no_judge():
    with pytest.raises(ConfigurationError, match=r"Judge\.at\(base_url, model_name\)"):
        Judge("gpt-4")


def test_a_judge_that_cannot_be_reached_is_told_from_one_request_that_fails():
    assert unreachable(ConnectionError())
    assert unreachable(HTTPError(401))
    assert not unreachable(HTTPError(429))
    assert not unreachable(HTTPError(413))
    assert not unreachable(None)
    assert retryable(HTTPError(500))
    assert not retryable(HTTPError(404))
