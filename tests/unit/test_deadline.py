"""The deadline: whatever the scorer is, the caller goes on in time and nothing is left queued."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import closing

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from langchain_rerank import CrossEncoderReranker, CrossEncoderRerankRetriever, CrossEncoderScorer
from langchain_rerank.errors import ScorerError, ScorerTimeoutError, ScorerUnavailableError
from langchain_rerank.scorers import deadline
from langchain_rerank.testing import CountingScorer, WordOverlapScorer
from langchain_rerank.testing.tiny_models import build_tiny_model
from langchain_rerank.wrappers import (
    CachedScorer,
    CascadeScorer,
    FallbackScorer,
    LongDocumentScorer,
    MixedScorer,
    ShardedScorer,
)

QUERY, TEXTS = "red fox", ["a hen", "a red fox", "a fox"]
DOCUMENTS = [Document(text) for text in TEXTS]


class Stuck:
    """Has no futures and no async method, and returns only when it is let go."""

    name = "stuck"
    identity = "stuck"

    def __init__(self):
        self.go, self.ended, self.calls = threading.Event(), threading.Event(), 0

    def score(self, query, texts):
        self.calls += 1
        self.go.wait(10.0)
        self.ended.set()
        return [1.0] * len(texts)


@pytest.fixture
def stuck():
    scorer = Stuck()
    yield scorer
    scorer.go.set()
    if scorer.calls:
        assert scorer.ended.wait(5.0)


STACKS = {
    "alone": lambda stuck: stuck,
    "cached": CachedScorer,
    "long": LongDocumentScorer,
    "sharded": lambda stuck: ShardedScorer(stuck, stuck),
    "cascade": lambda stuck: CascadeScorer(stuck, WordOverlapScorer(), keep=2),
    "second of a cascade": lambda stuck: CascadeScorer(WordOverlapScorer(), stuck, keep=2),
}


def retriever(scorer, **settings):
    base = RunnableLambda(lambda _: DOCUMENTS)
    settings = {"timeout": 0.05, "top_n": 2, "first_stage_k": 20} | settings
    return CrossEncoderRerankRetriever(base_retriever=base, model=scorer, **settings)


def searched(called, asked):
    """Return what `asked` finds, called from a thread or from an event loop."""
    return asked.search(QUERY) if called == "sync" else asyncio.run(asked.asearch(QUERY))


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("called", ["sync", "async"])
def test_a_scorer_without_futures_does_not_keep_its_caller(stack, called, stuck):
    asked = retriever(STACKS[stack](stuck))
    started = time.monotonic()
    with pytest.raises(ScorerTimeoutError, match="did not score in the time") as caught:
        searched(called, asked)
    assert time.monotonic() - started < 3.0
    assert caught.value.retryable
    assert not stuck.ended.is_set()


@pytest.mark.parametrize("called", ["sync", "async"])
def test_on_error_first_stage_keeps_the_first_stages_order(called, stuck):
    reranker = CrossEncoderReranker(model=stuck, timeout=0.05, on_error="first_stage")
    if called == "sync":
        result = reranker.rerank(DOCUMENTS, QUERY)
    else:
        result = asyncio.run(reranker.arerank(DOCUMENTS, QUERY))
    assert [one.page_content for one in result.documents] == TEXTS
    assert isinstance(result.error, ScorerTimeoutError)
    assert result.scores == []


def test_calls_that_hang_do_not_take_the_threads_of_others(stuck):
    async def many():
        asked = retriever(stuck)
        late = await asyncio.gather(
            *(asked.asearch(QUERY) for _ in range(8)), return_exceptions=True
        )
        assert {type(one) for one in late} == {ScorerTimeoutError}
        return await retriever(WordOverlapScorer(), timeout=5.0).asearch(QUERY)

    assert asyncio.run(many()).scores == [1.0, 0.5]


@pytest.mark.parametrize("timeout", [None, 5.0])
@pytest.mark.parametrize("called", ["sync", "async"])
def test_in_time_the_result_is_the_same(called, timeout):
    assert searched(called, retriever(WordOverlapScorer(), timeout=timeout)).scores == [1.0, 0.5]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "5"])
def test_an_impossible_timeout_is_refused(timeout):
    with pytest.raises(ValueError, match="must be a number of seconds above 0"):
        CrossEncoderReranker(model=WordOverlapScorer(), timeout=timeout)
    with pytest.raises(ValueError, match="must be a number of seconds above 0"):
        FallbackScorer(WordOverlapScorer(), WordOverlapScorer(), timeout=timeout)


def test_nothing_new_begins_after_the_deadline(stuck):
    second = CountingScorer(WordOverlapScorer())
    with pytest.raises(ScorerTimeoutError):
        retriever(CascadeScorer(stuck, second, keep=2)).search(QUERY)
    stuck.go.set()
    assert stuck.ended.wait(5.0)
    time.sleep(0.05)
    assert second.calls == 0


def test_a_scorers_own_error_in_time_is_its_own():
    class Down:
        def score(self, query, texts):
            raise ScorerUnavailableError("down")

    class Slow:
        def score(self, query, texts):
            raise TimeoutError("mine")

    for scorer, error in ((Down(), ScorerUnavailableError), (Slow(), ScorerError)):
        for called in ("sync", "async"):
            with pytest.raises(error, match=r"(down|mine)$"):
                searched(called, retriever(scorer, timeout=5.0))


@pytest.mark.parametrize("called", ["sync", "async"])
def test_a_fallback_gives_its_first_scorer_so_long_and_then_asks_the_second(called, stuck):
    scorer = FallbackScorer(stuck, WordOverlapScorer(), timeout=0.05)
    scores = (
        scorer.score(QUERY, TEXTS) if called == "sync" else asyncio.run(scorer.ascore(QUERY, TEXTS))
    )
    assert scores == [0.0, 1.0, 0.5]


def test_a_fallback_within_a_deadline_ends_with_it(stuck):
    second = CountingScorer(WordOverlapScorer())
    with pytest.raises(ScorerTimeoutError):
        retriever(FallbackScorer(stuck, second, timeout=60.0)).search(QUERY)
    stuck.go.set()
    assert stuck.ended.wait(5.0)
    time.sleep(0.05)
    assert second.calls == 0


def test_a_longer_timeout_inside_does_not_outlast_a_shorter_one_outside():
    def inner():
        return deadline.within(60.0, "inner", deadline.remaining)

    assert deadline.within(0.5, "outer", inner) <= 0.5
    assert (
        deadline.within(60.0, "outer", lambda: deadline.within(0.5, "i", deadline.remaining)) <= 0.5
    )
    assert deadline.remaining() is None


@pytest.fixture
def slow_model(tmp_path, monkeypatch):
    """A tiny local model whose forward pass waits until it is let go."""
    scorer = CrossEncoderScorer(build_tiny_model("bert", tmp_path / "tiny"), device="cpu")
    scorer.load()
    worker = scorer._engine._worker
    launch, gate, begun = worker._forward.launch, threading.Event(), threading.Event()
    sizes = []

    class Forward:
        def __getattr__(self, name):
            return getattr(real, name)

        def launch(self, pairs):
            begun.set()
            gate.wait(10.0)
            sizes.append(len(pairs))
            return launch(pairs)

    real = worker._forward
    monkeypatch.setattr(worker, "_forward", Forward())
    yield scorer, gate, begun, sizes, worker
    gate.set()
    scorer.close()


@pytest.mark.parametrize("called", ["sync", "async"])
def test_of_a_local_model_queued_work_is_cancelled_and_a_running_batch_dropped(called, slow_model):
    scorer, gate, begun, sizes, worker = slow_model
    texts = [f"text {i} " * 30 for i in range(400)]
    found = RunnableLambda(lambda _: [Document(text) for text in texts])
    asked = CrossEncoderRerankRetriever(
        base_retriever=found, model=scorer, first_stage_k=500, timeout=0.2
    )
    with pytest.raises(ScorerTimeoutError):
        searched(called, asked)
    assert begun.is_set()
    gate.set()
    # The next request finds an empty queue, and gets its own scores and nobody else's.
    assert len(scorer.score(QUERY, TEXTS)) == 3
    assert sum(sizes) < len(texts)
    assert worker._waiting == 0
    assert scorer.score(QUERY, TEXTS) == pytest.approx(scorer.score(QUERY, TEXTS), abs=1e-6)


@pytest.mark.parametrize("called", ["sync", "async"])
def test_a_scorer_that_hangs_for_hours_does_not_use_up_the_threads(called, stuck, monkeypatch):
    monkeypatch.setattr(deadline, "_MOST_LEFT", 3)
    before = threading.active_count()
    asked = retriever(stuck, timeout=0.01, on_error="first_stage")
    errors = [searched(called, asked).error for _ in range(10)]
    assert [type(one) for one in errors] == [ScorerTimeoutError] * 3 + [ScorerUnavailableError] * 7
    assert "3 calls ends that ran out of time" in str(errors[-1])
    assert stuck.calls == 3
    assert threading.active_count() <= before + 4
    # Others are not held up by it, and it is asked again when it goes on.
    other = retriever(FallbackScorer(stuck, WordOverlapScorer(), timeout=0.01), timeout=5.0)
    assert searched(called, other).scores == [1.0, 0.5]
    stuck.go.set()
    while deadline._left:
        time.sleep(0.001)
    assert searched(called, retriever(stuck, timeout=5.0)).scores == [1.0, 1.0]


def test_a_wrapper_that_hangs_holds_no_other_wrapper_up(stuck, tmp_path, monkeypatch):
    class Hanging:
        def embed_query(self, _text):
            stuck.go.wait()
            return [1.0]

        def embed_documents(self, texts):
            return [[1.0]] * len(texts)

    monkeypatch.setattr(deadline, "_MOST_LEFT", 1)
    mixed = MixedScorer(WordOverlapScorer(), Hanging())
    assert isinstance(
        searched("async", retriever(mixed, timeout=0.05, on_error="first_stage")).error,
        ScorerTimeoutError,
    )
    with closing(CachedScorer(WordOverlapScorer(), path=tmp_path / "scores.db")) as cached:
        assert searched("async", retriever(cached, timeout=5.0)).scores == [1.0, 0.5]
    stuck.go.set()
