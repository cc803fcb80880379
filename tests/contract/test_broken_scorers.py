"""The contract suite catches each way in which scorers have been seen to break."""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from langchain_rerank.scorers.contract import check_request
from langchain_rerank.testing import (
    CHECKS,
    CountingScorer,
    Samples,
    WordOverlapScorer,
    check_scorer,
    contract_violations,
)

good = WordOverlapScorer().score


class SortedScores:
    def score(self, query, texts):
        return sorted(good(query, texts), reverse=True)


class ReversedScores:
    def score(self, query, texts):
        return good(query, texts)[::-1]


class OneShort:
    def score(self, query, texts):
        return good(query, texts)[:-1]


class LastBatchLost:
    """Batches of four, and the incomplete one is forgotten."""

    def score(self, query, texts):
        return good(query, texts)[: len(texts) // 4 * 4] or good(query, texts)


class NotANumber:
    def score(self, query, texts):
        return [score or float("nan") for score in good(query, texts)]


class InfiniteScores:
    def score(self, query, texts):
        return [score or float("-inf") for score in good(query, texts)]


class NumpyFloats:
    def score(self, query, texts):
        return list(np.array(good(query, texts), dtype=np.float64))


class NumpyArray:
    def score(self, query, texts):
        return np.array(good(query, texts))


class CrashOnEmpty:
    def score(self, query, texts):
        longest = max(len(text) for text in texts)
        return [score * longest / longest for score in good(query, texts)]


class CrashOnBlank:
    def score(self, query, texts):
        check_request(query, texts)
        return [sum(w in query for w in text.split()) / len(text.split()) for text in texts]


class MinMaxOverTheBatch:
    def score(self, query, texts):
        scores = good(query, texts)
        low, high = min(scores, default=0.0), max(scores, default=0.0)
        return [(score - low) / ((high - low) or 1.0) for score in scores]


class SharedStateAcrossThreads:
    """Keeps the query on itself, and reads it again after other threads had their turn."""

    def score(self, query, texts):
        check_request(query, texts)
        self.query = query
        time.sleep(0.0005)
        return good(self.query, texts)


class InputSortedInPlace:
    """Sorts by length for its batches, and puts the scores back but not the texts."""

    def score(self, query, texts):
        check_request(query, texts)
        scores = dict(zip(texts, good(query, texts), strict=True))
        answer = [scores[text] for text in texts]
        if isinstance(texts, list):
            texts.sort(key=len)
        return answer


class DuplicatesDropped:
    def score(self, query, texts):
        check_request(query, texts)
        return good(query, list(dict.fromkeys(texts)))


class SqueezedShape:
    def score(self, query, texts):
        scores = np.array(good(query, texts)).reshape(-1, 1)
        return scores.squeeze().tolist()


class OneColumnPerText:
    def score(self, query, texts):
        return [[score] for score in good(query, texts)]


class PositionBonus:
    """The first-stage rank leaks into the score."""

    def score(self, query, texts):
        return [score + 0.1 / (1 + i) for i, score in enumerate(good(query, texts))]


class Noisy:
    """Dropout was left on."""

    def __init__(self):
        self.random = random.Random(0)

    def score(self, query, texts):
        return [score + self.random.random() / 100 for score in good(query, texts)]


class CacheWithoutTheQuery:
    def __init__(self):
        self.cache = {}

    def score(self, query, texts):
        check_request(query, texts)
        return [self.cache.setdefault(text, good(query, [text])[0]) for text in texts]


class AnythingGoes:
    def score(self, query, texts):
        return good(str(query), [str(text) for text in texts])


class ManyInAnotherOrder(WordOverlapScorer):
    def score_many(self, requests):
        return [self.score(*request) for request in sorted(requests, key=lambda r: r[0])]


class ManyDropsEmptyRequests(WordOverlapScorer):
    def score_many(self, requests):
        return [self.score(*request) for request in requests if request[1]]


class AsyncOnAnotherScale(WordOverlapScorer):
    async def ascore(self, query, texts):
        return [2 * score for score in self.score(query, texts)]


class AsyncAtOnce(WordOverlapScorer):
    def ascore(self, query, texts):
        return self.score(query, texts)


class AsyncInABareThread(WordOverlapScorer):
    async def ascore(self, query, texts):
        pool = ThreadPoolExecutor(1)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, self.score, query, texts)


class CancellationRenamed(WordOverlapScorer):
    async def ascore(self, query, texts):
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError as error:
            raise RuntimeError("timed out") from error
        return self.score(query, texts)


class InterruptionSwallowed(WordOverlapScorer):
    def score(self, query, texts):
        scores = []
        try:
            for text in texts:
                scores += super().score(query, [text])
        except BaseException as error:
            if isinstance(error, Exception):
                raise
        return scores


class StuckAfterAnInterruption(WordOverlapScorer):
    """Its state is put back only where nothing was raised."""

    def __init__(self):
        self.state = threading.local()  # so that other threads' calls do not look interrupted

    def score(self, query, texts):
        was_busy = getattr(self.state, "busy", False)
        self.state.busy = True
        try:
            scores = super().score(query, texts)
        except Exception:
            self.state.busy = was_busy
            raise
        self.state.busy = was_busy
        return [-score for score in scores] if was_busy else scores


class HoldsALock(WordOverlapScorer):
    def __init__(self):
        self.lock = threading.Lock()


class Constant:
    def score(self, query, texts):
        check_request(query, texts)
        return [0.5] * len(texts)


BROKEN = [
    (SortedScores, "order", "in the order of the texts, not sorted"),
    (SortedScores, "permutation", "in the order"),
    (ReversedScores, "order", "in the order of the texts"),
    (OneShort, "one_score_per_text", "1 texts gave 0 scores"),
    (LastBatchLost, "one_score_per_text", "5 texts gave 4 scores"),
    (NotANumber, "finite", "is nan"),
    (InfiniteScores, "finite", "is -inf"),
    (NumpyFloats, "python_floats", "numpy.float64, expected float"),
    (NumpyArray, "one_score_per_text", "gave a ndarray, expected a list"),
    (CrashOnEmpty, "empty_input", "raised ValueError"),
    (CrashOnBlank, "odd_texts", "raised ZeroDivisionError"),
    (MinMaxOverTheBatch, "pointwise", "all texts|All texts"),
    (SharedStateAcrossThreads, "thread_safe", "beside 7 other threads"),
    (InputSortedInPlace, "inputs_untouched", "was changed from"),
    (DuplicatesDropped, "duplicates", "gave 2 scores"),
    (SqueezedShape, "single_text", r"One text gave 1\.0|One text gave 0\.\d+"),
    (OneColumnPerText, "single_text", r"One text gave \[\["),
    (PositionBonus, "permutation", "in the order"),
    (PositionBonus, "duplicates", "Equal texts"),
    (Noisy, "repeatable", "a second time"),
    (CacheWithoutTheQuery, "query_read", "the same for every query"),
    (AnythingGoes, "strings_only", "expected TypeError or ValueError"),
    (ManyInAnotherOrder, "score_many_agrees", "returned 0 scores for 8 texts"),
    (ManyDropsEmptyRequests, "score_many_agrees", "raised ScorerContractError"),
    (AsyncOnAnotherScale, "ascore_agrees", "ascore against score"),
    (AsyncAtOnce, "ascore_agrees", "must be a coroutine"),
    (AsyncInABareThread, "context_variables", "without the caller's context variables"),
    (CancellationRenamed, "cancellation", "let it through"),
    (InterruptionSwallowed, "interruption", "An interruption was swallowed"),
    (StuckAfterAnInterruption, "interruption", "After a call was interrupted"),
    (HoldsALock, "copies", "Locks, threads and connections cannot be copied"),
    (Constant, "order", "could not fail"),
]


@pytest.mark.parametrize(
    ("broken", "check", "message"), BROKEN, ids=[f"{b.__name__}-{check}" for b, check, _ in BROKEN]
)
def test_each_broken_scorer_fails_the_check_that_names_its_fault(broken, check, message):
    violations = contract_violations(broken())
    assert check in violations
    assert re.search(message, violations[check])
    with pytest.raises(AssertionError, match="breaks the scorer contract"):
        check_scorer(broken)


@pytest.mark.parametrize(
    ("broken", "only"),
    [
        (NumpyFloats, {"python_floats"}),
        (CrashOnEmpty, {"empty_input", "score_many_agrees"}),
        (MinMaxOverTheBatch, {"order", "pointwise"}),  # alone, every text has 0
        (SharedStateAcrossThreads, {"thread_safe", "ascore_agrees"}),
        (InputSortedInPlace, {"inputs_untouched"}),
        (AnythingGoes, {"strings_only"}),
        (ManyInAnotherOrder, {"score_many_agrees"}),
        (AsyncOnAnotherScale, {"ascore_agrees"}),
    ],
)
def test_a_single_fault_does_not_drown_in_others(broken, only):
    assert set(contract_violations(broken())) == only


def test_a_listwise_scorer_passes_when_it_says_so():
    class Declared(MinMaxOverTheBatch):
        pointwise = False

    check_scorer(Declared)


def test_a_wider_tolerance_lets_small_differences_through():
    class HalfPrecision:
        def score(self, query, texts):
            return [s + 0.001 * len(texts) for s in good(query, texts)]

    assert set(contract_violations(HalfPrecision())) == {"pointwise"}
    check_scorer(HalfPrecision, Samples(tolerance=0.01))


def test_a_known_failure_is_expected_and_reported_once_it_passes():
    known = {"copies": "the lock of the client library"}
    check_scorer(HoldsALock, expected_failures=known)
    with pytest.raises(AssertionError, match="passes, though it is expected to fail"):
        check_scorer(WordOverlapScorer, expected_failures=known)
    with pytest.raises(AssertionError, match="There is no check 'copy'"):
        check_scorer(HoldsALock, expected_failures={"copy": "misspelt"})


def test_the_scorer_is_closed_whether_it_passes_or_not():
    made = []

    def make(scorer):
        made.append(CountingScorer(scorer))
        return made[-1]

    check_scorer(lambda: make(WordOverlapScorer()))
    with pytest.raises(AssertionError):
        check_scorer(lambda: make(Constant()))
    assert [scorer.closed for scorer in made] == [True, True]


def test_every_check_is_failed_by_some_broken_scorer():
    assert {check for _, check, _ in BROKEN} == set(CHECKS)


THIRD_PARTY = """
import numpy
import pytest

from langchain_rerank.testing import ScorerContract, WordOverlapScorer

class NumpyScorer:
    def score(self, query, texts):
        return list(numpy.array(WordOverlapScorer().score(query, texts)))

class TestNumpyScorer(ScorerContract):
    @pytest.fixture
    def scorer(self):
        return NumpyScorer()

class TestKnown(TestNumpyScorer):
    expected_failures = {"python_floats": "numpy"}
"""


def test_a_third_party_runs_every_check_as_a_pytest_of_its_own(tmp_path):
    (tmp_path / "test_scorer.py").write_text(THIRD_PARTY)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    run = subprocess.run(
        [*command, "-q", "-rf", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1, run.stderr
    assert f"1 failed, {2 * len(CHECKS) - 2} passed, 1 xfailed" in run.stdout
    assert "test_contract[python_floats]" in run.stdout
