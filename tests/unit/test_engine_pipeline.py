"""When batches are launched and answered: the worker on a clock that only its own work moves."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine import memory
from langchain_rerank.scorers.engine.memory import TokenBudget
from langchain_rerank.scorers.engine.tokens.pairs import Pair
from langchain_rerank.scorers.engine.worker import Worker
from langchain_rerank.testing.tiny_models import build_tiny_model

WAIT = 30
TOKENS = 128  # of each text


class Clock:
    """The time, in seconds, as far as the work on the host has moved it."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def wait_until(self, moment):
        self.now = max(self.now, moment)


class FakeGpu:
    """A device that computes in order, beside the host; or, with `beside=False`, a CPU."""

    name = "fake"
    padded = False

    def __init__(self, clock, *, per_token, launch=0.0, beside=True):
        self.clock, self.per_token, self.launching, self.beside = clock, per_token, launch, beside
        self.free_at = self.busy = 0.0
        self.in_flight, self.most_in_flight, self.most_tokens = [], 0, 0
        self.batches = []
        self.started_at = []
        self.room = None

    def launch(self, pairs):
        tokens = sum(pair.length for pair in pairs)
        if self.room is not None and tokens > self.room:
            raise RuntimeError(f"CUDA out of memory: {tokens}")
        self.clock.now += self.launching
        seconds = tokens * self.per_token
        self.started_at.append(max(self.clock.now, self.free_at))
        done = self.started_at[-1] + seconds
        self.free_at, self.busy = done, self.busy + seconds
        self.batches.append(tokens)
        self.in_flight.append(tokens)
        self.most_in_flight = max(self.most_in_flight, len(self.in_flight))
        self.most_tokens = max(self.most_tokens, sum(self.in_flight))
        if not self.beside:
            self.clock.wait_until(done)

        def collect():
            self.clock.wait_until(done)
            self.in_flight.remove(tokens)
            return [1.0] * len(pairs)

        return collect


class Held:
    """Keeps the worker from its first request until all are there."""

    def __init__(self, clock, per_text):
        self.clock, self.per_text, self.gate = clock, per_text, threading.Event()

    def __call__(self, query, texts, reading):
        assert self.gate.wait(WAIT)
        self.clock.now += self.per_text * len(texts)
        return [Pair((np.zeros(TOKENS, np.int32),), TOKENS, 0, text == "long") for text in texts]


@pytest.fixture
def run():
    """Answer requests of so many texts, given at time 0, and return their scores."""
    workers = []

    def answer(gpu, sizes, *, per_text=0.0, budget=48 * TOKENS, in_flight=3, **settings):
        tokenize = Held(gpu.clock, per_text)
        worker = Worker(tokenize, gpu, TokenBudget(budget), in_flight=in_flight, clock=gpu.clock)
        workers.append(worker)
        futures = [worker.submit("q", ["a"] * size, None, **settings) for size in sizes]
        tokenize.gate.set()
        scores = [future.result(WAIT) for future in futures]
        return scores, worker

    yield answer
    for worker in workers:
        worker.close()
        worker.join()


def test_where_launching_computes_each_caller_is_answered_at_once(run):
    clock = Clock()
    cpu = FakeGpu(clock, per_token=0.3 / TOKENS / 4, beside=False)
    scores, _ = run(cpu, [4, 4, 4], budget=4 * TOKENS, in_flight=1)
    totals = [sum(one.timings.values()) / 1000 for one in scores]
    assert totals == pytest.approx([0.3, 0.6, 0.9])
    assert cpu.most_in_flight == 1


@pytest.mark.parametrize(("seconds", "expected"), [(0.03, 1), (0.3, 3)])
def test_freed_memory_goes_back_first_after_loading_and_then_every_ten_seconds(
    run, monkeypatch, seconds, expected
):
    given = []
    monkeypatch.setattr(
        "langchain_rerank.scorers.engine.worker.give_back_freed", lambda: given.append(1)
    )
    clock = Clock()
    cpu = FakeGpu(clock, per_token=seconds / TOKENS, beside=False)
    _, worker = run(cpu, [100], budget=TOKENS, in_flight=1)
    worker.close()
    worker.join()
    assert len(given) == expected


def test_three_batches_are_under_way_on_a_gpu_and_the_budget_counts_them_all(run):
    clock = Clock()
    gpu = FakeGpu(clock, per_token=1e-5)
    run(gpu, [400], per_text=1e-4)
    assert gpu.most_in_flight == 3
    assert gpu.most_tokens <= 48 * TOKENS
    assert max(gpu.batches) == 16 * TOKENS


@pytest.mark.parametrize("tokenising", [0.3, 0.6, 0.9])
def test_a_gpu_hardly_waits_for_tokens_that_are_made_faster_than_it_computes(run, tokenising):
    clock = Clock()
    gpu = FakeGpu(clock, per_token=1e-5, launch=1e-4)
    run(gpu, [2000], per_text=tokenising * TOKENS * 1e-5)
    assert gpu.busy / clock.now > 0.9


def test_a_gpu_waits_longer_where_only_one_batch_may_be_under_way(run):
    elapsed = []
    for in_flight in (1, 3):
        clock = Clock()
        gpu = FakeGpu(clock, per_token=1e-5)
        budget = 16 * TOKENS * in_flight
        run(gpu, [2000], per_text=TOKENS * 1e-5, budget=budget, in_flight=in_flight)
        elapsed.append(clock.now)
    assert elapsed[0] > 1.18 * elapsed[1]


def test_the_device_starts_on_a_part_of_a_large_request_while_the_rest_is_tokenised(run):
    clock = Clock()
    gpu = FakeGpu(clock, per_token=1e-6)
    run(gpu, [1000], per_text=1e-3)
    assert gpu.started_at[0] < 0.01  # Eight texts take .008 s; all of them would take 1 s.


def test_batches_are_full_though_requests_are_taken_in_parts(run):
    clock = Clock()
    gpu = FakeGpu(clock, per_token=1e-5)
    run(gpu, [500], per_text=1e-4)
    full = sum(tokens == 16 * TOKENS for tokens in gpu.batches)
    assert full >= len(gpu.batches) - 2  # The first part and the last.


def test_the_times_of_a_request_add_up_to_the_whole(run):
    clock = Clock()
    gpu = FakeGpu(clock, per_token=1e-5, launch=1e-3)
    [first, second], _ = run(gpu, [40, 40], per_text=1e-3, budget=120 * TOKENS)
    for scores in (first, second):
        assert sorted(scores.timings) == ["computing", "tokenising", "waiting"]
        assert all(ms >= 0 for ms in scores.timings.values())
        assert scores.timings["tokenising"] > 0
        assert scores.timings["computing"] > 0
    assert max(sum(one.timings.values()) for one in (first, second)) == pytest.approx(
        1000 * clock.now
    )


def test_the_bound_of_a_request_holds_for_its_batches(run):
    clock = Clock()
    gpu = FakeGpu(clock, per_token=1e-5)
    run(gpu, [100], max_batch_tokens=5 * TOKENS + 1)
    assert max(gpu.batches) == 5 * TOKENS


def test_what_an_engine_has_done_is_counted(run):
    clock = Clock()
    gpu = FakeGpu(clock, per_token=1e-5)
    gpu.room = 8 * TOKENS
    _, worker = run(gpu, [32, 16])
    counted = worker.metrics()
    assert (counted.texts, counted.tokens) == (48, 48 * TOKENS)
    assert counted.batches == len(gpu.batches)
    assert counted.out_of_memory_retries >= 1
    assert counted.seconds == pytest.approx(gpu.busy)
    assert (counted.queue, counted.truncated) == (0, 0)


def test_a_scorer_tells_what_its_engine_has_done(tmp_path):
    # A model of its own: engines are shared, and count what every scorer has them do.
    model = str(build_tiny_model("bert", tmp_path))
    with CrossEncoderScorer(model, device="cpu", max_length=32) as scorer:
        assert scorer.metrics().texts == 0
        scores = scorer.score("which words", ["a few words", "many " * 100])
        counted = scorer.metrics()
    assert (counted.texts, counted.truncated, counted.queue) == (2, 1, 0)
    assert counted.tokens > 32
    assert counted.seconds > 0
    assert scores.timings["computing"] > 0


def test_a_budget_that_shrank_grows_back_after_batches_that_went_well(caplog):
    budget = TokenBudget(1000)
    with caplog.at_level(logging.WARNING, "langchain_rerank"):
        budget.shrink(800)
        budget.shrink(800)  # A second batch of the same size, launched before.
    assert budget.tokens == 400
    assert len(caplog.records) == 1
    assert "Out of memory with 800 tokens" in caplog.text
    for _ in range(10 * memory.GOOD_BATCHES):
        budget.fitted(100)  # So small that they prove nothing.
    assert budget.tokens == 400
    for _ in range(memory.GOOD_BATCHES):
        budget.fitted(390)
    assert budget.tokens == 800
    for _ in range(memory.GOOD_BATCHES):
        budget.fitted(700)
    assert budget.tokens == 1000


def test_a_budget_that_grew_too_far_is_tried_again_ever_later():
    budget = TokenBudget(1000)
    budget.shrink(1000)
    waits = []
    for _ in range(3):
        good = 0
        while budget.tokens == 500:
            budget.fitted(500)
            good += 1
        waits.append(good)
        budget.shrink(1000)
    assert waits == [memory.GOOD_BATCHES * factor for factor in (1, 2, 4)]


def test_a_bound_of_no_tokens_is_refused():
    with pytest.raises(
        ConfigurationError, match=r"max_batch_tokens=0: .* at least 1; use some thousands"
    ):
        CrossEncoderScorer("embedded", max_batch_tokens=0)
