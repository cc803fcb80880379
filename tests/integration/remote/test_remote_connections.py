"""One pool for every thread and event loop: cancelled, closed, copied, forked, forgotten."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_rerank import BM25Retriever, CrossEncoderRerankRetriever, RemoteScorer
from langchain_rerank.errors import ScorerClosedError, ScorerContractError
from langchain_rerank.testing import WordOverlapScorer

pytestmark = pytest.mark.loopback

QUERY, TEXTS = "which vitamin prevents scurvy", ["Vitamin C prevents scurvy.", "Paris."]
LOCAL = WordOverlapScorer().score(QUERY, TEXTS)


@pytest.fixture
def threads():
    """Return the threads of scorers that the test opened; others may have some of their own."""
    before = set(threading.enumerate())

    def opened():
        new = set(threading.enumerate()) - before
        return [one for one in new if one.name == "langchain-rerank-remote"]

    return opened


def until(condition):
    end = time.monotonic() + 5.0
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_one_pool_serves_several_loops_and_threads_at_once(serve, connect, threads):
    server = serve("tei")
    server.delay = 0.01
    scorer = connect(server)

    async def some():
        return await asyncio.gather(*(scorer.ascore(QUERY, TEXTS) for _ in range(5)))

    with ThreadPoolExecutor(4) as pool:
        loops = [pool.submit(asyncio.run, some()) for _ in range(2)]
        calls = [pool.submit(scorer.score, QUERY, TEXTS) for _ in range(5)]
        assert [one.result() for one in loops] == [[LOCAL] * 5] * 2
        assert [one.result() for one in calls] == [LOCAL] * 5
    assert len(threads()) == 1
    assert server.connections <= 8


def test_connections_are_used_again(serve, connect):
    server = serve("tei")
    scorer = connect(server)
    for _ in range(5):
        assert scorer.score(QUERY, TEXTS) == LOCAL
    assert server.connections == 1


async def test_cancelling_breaks_the_request_off_and_leaves_the_scorer_as_it_was(serve, connect):
    server = serve("tei")
    server.delay = 0.3
    scorer = connect(server, max_concurrency=1)
    task = asyncio.create_task(scorer.ascore(QUERY, TEXTS * 40))  # 80 texts: three requests
    while not server.seen:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.delay = 0.0
    assert await scorer.ascore(QUERY, TEXTS) == LOCAL
    assert len(server.seen) == 2  # what waited was never sent


def test_closing_answers_who_waits_and_the_scorer_opens_again(serve, connect, threads):
    server = serve("tei")
    server.delay = 0.3
    scorer = connect(server)

    async def one():
        await scorer.ascore(QUERY, TEXTS)

    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(scorer.score, QUERY, TEXTS), pool.submit(asyncio.run, one())]
        assert until(lambda: len(server.seen) == 2)
        scorer.close()
        for future in waiting:
            with pytest.raises(ScorerClosedError, match="was closed before it answered"):
                future.result()
    assert threads() == []
    server.delay = 0.0
    assert scorer.score(QUERY, TEXTS) == LOCAL
    scorer.close()
    scorer.close()
    assert threads() == []


@pytest.mark.parametrize("reached", [True, False])
def test_a_scorer_that_is_forgotten_closes_its_connections(serve, threads, caplog, reached):
    caplog.set_level("CRITICAL", "langchain_rerank")  # a kept record keeps the traceback
    # Asked by a retriever, whose call the event loop and the connections must not keep.
    url = serve("tei").url if reached else "http://127.0.0.1:9"
    retriever = CrossEncoderRerankRetriever(
        base_retriever=BM25Retriever.from_texts(TEXTS),
        model=RemoteScorer(url, dialect="tei", max_attempts=1),
        on_error="first_stage",
    )
    assert (retriever.search(QUERY).error is None) == reached
    assert len(threads()) == 1
    del retriever
    gc.collect()
    assert until(lambda: threads() == [])


def test_a_failed_part_drops_the_parts_that_wait(serve, connect):
    server = serve("tei")
    server.faults.append(lambda handler, answer: handler.reply(200, b"{}"))
    scorer = connect(server, max_texts=1, max_concurrency=1)
    with pytest.raises(ScorerContractError):
        scorer.score_many([(QUERY, TEXTS * 10), (QUERY, TEXTS)])
    assert len(server.seen) <= 2
    assert scorer.score(QUERY, TEXTS) == LOCAL


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_has_connections_of_its_own(again, serve, connect, threads):
    scorer = connect(serve("tei", key="k"), api_key="k")
    assert scorer.score(QUERY, TEXTS) == LOCAL
    with again(scorer) as twin:
        assert twin.score(QUERY, TEXTS) == LOCAL
        assert len(threads()) == 2
    assert scorer.score(QUERY, TEXTS) == LOCAL


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_opens_its_own_and_leaves_the_parents_alone(serve, connect):
    scorer = connect(serve("tei"))
    assert scorer.score(QUERY, TEXTS) == LOCAL
    child = os.fork()
    if child == 0:
        right = False
        try:
            right = scorer.score(QUERY, TEXTS) == LOCAL
            scorer.close()
        finally:
            os._exit(0 if right else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert scorer.score(QUERY, TEXTS) == LOCAL
