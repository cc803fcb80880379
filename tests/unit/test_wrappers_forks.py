"""What was used before a fork works in the child, from any of its threads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


def output_of(script, *arguments):
    """Run `script` in a process of its own, since forking this one would copy pytest's threads."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


THREADS_SHARE_THE_FILE = """
import os, sys, threading
from langchain_rerank.wrappers.score_stores import Entry, SqliteStore

store = SqliteStore(sys.argv[1])
store.put({b"before": Entry(1.0)})
child = os.fork()
if child == 0:
    start = threading.Barrier(8)
    found = []

    def use(number):
        start.wait()
        try:
            store.put({bytes([number]): Entry(float(number))})
            found.append(store.get([b"before"])[b"before"].score)
        except Exception as error:
            found.append(type(error).__name__)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(*found, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(len(store.get([bytes([number]) for number in range(8)])))
store.close()
"""


def test_the_threads_of_a_forked_child_share_the_file(tmp_path):
    assert output_of(THREADS_SHARE_THE_FILE, tmp_path / "scores.db") == ["1.0"] * 8 + ["8"]


CLOSED_IN_THE_CHILD = """
import os, sys
from langchain_rerank.errors import ScorerClosedError
from langchain_rerank.wrappers import score_stores

store, dropped, closed = (score_stores.SqliteStore(path) for path in sys.argv[1:])
closed.close()
inherited = {id(store._connection), id(dropped._connection)}
child = os.fork()
if child == 0:
    store.close()
    del dropped
    print(inherited == {id(one) for one in score_stores._inherited})
    for one in (store, closed):
        try:
            one.get([b"a"])
        except ScorerClosedError:
            print("closed", flush=True)
    os._exit(0)
os.waitpid(child, 0)
store.put({b"a": score_stores.Entry(1.0)})
print(store.get([b"a"])[b"a"].score)
store.close()
dropped.close()
"""


def test_a_forked_child_closes_nothing_of_its_parent(tmp_path):
    paths = [tmp_path / name for name in ("store.db", "dropped.db", "closed.db")]
    assert output_of(CLOSED_IN_THE_CHILD, *paths) == ["True", "closed", "closed", "1.0"]


OPENS_AT_THE_SECOND_TRY = """
import os, sys
from pathlib import Path
from langchain_rerank.errors import ScorerUnavailableError
from langchain_rerank.wrappers.score_stores import Entry, SqliteStore

folder = Path(sys.argv[1])
store = SqliteStore(folder / "scores.db")
child = os.fork()
if child == 0:
    folder.rename(folder.with_name("away"))
    folder.touch()
    try:
        store.get([b"a"])
    except ScorerUnavailableError:
        print("unavailable", flush=True)
    folder.unlink()
    store.put({b"a": Entry(1.0)})
    print(store.get([b"a"])[b"a"].score, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_file_that_a_child_cannot_open_at_first_is_tried_again(tmp_path):
    assert output_of(OPENS_AT_THE_SECOND_TRY, tmp_path / "cache") == ["unavailable", "1.0"]


ASCORE_ANSWERS = """
import asyncio, os, threading
from langchain_rerank.scorers.contract import ascore

class Meeting:
    def __init__(self, parties):
        self.barrier = threading.Barrier(parties)

    def score(self, query, texts):
        self.barrier.wait(20)
        return [1.0] * len(texts)

async def together(calls):
    scorer = Meeting(calls)
    return await asyncio.gather(*(ascore(scorer, "q", ["a"]) for _ in range(calls)))

asyncio.run(together(4))  # four threads wait for work
child = os.fork()
if child == 0:
    try:
        print(*asyncio.run(asyncio.wait_for(together(4), 20)), flush=True)
    finally:
        os._exit(0)
os.waitpid(child, 0)
"""


def test_ascore_answers_in_a_forked_child():
    assert output_of(ASCORE_ANSWERS) == ["[1.0]"] * 4


HELD_BY_A_THREAD = """
import os, sys, threading
from langchain_rerank.first_stage.bm25 import BM25Retriever
from langchain_rerank.first_stage.bm25_index import BM25Index
from langchain_rerank.scorers.remote import RemoteScorer
from langchain_rerank.testing import WordOverlapScorer
from langchain_rerank.wrappers import ShardedScorer
from langchain_rerank.wrappers.score_stores import MemoryStore

inside, forked = threading.Event(), threading.Event()


def after_the_fork(call):
    def waits(*arguments):
        inside.set()
        forked.wait()
        return call(*arguments)

    return waits


def bm25():
    retriever = BM25Retriever.from_texts(["a fox"], ids=["1"])
    BM25Index.changed = after_the_fork(BM25Index.changed)
    return lambda: retriever.delete(["1"])


def memory():
    class Key(bytes):
        __hash__ = after_the_fork(bytes.__hash__)

    store = MemoryStore(3)
    return lambda: store.get([Key(b"a")])


def sharded():
    class Work(list):
        __getitem__ = after_the_fork(list.__getitem__)

    scorer = ShardedScorer(WordOverlapScorer(), WordOverlapScorer())
    scorer._waiting = Work(scorer._waiting)
    return lambda: scorer.score("fox", ["a fox"])


def remote():
    scorer = RemoteScorer("http://127.0.0.1:9", dialect="tei")
    scorer._open_connection = after_the_fork(scorer._open_connection)
    return scorer._connect


use = {"bm25": bm25, "memory": memory, "sharded": sharded, "remote": remote}[sys.argv[1]]()
threading.Thread(target=use, daemon=True).start()
inside.wait()
child = os.fork()
if child == 0:
    forked.set()
    done = threading.Event()
    threading.Thread(target=lambda: (use(), done.set()), daemon=True).start()
    print(done.wait(10), flush=True)
    os._exit(0)
os.waitpid(child, 0)
os._exit(0)
"""


@pytest.mark.parametrize("what", ["bm25", "memory", "sharded", "remote"])
def test_a_lock_that_a_thread_held_at_the_fork_is_free_in_the_child(what):
    assert output_of(HELD_BY_A_THREAD, what) == ["True"]
