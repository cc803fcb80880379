"""The checks of the contract that concern a service: many callers, some of whom go away."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import pickle
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from langchain_rerank.scorers import contract
from langchain_rerank.scorers.contract import Scorer
from langchain_rerank.testing.samples import Samples, ask, require, require_same

_THREADS = 8
_T = TypeVar("_T")


def _in_a_loop_of_its_own(make: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    # On a thread of its own: the caller may be in an event loop, as every notebook is.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(make())).result()


def score_many_agrees(scorer: Scorer, samples: Samples) -> None:
    """`score_many` gives what `score` gives, request by request, an empty one included."""
    requests = [(query, list(texts)) for query, texts in samples.requests()]
    requests.append((samples.queries[0], []))
    expected = [ask(scorer, query, texts) for query, texts in requests]
    answers = contract.score_many(scorer, requests)
    for (query, _), got, want in zip(requests, answers, expected, strict=True):
        require_same(got, want, samples, f"score_many against score for {query!r}")


def ascore_agrees(scorer: Scorer, samples: Samples) -> None:
    """`ascore` gives what `score` gives, also with several calls at once."""
    requests = [(query, list(texts)) for query, texts in samples.requests()]

    async def all_at_once() -> list[contract.Scores]:
        return await asyncio.gather(*(contract.ascore(scorer, *request) for request in requests))

    expected = [ask(scorer, query, texts) for query, texts in requests]
    answers = _in_a_loop_of_its_own(all_at_once)
    for (query, _), got, want in zip(requests, answers, expected, strict=True):
        require_same(got, want, samples, f"ascore against score for {query!r}")


@contextlib.contextmanager
def _frequent_thread_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # races that take weeks to meet show up in milliseconds
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def thread_safe(scorer: Scorer, samples: Samples) -> None:
    """Many threads with different queries get what they get one after the other."""
    requests = samples.requests()
    expected = [ask(scorer, query, texts) for query, texts in requests]
    start = threading.Barrier(_THREADS)

    def work(thread: int) -> list[tuple[int, list[float]]]:
        start.wait()
        mine = [(thread + i) % len(requests) for i in range(len(requests))]
        return [(i, ask(scorer, *requests[i])) for i in mine]

    with _frequent_thread_switches(), ThreadPoolExecutor(_THREADS) as pool:
        answers = [answer for answers in pool.map(work, range(_THREADS)) for answer in answers]
    for i, scores in answers:
        require_same(
            scores, expected[i], samples, f"{requests[i][0]!r} beside {_THREADS - 1} other threads"
        )


class _Interruption(BaseException):
    """Stands for Ctrl-C in the middle of a call."""


class _Interrupting(list[str]):
    """Texts that end in the middle, as Ctrl-C would."""

    def __iter__(self) -> Iterator[str]:
        yield self[0]
        raise _Interruption


def interruption(scorer: Scorer, samples: Samples) -> None:
    """A call that is interrupted (Ctrl-C) ends with that, and later calls are as before it."""
    query, texts = samples.queries[0], list(samples.texts)
    expected = ask(scorer, query, texts)
    with contextlib.suppress(_Interruption):
        scores = scorer.score(query, _Interrupting(texts))
        require(
            len(scores) == len(texts),
            f"An interruption was swallowed, and {len(texts)} texts gave {len(scores)} scores: "
            f"catch Exception, not BaseException.",
        )
    require_same(ask(scorer, query, texts), expected, samples, "After a call was interrupted")


def cancellation(scorer: Scorer, samples: Samples) -> None:
    """An `ascore` that is cancelled ends as cancelled, and later calls are as before it."""
    query, texts = samples.queries[0], samples.texts

    async def cancelled() -> tuple[contract.Scores, contract.Scores]:
        before = await contract.ascore(scorer, query, list(texts))
        given_up = asyncio.ensure_future(contract.ascore(scorer, query, list(texts)))
        await asyncio.sleep(0)
        given_up.cancel()
        try:
            await given_up  # It may have been done before.
        except asyncio.CancelledError:
            pass
        except Exception as error:
            raise AssertionError(
                f"A cancelled ascore raised {error!r}, expected CancelledError: let it through."
            ) from error
        return await contract.ascore(scorer, query, list(texts)), before

    require_same(*_in_a_loop_of_its_own(cancelled), samples, "After a cancelled ascore")


_caller: contextvars.ContextVar[str] = contextvars.ContextVar("caller", default="nobody")


class _Watched(list[str]):
    """Texts that note in whose context they are read."""

    def __init__(self, texts: list[str]) -> None:
        super().__init__(texts)
        self.readers: set[str] = set()

    def __iter__(self) -> Iterator[str]:
        self.readers.add(_caller.get())
        return super().__iter__()


def context_variables(scorer: Scorer, samples: Samples) -> None:
    """Context variables (tenant, trace) reach whatever thread reads the texts of an async call."""
    texts = _Watched(list(samples.texts))

    async def as_somebody() -> None:
        _caller.set("somebody")
        await contract.ascore(scorer, samples.queries[0], texts)

    _in_a_loop_of_its_own(as_somebody)
    require(
        texts.readers <= {"somebody"},
        "Texts were read in a thread without the caller's context variables: start it with "
        "contextvars.copy_context().run, or by asyncio.to_thread.",
    )


def copies(scorer: Scorer, samples: Samples) -> None:
    """A deep copy scores the same, and so does a pickled one of an importable class."""
    query, texts = samples.queries[0], list(samples.texts)
    expected = ask(scorer, query, texts)
    ways: dict[str, Callable[[Scorer], Scorer]] = {"deep copy": copy.deepcopy}
    module = sys.modules.get(type(scorer).__module__)
    if getattr(module, type(scorer).__qualname__, None) is type(scorer):
        ways["pickled copy"] = lambda one: pickle.loads(pickle.dumps(one))  # noqa: S301 - our own
    for way, make in ways.items():
        try:
            copied = make(scorer)
        except Exception as error:
            raise AssertionError(
                f"No {way} can be made: {error}. Locks, threads and connections cannot be copied: "
                f"leave them out in __getstate__, and make them again on first use."
            ) from error
        try:
            require_same(ask(copied, query, texts), expected, samples, f"A {way}")
        finally:
            contract.close(copied)


SERVICE_CHECKS = (
    score_many_agrees,
    ascore_agrees,
    thread_safe,
    interruption,
    cancellation,
    context_variables,
    copies,
)
