"""The one contract that everything composes on: what a scorer is.

A scorer turns a query and its texts into one finite float per text, in order, higher is better. It
is safe to call from several threads and leaves its inputs as they are. Any object with such a
`score` method is a scorer; a wrapper (cache, cascade, long documents) takes scorers and is one.

A scorer *may* also offer `ascore` (native async), `score_many` (several queries at once) and
`close`. Call those through the functions `ascore`, `score_many` and `close` below, which fall back
for scorers without them.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import cache, partial
from types import TracebackType
from typing import Protocol, Self, TypeAlias, TypeVar, cast, runtime_checkable

from langchain_rerank.checks import check_text, listed, real_number, shown, whole_number
from langchain_rerank.errors import InputTypeError, ScorerContractError, see
from langchain_rerank.locks import in_forked_children
from langchain_rerank.scorers import deadline

T = TypeVar("T")

Request: TypeAlias = tuple[str, Sequence[str]]
"""One query and the texts to score against it."""


@runtime_checkable
class Scorer(Protocol):
    """Anything that scores texts against a query."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        """Return one relevance score per text, in the order of `texts`; higher is better.

        Args:
            query: What the texts are judged against.
            texts: `(n,)` texts; `n` may be 0, which gives `[]`.
        """
        ...


@dataclass(frozen=True)
class Passage:
    """A piece of a longer text: `text == document[start:end]` (character offsets)."""

    text: str
    start: int
    end: int


class Scores(list[float]):
    """A list of scores, with what the scorer noticed on the way.

    A scorer may return this in place of a plain list; a wrapper passes the notes on.

    Attributes:
        truncated: How many of the texts were cut to the model's limit; None where a server does
            not say.
        best_passages: `(n,)` the passage that gave each text its score, where texts were scored by
            passages; else None.
        timings: Milliseconds of "waiting", "tokenising" and "computing", which add up to the whole,
            where the scorer knows them; else None.
    """

    def __init__(
        self,
        scores: Iterable[float] = (),
        *,
        truncated: int | None = 0,
        best_passages: Sequence[Passage | None] | None = None,
        timings: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(scores)
        self.truncated = truncated
        self.best_passages = best_passages
        self.timings = timings

    @property
    def passages(self) -> Sequence[Passage | None]:
        """`best_passages`, `(n,)`, with None for each text where there are none."""
        return self.best_passages or [None] * len(self)


def add_counts(counts: Iterable[int | None]) -> int | None:
    """Return the sum of what several parts counted as truncated; None where one does not say."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def joined(parts: Sequence[Scores]) -> Scores:
    """Return the scores of the parts of one request as those of all of it."""
    scores = (score for part in parts for score in part)
    return Scores(scores, truncated=add_counts(part.truncated for part in parts))


class ClosedOnExit:
    """Makes a `with` statement close what it opened."""

    def close(self) -> None:
        """Release what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def scorer_name(scorer: object) -> str:
    """Return how a scorer is called in messages, traces and reports."""
    name = getattr(scorer, "name", None)
    return name if isinstance(name, str) and name else type(scorer).__name__


def checked(scores: Iterable[float], n: int, scorer: object) -> Scores:
    """Return `scores` as Python floats after checking the contract.

    Args:
        scores: What the scorer returned.
        n: How many texts it was given.
        scorer: The scorer, for the message.

    Raises:
        ScorerContractError: Not `n` scores, or one that is not a finite number.
    """
    # The items of a mapping or a set are in no order of texts; those of a string are no scores.
    if isinstance(scores, (str, bytes, bytearray, Mapping, AbstractSet)):
        raise _no_numbers(scores, scorer)
    try:
        found = [score if type(score) is float else real_number(score) for score in scores]
    except TypeError as error:
        raise _no_numbers(scores, scorer) from error
    if None in found:
        raise _no_numbers(scores, scorer)
    values = Scores(
        (score for score in found if score is not None),
        truncated=getattr(scores, "truncated", 0),
        best_passages=getattr(scores, "best_passages", None),
        timings=getattr(scores, "timings", None),
    )
    if len(values) != n:
        raise ScorerContractError(
            f"{scorer_name(scorer)} returned {len(values)} scores for {n} texts; a scorer returns "
            f"exactly one per text, in order. Check it with langchain_rerank.testing. "
            f"{see('a-scorer-broke-its-contract')}"
        )
    for position, value in enumerate(values):
        if not math.isfinite(value):
            raise ScorerContractError(
                f"{scorer_name(scorer)} returned {value} for text {position} of {n}; scores must "
                f"be finite. A model in float16 can overflow: try dtype='float32' or 'bfloat16'. "
                f"{see('a-scorer-broke-its-contract')}"
            )
    return values


def _no_numbers(scores: object, scorer: object) -> ScorerContractError:
    return ScorerContractError(
        f"{scorer_name(scorer)} returned {shown(scores)}; a scorer returns one number per text, "
        f"as a list in their order. Text, booleans and integers beyond a float's range are no "
        f"scores. "
        f"{see('a-scorer-broke-its-contract')}"
    )


def check_request(query: object, texts: Iterable[object]) -> list[str]:
    """Return `texts` as a list; refuse a query or texts that are not strings.

    Texts may come as any ordered collection: a list, a tuple, a NumPy array, a pandas Series.

    Raises:
        InputTypeError: `query`, or one of `texts`, is not a string.
    """
    check_text(query)
    if isinstance(texts, (str, bytes, bytearray)):
        raise InputTypeError("texts must be a sequence of strings, got one string; wrap it: [text]")
    found = listed(texts, "texts", "strings")
    for position, text in enumerate(found):
        if not isinstance(text, str):
            raise InputTypeError(
                f"Text {position} must be a string, got {type(text).__name__}; "
                f"convert it to a string before scoring."
            )
    return cast("list[str]", found)


def score_many(scorer: Scorer, requests: Sequence[Request]) -> list[Scores]:
    """Return the checked scores of each request, in order, by one `score_many` where there is one.

    Args:
        scorer: Any scorer.
        requests: `(m,)` pairs of a query and its texts.

    Raises:
        ScorerContractError: The scorer broke its contract.
    """
    many = getattr(scorer, "score_many", None)
    if not callable(many):
        return [score(scorer, query, texts) for query, texts in requests]
    sizes = [len(texts) for _, texts in requests]
    answers = _asked(scorer, partial(many, requests))
    if len(answers) != len(sizes):
        raise ScorerContractError(
            f"{scorer_name(scorer)}.score_many returned {len(answers)} lists for "
            f"{len(sizes)} requests; it must return one list per request, in order."
        )
    return [checked(scores, n, scorer) for scores, n in zip(answers, sizes, strict=True)]


def score(scorer: Scorer, query: str, texts: Sequence[str]) -> Scores:
    """Return the checked scores of `texts`, `(n,)`, in order."""
    n = len(texts)  # before the scorer has them, which may take some away
    return checked(_asked(scorer, partial(scorer.score, query, texts)), n, scorer)


def _asked(scorer: Scorer, call: Callable[[], T]) -> T:
    """Return what `call` of `scorer` returns.

    Raises:
        ScorerContractError: It raised a StopIteration, which no generator and no future passes on:
            whoever awaits it would wait for ever.
    """
    try:
        return call()
    except StopIteration as error:
        raise ScorerContractError(
            f"{scorer_name(scorer)} raised StopIteration, by a next() without a default most "
            f"likely. {see('a-scorer-broke-its-contract')}"
        ) from error


DEFAULT_SCORER_THREADS = 4
_scorer_threads = DEFAULT_SCORER_THREADS


@cache
def _threads() -> ThreadPoolExecutor:
    # Not asyncio's shared pool: a slow scorer must not hold up the application's own `to_thread`.
    return ThreadPoolExecutor(_scorer_threads, thread_name_prefix="langchain-rerank")


def set_scorer_threads(count: int) -> None:
    """Set how many async calls of scorers without an `ascore` run at the same time; 4 unless set.

    Calls that run already, or wait, end where they are.

    Args:
        count: 1 or more.

    Raises:
        ConfigurationError: Not a whole number above 0.
    """
    global _scorer_threads  # noqa: PLW0603 - one pool for the process, as the calls share it
    _scorer_threads = whole_number(count, "count")
    _threads.cache_clear()


# A forked child inherits the pool without its threads, and would wait for them for ever.
in_forked_children(_threads.cache_clear)


async def ascore(scorer: Scorer, query: str, texts: Sequence[str]) -> Scores:
    """Return the checked scores of `texts` without blocking the event loop."""
    native, n = getattr(scorer, "ascore", None), len(texts)
    if callable(native):
        answer = _asked(scorer, partial(native, query, texts))
        if not inspect.isawaitable(answer):
            raise ScorerContractError(
                f"{scorer_name(scorer)}.ascore returned a {type(answer).__name__} at once; it must "
                f"be a coroutine: async def ascore(self, query, texts). Without an ascore, score "
                f"runs in a thread. {see('a-scorer-broke-its-contract')}"
            )
        return checked(await answer, n, scorer)
    call = partial(_asked, scorer, partial(scorer.score, query, texts))
    return checked(await in_thread(call, scorer_name(scorer)), n, scorer)


async def in_thread(call: Callable[[], T], name: str) -> T:
    """Return what `call` of the scorer `name` returns in a thread, in the caller's context.

    So the caller's context variables are there as well: its tenant, its trace, its deadline.
    """
    if deadline.remaining() is None:
        inherited: Callable[[], T] = partial(copy_context().run, call)
        return await asyncio.get_running_loop().run_in_executor(_threads(), inherited)
    # Not of the shared threads: a scorer that hangs would keep one of them for ever.
    future = deadline.in_thread(call, name)
    try:
        return await asyncio.wrap_future(future)
    finally:
        deadline.leave(future, name)


def close(scorer: Scorer) -> None:
    """Release what the scorer holds, where it has a `close`."""
    closer = getattr(scorer, "close", None)
    if callable(closer):
        closer()
