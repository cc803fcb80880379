"""The fallback: scorer errors only, the whole call, and never silently."""

from __future__ import annotations

import asyncio
import logging

import pytest

from langchain_rerank.errors import (
    ConfigurationError,
    InputTypeError,
    ScorerOutOfMemoryError,
    ScorerUnavailableError,
)
from langchain_rerank.testing import CountingScorer, WordOverlapScorer
from langchain_rerank.wrappers import CachedScorer, FallbackScorer


class FailingScorer:
    name = "failing"

    def __init__(self, error):
        self.error = error

    def score(self, query, texts):
        if isinstance(self.error, float):
            return [self.error] * len(texts)
        raise self.error


def test_the_primary_answers_while_it_can(caplog):
    secondary = CountingScorer(WordOverlapScorer())
    scorer = FallbackScorer(WordOverlapScorer(), secondary)
    assert scorer.score("fox", ["fox"]) == [1.0]
    assert secondary.calls == 0
    assert caplog.records == []


@pytest.mark.parametrize(
    "error", [ScorerUnavailableError("down"), ScorerOutOfMemoryError("full"), float("nan")]
)
def test_a_scorer_error_or_a_broken_contract_falls_back_with_a_warning(error, caplog):
    scorer = FallbackScorer(FailingScorer(error), WordOverlapScorer())
    with caplog.at_level(logging.WARNING):
        assert scorer.score("fox", ["fox", "hen"]) == [1.0, 0.0]
    assert "failing could not score" in caplog.text
    assert "word-overlap answers instead" in caplog.text


async def test_async_falls_back_too():
    scorer = FallbackScorer(FailingScorer(ScorerUnavailableError("down")), WordOverlapScorer())
    assert await scorer.ascore("fox", ["fox"]) == [1.0]


def test_all_requests_of_a_call_come_from_one_scorer():
    class FailsOnce(WordOverlapScorer):
        def score(self, query, texts):
            if query == "two":
                raise ScorerUnavailableError("down")
            return [9.0] * len(texts)

    scorer = FallbackScorer(FailsOnce(), WordOverlapScorer())
    assert scorer.score_many([("one", ["one"]), ("two", ["two"])]) == [[1.0], [1.0]]


@pytest.mark.parametrize("error", [ZeroDivisionError(), ValueError("bug"), KeyboardInterrupt()])
def test_bugs_and_interrupts_come_through(error):
    secondary = CountingScorer(WordOverlapScorer())
    with pytest.raises(type(error)):
        FallbackScorer(FailingScorer(error), secondary).score("fox", ["fox"])
    assert secondary.calls == 0


async def test_cancellation_comes_through():
    class Slow(WordOverlapScorer):
        async def ascore(self, query, texts):
            await asyncio.Event().wait()

    secondary = CountingScorer(WordOverlapScorer())
    task = asyncio.create_task(FallbackScorer(Slow(), secondary).ascore("fox", ["fox"]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert secondary.calls == 0


def test_both_failing_raises_the_second_error_with_the_first_as_context():
    first, second = ScorerUnavailableError("first"), ScorerUnavailableError("second")
    with pytest.raises(ScorerUnavailableError, match="second") as caught:
        FallbackScorer(FailingScorer(first), FailingScorer(second)).score("q", ["a"])
    assert caught.value.__context__ is first


def test_wrong_types_are_no_reason_to_fall_back():
    secondary = CountingScorer(WordOverlapScorer())
    with pytest.raises(InputTypeError):
        FallbackScorer(WordOverlapScorer(), secondary).score("q", [None])
    assert secondary.calls == 0


def test_it_cannot_be_cached_since_two_scales_would_mix():
    with pytest.raises(ConfigurationError, match="fallback"):
        CachedScorer(FallbackScorer(WordOverlapScorer(), WordOverlapScorer()))
