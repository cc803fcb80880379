"""The score cache: asks for misses only, keeps what it was told, and never mixes up scorers."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.documents import Document

from langchain_rerank import CrossEncoderReranker
from langchain_rerank.errors import (
    ConfigurationError,
    DataFileError,
    ScorerClosedError,
    ScorerContractError,
    ScorerUnavailableError,
)
from langchain_rerank.scorers.contract import Scores
from langchain_rerank.testing import CountingScorer, WordOverlapScorer
from langchain_rerank.wrappers import CachedScorer, CascadeScorer, LongDocumentScorer, score_stores


class NamedScorer:
    """A constant score under an identity that the test chooses."""

    def __init__(self, value, identity):
        self.value = value
        self.identity = identity

    def score(self, query, texts):
        return [self.value] * len(texts)


@pytest.fixture(params=["memory", "disk"])
def cached(request, tmp_path):
    path = tmp_path / "scores.db" if request.param == "disk" else None
    scorer = CachedScorer(CountingScorer(WordOverlapScorer()), path=path)
    yield scorer
    scorer.close()


def test_only_misses_are_scored_and_each_once(cached):
    (counting,) = cached.scorers
    assert cached.score("red fox", ["fox", "hen", "fox"]) == [0.5, 0.0, 0.5]
    assert cached.score("red fox", ["hen", "red", "fox"]) == [0.0, 0.5, 0.5]
    assert counting.texts == ["fox", "hen", "red"]


def test_a_call_without_misses_asks_nothing(cached):
    (counting,) = cached.scorers
    cached.score("fox", ["fox"])
    cached.score("fox", ["fox", "fox"])
    cached.score("fox", [])
    assert counting.calls == 1


def test_all_requests_share_one_inner_call_and_no_pair_is_asked_twice(cached):
    (counting,) = cached.scorers
    requests = [("fox", ["fox", "hen"]), ("hen", ["fox"]), ("fox", ["hen", "red"]), ("fox", [])]
    assert cached.score_many(requests) == [[1.0, 0.0], [0.0], [0.0, 0.0], []]
    assert counting.asked == [[("fox", ("fox", "hen")), ("hen", ("fox",)), ("fox", ("red",))]]


async def test_the_async_path_fills_and_reads_the_same_cache(cached):
    (counting,) = cached.scorers
    assert await cached.ascore("fox", ["fox", "hen"]) == [1.0, 0.0]
    assert cached.score("fox", ["hen", "fox"]) == [0.0, 1.0]
    assert await cached.ascore("fox", ["hen"]) == [0.0]
    assert counting.texts == ["fox", "hen"]


def test_query_and_text_are_not_run_together(cached):
    assert cached.score("x", [" y x"]) == [1.0]
    assert cached.score("x y", [" x"]) == [0.5]


def test_texts_that_utf8_cannot_hold_are_cached_too(cached):
    lone_surrogate = "fox \ud800"
    assert cached.score("fox", [lone_surrogate]) == [1.0]
    assert cached.score("fox", [lone_surrogate]) == [1.0]


def test_the_file_serves_the_next_scorer_with_the_same_identity(tmp_path):
    path = tmp_path / "new" / "scores.db"
    first = CachedScorer(NamedScorer(0.1 + 0.2, {"model": "m", "dtype": "float32"}), path=path)
    assert first.score("q", ["a"]) == [0.1 + 0.2]
    first.close()
    second = CachedScorer(NamedScorer(9.0, {"dtype": "float32", "model": "m"}), path=path)
    assert second.score("q", ["a", "b"]) == [0.1 + 0.2, 9.0]
    second.close()


@pytest.mark.parametrize(
    "other",
    [{"model": "m", "dtype": "bfloat16"}, {"model": "n", "dtype": "float32"}, {"model": "m"}, "m"],
)
def test_another_identity_never_sees_the_scores(tmp_path, other):
    path = tmp_path / "scores.db"
    first = CachedScorer(NamedScorer(1.0, {"model": "m", "dtype": "float32"}), path=path)
    second = CachedScorer(NamedScorer(2.0, other), path=path)
    assert first.score("q", ["a"]) == [1.0]
    assert second.score("q", ["a"]) == [2.0]
    first.close()
    second.close()


def test_a_scorer_without_identity_is_kept_in_memory_and_refused_on_disk(tmp_path):
    scorer = NamedScorer(1.0, None)
    assert CachedScorer(scorer).score("q", ["a"]) == [1.0]
    with pytest.raises(ConfigurationError, match="NamedScorer has no identity"):
        CachedScorer(scorer, path=tmp_path / "scores.db")
    assert list(tmp_path.iterdir()) == []


def test_an_identity_that_is_no_json_is_refused():
    with pytest.raises(ConfigurationError, match="must be plain JSON data"):
        CachedScorer(NamedScorer(1.0, {"dtype": object()}))


def test_a_listwise_scorer_is_refused():
    cascade = CascadeScorer(WordOverlapScorer(), WordOverlapScorer())
    with pytest.raises(ConfigurationError, match="Cache the scorers inside it"):
        CachedScorer(cascade)


def test_a_bound_below_one_is_refused():
    with pytest.raises(ConfigurationError, match="max_entries=0"):
        CachedScorer(WordOverlapScorer(), max_entries=0)


def test_memory_drops_what_was_used_longest_ago():
    counting = CountingScorer(WordOverlapScorer())
    cached = CachedScorer(counting, max_entries=2)
    cached.score("q", ["a", "b"])
    cached.score("q", ["a"])  # b is now the oldest
    cached.score("q", ["c"])
    counting.asked.clear()
    cached.score("q", ["a", "c"])
    assert counting.texts == []
    cached.score("q", ["b"])
    assert counting.texts == ["b"]


def test_a_call_larger_than_the_bound_is_answered_in_full():
    cached = CachedScorer(WordOverlapScorer(), max_entries=1)
    assert cached.score("fox", ["fox", "hen", "fox"]) == [1.0, 0.0, 1.0]


def test_what_memory_dropped_is_found_on_disk(tmp_path):
    counting = CountingScorer(WordOverlapScorer())
    cached = CachedScorer(counting, path=tmp_path / "scores.db", max_entries=1)
    texts = [f"text {i}" for i in range(1200)]  # more than one statement takes
    first = cached.score("text 7", texts)
    assert cached.score("text 7", texts) == first
    assert counting.calls == 1
    cached.close()


def test_best_passages_and_truncation_are_passed_on(tmp_path):
    class Cutting(WordOverlapScorer):
        def score(self, query, texts):
            return Scores(super().score(query, texts), truncated=len(texts))

    inner = LongDocumentScorer(Cutting(), passage_words=2, overlap_words=0)
    cached = CachedScorer(inner, path=tmp_path / "scores.db")
    fresh = cached.score("fox", ["a hen red fox"])
    again = CachedScorer(inner, path=tmp_path / "scores.db")
    warm = again.score("fox", ["a hen red fox", "fox"])
    assert fresh.best_passages == warm.best_passages[:1]
    assert warm.best_passages[0].text == "red fox"
    assert (fresh.truncated, warm.truncated) == (1, 1)
    cached.close()
    again.close()


def test_a_failure_is_not_cached(tmp_path):
    class Flaky:
        identity = "flaky"
        fails = True

        def score(self, query, texts):
            return [float("nan") if self.fails else 1.0] * len(texts)

    flaky = Flaky()
    cached = CachedScorer(flaky, path=tmp_path / "scores.db")
    with pytest.raises(ScorerContractError):
        cached.score("q", ["a"])
    flaky.fails = False
    assert cached.score("q", ["a"]) == [1.0]
    cached.close()


def test_a_file_that_is_something_else_is_refused_and_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to have a header of a hundred bytes" * 9)
    with pytest.raises(DataFileError, match=r"notes\.txt: Not a readable score cache"):
        CachedScorer(WordOverlapScorer(), path=text)
    assert text.read_text().startswith("not a database")

    foreign = tmp_path / "other.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE users (name)")
    connection.commit()
    connection.close()
    with pytest.raises(DataFileError, match="schema version 0 and 1 tables"):
        CachedScorer(WordOverlapScorer(), path=foreign)


def test_a_path_that_cannot_be_opened_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ScorerUnavailableError, match="cannot be used") as caught:
        CachedScorer(WordOverlapScorer(), path=tmp_path / "file" / "scores.db")
    assert isinstance(caught.value.__cause__, OSError)


def test_a_lock_that_stays_costs_one_warning_and_no_score(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(score_stores, "_BUSY_SECONDS", 0.01)
    path = tmp_path / "scores.db"
    cached = CachedScorer(WordOverlapScorer(), path=path)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    assert cached.score("q", ["a"]) == [0.0]
    assert cached.score("q", ["b"]) == [0.0]
    assert "database is locked" in caplog.text
    assert len(caplog.records) == 1
    blocker.execute("ROLLBACK")
    assert cached.score("q", ["a"]) == [0.0]
    blocker.close()
    cached.close()


def test_a_lock_that_stays_costs_no_scores_of_a_call_with_a_time_limit(tmp_path):
    path = tmp_path / "scores.db"
    cached = CachedScorer(WordOverlapScorer(), path=path)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")  # others may read, and wait to write
    reranker = CrossEncoderReranker(model=cached, timeout=0.4)
    result = reranker.rerank([Document("a fox")], "fox")
    assert result.error is None
    assert result.scores == [1.0]
    blocker.execute("ROLLBACK")
    blocker.close()
    cached.close()


def test_a_lock_that_stays_is_not_waited_for_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(score_stores, "_BUSY_SECONDS", 0.02)
    path = tmp_path / "scores.db"
    cached = CachedScorer(WordOverlapScorer(), path=path)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    for i in range(40):
        assert cached.score("q", [f"text {i}"]) == [0.0]
    assert time.monotonic() - started < 40 * 0.02 / 2
    blocker.execute("ROLLBACK")
    blocker.close()
    time.sleep(score_stores._REST * 0.02)
    assert cached.score("q", ["later"]) == [0.0]
    cached.close()
    counting = CountingScorer(WordOverlapScorer())
    again = CachedScorer(counting, path=path)
    assert again.score("q", ["later"]) == [0.0]
    assert counting.calls == 0
    again.close()


@pytest.mark.parametrize("path", [5, b"scores", "a\0b", True])
def test_what_can_name_no_file_is_refused(path):
    with pytest.raises(ConfigurationError, match="must name a file"):
        CachedScorer(WordOverlapScorer(), path=path)


def test_a_closed_file_says_so_and_closes_twice(tmp_path):
    counting = CountingScorer(WordOverlapScorer())
    cached = CachedScorer(counting, path=tmp_path / "scores.db")
    cached.close()
    cached.close()
    assert counting.closed
    with pytest.raises(ScorerClosedError, match="was closed"):
        cached.score("q", ["a"])


def test_a_full_disk_is_named_and_what_fits_later_is_kept(tmp_path):
    store = score_stores.SqliteStore(tmp_path / "scores.db")
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = {i.to_bytes(20, "little"): score_stores.Entry(float(i)) for i in range(2000)}
    for _ in range(2):
        with pytest.raises(ScorerUnavailableError, match="database or disk is full"):
            store.put(many)
    store._connection.execute("PRAGMA max_page_count = 1000000")
    store.put(many)
    assert store.get(list(many)) == many
    store.close()


def test_a_failed_commit_keeps_nothing_and_does_not_break_the_next(tmp_path):
    store = score_stores.SqliteStore(tmp_path / "scores.db")
    store._connection.executescript(  # the broken reference is noticed by COMMIT, not before
        """
        PRAGMA foreign_keys = ON;
        CREATE TABLE refused (key REFERENCES scores(key) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER refuse AFTER INSERT ON scores WHEN new.score < 0
            BEGIN INSERT INTO refused VALUES (x'ff'); END;
        """
    )
    with pytest.raises(DataFileError, match="FOREIGN KEY"):
        store.put({b"bad": score_stores.Entry(-1.0)})
    store.put({b"good": score_stores.Entry(1.0)})
    assert store.get([b"bad", b"good"]) == {b"good": score_stores.Entry(1.0)}
    store.close()


def through_pickle(scorer):
    return pickle.loads(pickle.dumps(scorer))


@pytest.mark.parametrize("clone", [copy.deepcopy, through_pickle])
def test_a_copy_shares_the_file(tmp_path, clone):
    cached = CachedScorer(CountingScorer(WordOverlapScorer()), path=tmp_path / "scores.db")
    cached.score("q", ["a"])
    copied = clone(cached)
    copied.score("q", ["a", "b"])
    assert copied.scorers[0].asked[-1] == [("q", ("b",))]
    cached.close()
    copied.close()


def test_many_threads_get_the_right_scores_and_fill_one_file(tmp_path):
    cached = CachedScorer(WordOverlapScorer(), path=tmp_path / "scores.db", max_entries=10)
    plain = WordOverlapScorer()
    texts = [f"w{i} w{i + 1} w{i + 2}" for i in range(40)]
    queries = [f"w{i} w{i + 2}" for i in range(40)] * 4
    start = threading.Barrier(8)

    def work(share):
        start.wait()
        return [cached.score(query, texts) for query in queries[share::8]]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(work, range(8)))
    for share, lists in enumerate(answers):
        assert lists == [plain.score(query, texts) for query in queries[share::8]]
    cached.close()
    connection = sqlite3.connect(tmp_path / "scores.db")
    assert connection.execute("SELECT count(*) FROM scores").fetchone() == (40 * 40,)
    connection.close()


def test_many_can_create_the_file_at_the_same_moment(tmp_path):
    start = threading.Barrier(16)

    def create(path):
        start.wait()
        cached = CachedScorer(WordOverlapScorer(), path=path)
        scores = cached.score("fox", ["fox"])
        cached.close()
        return scores

    with ThreadPoolExecutor(16) as pool:  # one creation in 400 was refused when none was retried
        for attempt in range(100):
            paths = [tmp_path / f"{attempt}.db"] * 16
            assert list(pool.map(create, paths)) == [[1.0]] * 16


def _fill(path, start, answers):
    scorer = CachedScorer(WordOverlapScorer(), path=path)
    start.wait()
    texts = [f"w{i}" for i in range(100)]
    answers.put([scorer.score(f"w{i} w{i + 1}", texts) for i in range(20)])
    scorer.close()


def test_processes_share_a_file_from_its_creation_on(tmp_path):
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(2), context.Queue()
    path = tmp_path / "scores.db"
    workers = [context.Process(target=_fill, args=(path, start, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    results = [answers.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    texts = [f"w{i}" for i in range(100)]
    expected = [WordOverlapScorer().score(f"w{i} w{i + 1}", texts) for i in range(20)]
    assert results == [expected, expected]
    counting = CountingScorer(WordOverlapScorer())
    cached = CachedScorer(counting, path=path)
    assert cached.score("w3 w4", texts) == expected[3]
    assert counting.calls == 0
    cached.close()


def _score_in_child(cached, inherited, answers):
    scores = cached.score("fox", ["fox", "hen"])
    answers.put((scores, cached._disk._connection is inherited))
    cached.close()


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this platform cannot fork"
)
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12: threads and fork
def test_a_forked_child_opens_the_file_for_itself(tmp_path):
    cached = CachedScorer(WordOverlapScorer(), path=tmp_path / "scores.db")
    cached.score("fox", ["fox"])
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    child = context.Process(
        target=_score_in_child, args=(cached, cached._disk._connection, answers)
    )
    child.start()
    assert answers.get(timeout=60) == ([1.0, 0.0], False)
    child.join()
    assert child.exitcode == 0
    counting = CountingScorer(WordOverlapScorer())
    again = CachedScorer(counting, path=tmp_path / "scores.db")
    assert again.score("fox", ["fox", "hen"]) == [1.0, 0.0]
    assert counting.calls == 0
    assert cached.score("fox", ["red"]) == [0.0]
    cached.close()
    again.close()
