"""Copies of one model share the work, and the scores are those of one."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_rerank.errors import (
    ConfigurationError,
    RequestRejectedError,
    ScorerUnavailableError,
)
from langchain_rerank.scorers.contract import Scores
from langchain_rerank.testing import CountingScorer, WordOverlapScorer
from langchain_rerank.wrappers import LongDocumentScorer, ShardedScorer
from langchain_rerank.wrappers import sharded as sharded_module
from langchain_rerank.wrappers.sharded import split_evenly


def fleet(n):
    return [CountingScorer(WordOverlapScorer()) for _ in range(n)]


def words(n):
    return [f"fox number {i} {'and more ' * (i % 7)}" for i in range(n)]


def test_a_large_call_is_split_into_shares_of_about_the_same_length():
    copies = fleet(3)
    scores = ShardedScorer(*copies).score("fox number 7", words(300))
    assert scores == WordOverlapScorer().score("fox number 7", words(300))
    lengths = [sum(map(len, copy.texts)) for copy in copies]
    assert max(lengths) - min(lengths) < 100
    assert sum(len(copy.texts) for copy in copies) == 300


def test_one_endless_text_does_not_leave_the_others_to_one_copy():
    copies = fleet(2)
    texts = ["x" * 1_000_000, *["a text of 24 characters."] * 999]
    ShardedScorer(*copies).score("fox", texts)
    fewest, most = sorted(len(copy.texts) for copy in copies)
    assert fewest + most == 1000
    assert most - fewest < 200  # what a model reads of the endless one weighs 166 others


def test_a_small_call_goes_whole_to_one_copy():
    copies = fleet(3)
    ShardedScorer(*copies).score("fox", words(60))
    assert sorted(len(copy.texts) for copy in copies) == [0, 0, 60]


def test_the_texts_of_a_query_stay_one_request_of_each_copy():
    copies = fleet(2)
    ShardedScorer(*copies).score_many([("fox", words(50)), ("hen", words(50))])
    for copy in copies:
        assert sorted(query for requests in copy.asked for query, _ in requests) == ["fox", "hen"]


@given(
    st.lists(
        st.tuples(st.sampled_from(["fox", "hen 3"]), st.lists(st.text(max_size=9))), max_size=4
    ),
    st.integers(1, 4),
)
def test_any_requests_get_the_scores_of_one_copy(requests, n):
    padded = [(query, [*texts, *words(40)]) for query, texts in requests]
    expected = WordOverlapScorer()
    assert ShardedScorer(*fleet(n)).score_many(padded) == [
        expected.score(query, texts) for query, texts in padded
    ]


@given(st.lists(st.integers(0, 50)), st.integers(1, 5))
def test_a_split_has_every_position_once(lengths, shares):
    found = split_evenly(lengths, shares)
    assert len(found) == shares
    assert sorted(i for share in found for i in share) == list(range(len(lengths)))


class Held:
    """Holds its first call until it is let go, to see where a second one goes."""

    def __init__(self):
        self.calls = 0
        self.entered, self.gate = threading.Event(), threading.Event()

    def score(self, query, texts):
        self.calls += 1
        self.entered.set()
        assert self.gate.wait(10)
        return [0.0] * len(texts)


def test_a_call_goes_to_the_copy_that_has_least_to_do():
    first, second = Held(), Held()
    second.gate.set()
    sharded = ShardedScorer(first, second)
    thread = threading.Thread(target=sharded.score, args=("q", ["a long text"]))
    thread.start()
    assert first.entered.wait(10)
    for _ in range(3):
        sharded.score("q", ["b"])
    first.gate.set()
    thread.join()
    assert (first.calls, second.calls) == (1, 3)
    sharded.score("q", ["c"])
    assert first.calls == 2  # what is done no longer counts


def test_shares_of_one_call_run_at_the_same_time():
    meet = threading.Barrier(2, timeout=10)

    class Meeting:
        def score(self, query, texts):
            meet.wait()
            return [1.0] * len(texts)

    assert ShardedScorer(Meeting(), Meeting()).score("q", words(64)) == [1.0] * 64
    assert asyncio.run(ShardedScorer(Meeting(), Meeting()).ascore("q", words(64))) == [1.0] * 64


def awaited(sharded, query, texts):
    return asyncio.run(sharded.ascore(query, texts))


@pytest.mark.parametrize("ask", [ShardedScorer.score, awaited])
def test_the_error_of_a_copy_reaches_the_caller_and_leaves_no_work_noted(ask):
    class Down:
        def score(self, query, texts):
            raise ScorerUnavailableError("copy 2 is away")

    good = fleet(1)[0]
    sharded = ShardedScorer(good, Down())
    with pytest.raises(ScorerUnavailableError, match="copy 2 is away"):
        ask(sharded, "q", words(64))
    assert sharded.score("q", ["fox"]) == [0.0]
    assert "fox" in good.texts  # neither has work, so the first is asked again


def test_notes_come_back_with_their_texts():
    copies = [LongDocumentScorer(WordOverlapScorer(), passage_words=2, overlap_words=0)] * 2
    texts = [f"hen hen fox {i}" for i in range(70)]
    scores = ShardedScorer(*copies).score("fox", texts)
    assert [passage.text for passage in scores.best_passages] == [f"fox {i}" for i in range(70)]


def test_cut_texts_are_counted_over_all_copies():
    class Cutting:
        def score(self, query, texts):
            return Scores([0.0] * len(texts), truncated=len(texts))

    assert ShardedScorer(Cutting(), Cutting()).score("q", words(80)).truncated == 80


def test_the_identity_is_that_of_a_copy_where_all_agree():
    class Known(WordOverlapScorer):
        def __init__(self, identity):
            self.identity = identity

    assert ShardedScorer(Known("m"), Known("m")).identity == "m"
    assert ShardedScorer(Known("m"), Known("n")).identity is None


def test_no_copy_is_refused():
    with pytest.raises(ConfigurationError, match="at least one"):
        ShardedScorer()


class Broken:
    """Fails at once while it is told to."""

    def __init__(self, error):
        self.error, self.calls = error, 0

    def score(self, query, texts):
        self.calls += 1
        if self.error is not None:
            raise self.error
        return [2.0] * len(texts)


@pytest.mark.parametrize("ask", [ShardedScorer.score, awaited])
def test_a_copy_that_fails_does_not_draw_all_calls_to_itself(ask):
    broken, good = Broken(ScorerUnavailableError("away")), fleet(1)[0]
    sharded = ShardedScorer(broken, good)
    failed = 0
    for _ in range(20):
        try:
            assert ask(sharded, "q", ["fox"]) == [0.0]
        except ScorerUnavailableError:
            failed += 1
    assert (failed, broken.calls) == (1, 1)
    assert ask(sharded, "q", words(200)) == [0.0] * 200  # nor a share of a large one


def test_a_copy_that_failed_is_asked_again_after_a_while_or_when_no_other_is_left(monkeypatch):
    broken = Broken(ScorerUnavailableError("away"))
    sharded = ShardedScorer(broken, Broken(ScorerUnavailableError("away too")))
    for _ in range(4):
        with pytest.raises(ScorerUnavailableError):
            sharded.score("q", ["fox"])
    broken.error = None
    assert sharded.score("q", ["fox"]) == [2.0]
    monkeypatch.setattr(sharded_module, "_REST_SECONDS", 0.0)
    alone = ShardedScorer(broken, *fleet(1))
    broken.error = ScorerUnavailableError("away")
    with pytest.raises(ScorerUnavailableError):
        alone.score("q", ["fox"])
    broken.error = None
    assert alone.score("q", ["fox"]) == [2.0]


@pytest.mark.parametrize("error", [RequestRejectedError("too long"), TypeError("a bug")])
def test_a_request_that_is_refused_and_a_bug_are_not_the_copys_fault(error):
    broken = Broken(error)
    sharded = ShardedScorer(broken, *fleet(1))
    for _ in range(3):
        with pytest.raises(type(error)):
            sharded.score("q", ["fox"])
    assert broken.calls == 3
