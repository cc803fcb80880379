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
import math
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeAlias, runtime_checkable

from langchain_rerank.errors import InputTypeError, ScorerContractError, see

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
    """

    def __init__(
        self,
        scores: Iterable[float] = (),
        *,
        truncated: int | None = 0,
        best_passages: Sequence[Passage | None] | None = None,
    ) -> None:
        super().__init__(scores)
        self.truncated = truncated
        self.best_passages = best_passages


def add_counts(counts: Iterable[int | None]) -> int | None:
    """Return the sum of what several parts counted as truncated; None where one does not say."""
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


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
    try:
        values = Scores(
            (float(score) for score in scores),
            truncated=getattr(scores, "truncated", 0),
            best_passages=getattr(scores, "best_passages", None),
        )
    except (TypeError, ValueError) as error:
        raise ScorerContractError(
            f"{scorer_name(scorer)} returned {scores!r:.200}; a scorer returns one number per "
            f"text, in order. {see('a-scorer-broke-its-contract')}"
        ) from error
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


def check_request(query: object, texts: Sequence[object]) -> None:
    """Refuse a query or texts that are not strings.

    Raises:
        InputTypeError: `query`, or one of `texts`, is not a string.
    """
    if not isinstance(query, str):
        raise InputTypeError(f"The query must be a string, got {type(query).__name__}: {query!r}.")
    if isinstance(texts, str):
        raise InputTypeError("texts must be a sequence of strings, got one string; wrap it: [text]")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputTypeError(
                f"Text {position} must be a string, got {type(text).__name__}; "
                f"convert it to a string before scoring."
            )


def score_many(scorer: Scorer, requests: Sequence[Request]) -> list[Scores]:
    """Return the checked scores of each request, in order, by one `score_many` where there is one.

    Args:
        scorer: Any scorer.
        requests: `(m,)` pairs of a query and its texts.

    Raises:
        ScorerContractError: The scorer broke its contract.
    """
    many = getattr(scorer, "score_many", None)
    answers = (
        many(requests)
        if callable(many)
        else [scorer.score(query, texts) for query, texts in requests]
    )
    if len(answers) != len(requests):
        raise ScorerContractError(
            f"{scorer_name(scorer)}.score_many returned {len(answers)} lists for "
            f"{len(requests)} requests; it must return one list per request, in order."
        )
    return [
        checked(scores, len(texts), scorer)
        for scores, (_, texts) in zip(answers, requests, strict=True)
    ]


def score(scorer: Scorer, query: str, texts: Sequence[str]) -> Scores:
    """Return the checked scores of `texts`, `(n,)`, in order."""
    return checked(scorer.score(query, texts), len(texts), scorer)


@cache
def _threads() -> ThreadPoolExecutor:
    # Not asyncio's shared pool: a slow scorer must not hold up the application's own `to_thread`.
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="langchain-rerank")


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    # A forked child inherits the pool without its threads, and would wait for them for ever.
    os.register_at_fork(after_in_child=_threads.cache_clear)


async def ascore(scorer: Scorer, query: str, texts: Sequence[str]) -> Scores:
    """Return the checked scores of `texts` without blocking the event loop."""
    native = getattr(scorer, "ascore", None)
    if callable(native):
        return checked(await native(query, texts), len(texts), scorer)
    loop = asyncio.get_running_loop()
    return checked(
        await loop.run_in_executor(_threads(), scorer.score, query, texts), len(texts), scorer
    )


def close(scorer: Scorer) -> None:
    """Release what the scorer holds, where it has a `close`."""
    closer = getattr(scorer, "close", None)
    if callable(closer):
        closer()
