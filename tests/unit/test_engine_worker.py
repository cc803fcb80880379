"""The worker's promises to its callers, with a forward pass that is steered by events."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from concurrent.futures import CancelledError, Future, InvalidStateError

import numpy as np
import pytest

from langchain_rerank.errors import (
    RequestRejectedError,
    ScorerClosedError,
    ScorerError,
    ScorerOutOfMemoryError,
)
from langchain_rerank.scorers.engine.memory import TokenBudget
from langchain_rerank.scorers.engine.requests import Request
from langchain_rerank.scorers.engine.tokens.pairs import Pair
from langchain_rerank.scorers.engine.worker import Worker

WAIT = 30  # Seconds until a broken test gives up; no test waits that long when it passes.


def tokenize(query, texts, instruction):
    """One token per character, whose ids are the characters."""
    if query == "refused":
        raise RequestRejectedError("refused")
    return [
        Pair((np.array([ord(c) for c in text] or [0], np.int32),), max(1, len(text)), 0, False)
        for text in texts
    ]


class Forward:
    """Scores a pair by the sum of its ids; can be held, and can break."""

    name = "test"
    padded = False

    def __init__(self, *, room=None, held=False):
        self.room = room
        self.batches = []
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0 if held else 10_000)

    def launch(self, pairs):
        self.entered.release()
        assert self.gate.acquire(timeout=WAIT)
        tokens = sum(pair.length for pair in pairs)
        if self.room is not None and tokens > self.room:
            raise RuntimeError(f"CUDA out of memory. Tried to compute {tokens} tokens.")
        ids = [pair.parts[0] for pair in pairs]
        if any(ord("!") in row for row in ids):
            raise ValueError("an exclamation mark")
        self.batches.append([pair.length for pair in pairs])
        return [float(row.sum()) for row in ids].copy


def scores_of(texts):
    return [float(sum(map(ord, text))) for text in texts]


@pytest.fixture
def start():
    workers = []

    def build(forward, tokens=64, **settings):
        worker = Worker(tokenize, forward, TokenBudget(tokens), **settings)
        workers.append((worker, forward))
        return worker

    yield build
    for worker, forward in workers:
        worker.close()
        for _ in range(1000):
            forward.gate.release()
        worker.join()


def test_scores_come_in_the_order_of_the_texts(start):
    texts = ["aaa", "b", "cccccc", "", "b"]
    future = start(Forward(), tokens=4).submit("q", texts, None)
    assert future.result(WAIT) == [*scores_of(texts[:3]), 0.0, scores_of(["b"])[0]]


def test_callers_that_wait_at_the_same_time_share_a_batch(start):
    forward = Forward(held=True)
    worker = start(forward)
    first = worker.submit("q", ["a"], None)
    assert forward.entered.acquire(timeout=WAIT)
    others = [worker.submit("q", [text], None) for text in ("bb", "ccc", "dddd")]
    for _ in range(2):
        forward.gate.release()
    assert first.result(WAIT) == scores_of(["a"])
    assert [future.result(WAIT)[0] for future in others] == scores_of(["bb", "ccc", "dddd"])
    assert forward.batches == [[1], [4, 3, 2]]


def test_a_failing_request_fails_alone(start):
    forward = Forward(held=True)
    worker = start(forward)
    first = worker.submit("q", ["a"], None)
    assert forward.entered.acquire(timeout=WAIT)
    good, bad, refused, good_too = (
        worker.submit(query, [text, text], None)
        for query, text in (("q", "ok"), ("q", "no!"), ("refused", "x"), ("q", "fine"))
    )
    for _ in range(100):
        forward.gate.release()
    assert first.result(WAIT) == scores_of(["a"])
    assert good.result(WAIT) == scores_of(["ok", "ok"])
    assert good_too.result(WAIT) == scores_of(["fine", "fine"])
    with pytest.raises(ScorerError, match="could not score 2 texts: ValueError: an exclamation"):
        bad.result(WAIT)
    with pytest.raises(RequestRejectedError, match="refused"):
        refused.result(WAIT)


def test_after_a_request_that_fails_before_any_batch_the_next_is_answered(start):
    worker = start(Forward())
    with pytest.raises(RequestRejectedError, match="refused"):
        worker.submit("refused", ["x"], None).result(WAIT)
    assert worker.submit("q", ["a"], None).result(WAIT) == scores_of(["a"])


def test_memory_that_runs_out_halves_the_batch_and_is_remembered(start):
    forward = Forward(room=10)
    worker = start(forward, tokens=64)
    texts = ["aaaa"] * 12
    assert worker.submit("q", texts, None).result(WAIT) == scores_of(texts)
    assert all(sum(batch) <= 10 for batch in forward.batches)
    assert worker._budget.tokens <= 12
    tried = forward.batches.copy()
    assert worker.submit("q", texts, None).result(WAIT) == scores_of(texts)
    assert len(forward.batches) > len(tried)


def test_a_smaller_batch_is_tried_with_the_memory_of_the_larger_one_free_again(start):
    class Activations:
        """What a forward pass holds while it computes."""

    class Holding(Forward):
        def __init__(self):
            super().__init__(room=10)
            self.left = weakref.WeakSet()
            self.left_at_launch = []

        def launch(self, pairs):
            self.left_at_launch.append(len(self.left))
            activations = Activations()
            self.left.add(activations)
            return super().launch(pairs)

    forward = Holding()
    texts = ["aaaa"] * 12
    assert start(forward).submit("q", texts, None).result(WAIT) == scores_of(texts)
    assert len(forward.left_at_launch) > len(forward.batches), "no batch was too large"
    assert set(forward.left_at_launch) == {0}


def test_a_text_that_never_fits_says_which_setting_to_change(start):
    worker = start(Forward(room=10))
    alone = worker.submit("q", ["a" * 11, "b"], None)
    with pytest.raises(ScorerOutOfMemoryError, match=r"one text of 11 tokens\. Lower max_length"):
        alone.result(WAIT)
    assert worker.submit("q", ["b"], None).result(WAIT) == scores_of(["b"])


def test_a_panic_in_the_tokeniser_is_the_failure_of_its_request_alone(start):
    class Panic(BaseException):
        """What a panic in Rust arrives as."""

    def panicking(query, texts, instruction):
        if query == "bad":
            raise Panic("index out of bounds")
        return tokenize(query, texts, instruction)

    forward = Forward(held=True)
    worker = start(forward)
    worker._tokenize = panicking
    first = worker.submit("q", ["a"], None)
    assert forward.entered.acquire(timeout=WAIT)
    before, bad, behind = (worker.submit(query, ["a"], None) for query in ("q", "bad", "q"))
    forward.gate.release(10)
    with pytest.raises(ScorerError, match="Panic: index out of bounds"):
        bad.result(WAIT)
    assert [one.result(WAIT) for one in (first, before, behind)] == [scores_of(["a"])] * 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_dies_leaves_nobody_waiting(start):
    class Dying(Forward):
        def launch(self, pairs):
            super().launch(pairs)
            raise KeyboardInterrupt

    forward = Dying(held=True)
    worker = start(forward, tokens=2)
    waiting = [worker.submit("q", ["aa"] * texts, None) for texts in (1, 1, 50)]
    assert forward.entered.acquire(timeout=WAIT)
    forward.gate.release(10)
    for one in waiting:
        with pytest.raises(ScorerClosedError):
            one.result(WAIT)


def test_a_request_is_answered_once_whoever_comes_first():
    class Slow(Future):
        """Lets other threads in where they would do harm."""

        def set_running_or_notify_cancel(self):
            time.sleep(0.001)
            running = super().set_running_or_notify_cancel()
            time.sleep(0.001)
            return running

    for _ in range(10):
        request = Request("q", ("a",), None, future=Slow())
        start = threading.Barrier(8)
        failures = []

        def answer(request=request, start=start, failures=failures):
            start.wait(WAIT)
            try:
                request.fail(ScorerClosedError("closed"))
            except (RuntimeError, InvalidStateError) as error:
                failures.append(error)

        threads = [threading.Thread(target=answer) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
        assert failures == []
        assert isinstance(request.future.exception(WAIT), ScorerClosedError)


def test_cancelling_what_fills_the_queue_lets_the_next_caller_in(start):
    forward = Forward(held=True)
    worker = start(forward, max_waiting=100)
    worker.submit("q", ["a"], None)
    assert forward.entered.acquire(timeout=WAIT)
    filling = worker.submit("q", ["a"] * 100, None)
    answers = []
    blocked = threading.Thread(
        target=lambda: answers.append(worker.submit("q", ["b"] * 50, None).result(WAIT))
    )
    blocked.start()
    assert filling.cancel()
    forward.gate.release(100)
    blocked.join(WAIT)
    assert answers == [scores_of(["b"] * 50)]


def test_closing_answers_everyone_who_waits(start):
    forward = Forward(held=True)
    worker = start(forward, tokens=2)
    waiting = [worker.submit("q", ["aa"] * 300, None) for _ in range(5)]
    assert forward.entered.acquire(timeout=WAIT)
    worker.close()
    for _ in range(1000):
        forward.gate.release()
    answers = [future.exception(WAIT) for future in waiting]
    assert [type(answer) for answer in answers[1:]] == [ScorerClosedError] * 4
    worker.join()
    with pytest.raises(ScorerClosedError, match="was closed"):
        worker.submit("q", ["a"], None)


def test_closing_drops_batches_that_are_planned_but_not_launched(start):
    forward = Forward(held=True)
    worker = start(forward, tokens=1)
    planned = worker.submit("q", ["a"] * 8, None)
    assert forward.entered.acquire(timeout=WAIT)
    worker.close()
    for _ in range(100):
        forward.gate.release()
    assert isinstance(planned.exception(WAIT), ScorerClosedError)
    worker.join()
    assert forward.batches == [[1]]


def test_closing_answers_a_request_that_is_only_partly_taken(start):
    forward = Forward(held=True)
    worker = start(forward, tokens=1)
    large = worker.submit("q", ["a"] * 10_000, None)
    assert forward.entered.acquire(timeout=WAIT)
    worker.close()
    for _ in range(20_000):
        forward.gate.release()
    assert isinstance(large.exception(WAIT), ScorerClosedError)
    worker.join()
    assert len(forward.batches) < 10_000


def test_cancelled_work_is_dropped(start):
    forward = Forward(held=True)
    worker = start(forward, tokens=4)
    first = worker.submit("q", ["a"], None)
    assert forward.entered.acquire(timeout=WAIT)
    dropped = worker.submit("q", ["bbbb"] * 50, None)
    kept = worker.submit("q", ["cc"], None)
    assert dropped.cancel()
    for _ in range(100):
        forward.gate.release()
    assert kept.result(WAIT) == scores_of(["cc"])
    assert first.result(WAIT) == scores_of(["a"])
    assert forward.batches == [[1], [2]]
    with pytest.raises(CancelledError):
        dropped.result(WAIT)


async def test_an_asyncio_caller_that_gives_up_drops_its_work(start):
    forward = Forward(held=True)
    worker = start(forward, tokens=4)
    large = asyncio.ensure_future(asyncio.wrap_future(worker.submit("q", ["bbbb"] * 1000, None)))
    await asyncio.to_thread(forward.entered.acquire, timeout=WAIT)
    large.cancel()
    with pytest.raises(asyncio.CancelledError):
        await large
    await asyncio.sleep(0)  # asyncio passes the cancellation on in its next round.
    for _ in range(2000):
        forward.gate.release()
    last = await asyncio.wrap_future(worker.submit("q", ["a"], None))
    assert last == scores_of(["a"])
    assert len(forward.batches) < 10


def test_a_small_request_overtakes_the_rest_of_a_large_one(start):
    forward = Forward(held=True)
    worker = start(forward, tokens=1)
    large = worker.submit("q", ["a"] * 5000, None)
    assert forward.entered.acquire(timeout=WAIT)
    small = worker.submit("q", ["bb"], None)
    for _ in range(20_000):
        forward.gate.release()
    assert small.result(WAIT) == scores_of(["bb"])
    assert large.result(WAIT) == scores_of(["a"] * 5000)
    assert forward.batches.index([2]) < 20  # In the wave after the one under way.


def test_a_full_queue_makes_callers_wait_for_room(start):
    forward = Forward(held=True)
    worker = start(forward, max_waiting=300)
    running = worker.submit("q", ["a"], None)
    assert forward.entered.acquire(timeout=WAIT)
    queued = worker.submit("q", ["b"] * 300, None)
    assert worker.try_submit("q", ["c"], None) is None
    blocked = []
    caller = threading.Thread(target=lambda: blocked.append(worker.submit("q", ["c"], None)))
    caller.start()
    for _ in range(1000):
        forward.gate.release()
    caller.join(WAIT)
    assert blocked[0].result(WAIT) == scores_of(["c"])
    assert running.result(WAIT) == scores_of(["a"])
    assert queued.result(WAIT) == scores_of(["b"] * 300)


def test_a_request_larger_than_the_queue_is_taken_when_nothing_else_waits(start):
    worker = start(Forward(), max_waiting=10)
    texts = ["a"] * 1000
    assert worker.submit("q", texts, None).result(WAIT) == scores_of(texts)


def test_a_list_changed_by_the_caller_afterwards_changes_nothing(start):
    forward = Forward(held=True)
    worker = start(forward)
    first = worker.submit("q", ["a"], None)
    assert forward.entered.acquire(timeout=WAIT)
    texts = ["b", "c"]
    second = worker.submit("q", texts, None)
    texts.clear()
    forward.gate.release()
    forward.gate.release()
    assert first.result(WAIT) == scores_of(["a"])
    assert second.result(WAIT) == scores_of(["b", "c"])
