"""One call of a rerank server: its texts split, sent at the same time, and put together again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_rerank.errors import (
    RequestRejectedError,
    ScorerContractError,
    ScorerTimeoutError,
    see,
)
from langchain_rerank.scorers.contract import Request, Scores, joined
from langchain_rerank.scorers.remote.attempts import Patience, TooLargeError, post
from langchain_rerank.scorers.remote.connection import Connection
from langchain_rerank.scorers.remote.dialects import (
    DIALECTS,
    UnreadableAnswerError,
    encoded,
    endpoint,
    read_scores,
)

TRUNCATED_HEADER = "x-truncated-texts"
"""How many texts of a request were cut; `langchain-rerank serve` says so."""

T = TypeVar("T")


@dataclass(frozen=True)
class Server:
    """A rerank server, and how it is asked.

    Attributes:
        name: What it is called in messages.
        url: Its base, or where it answers.
        dialect: What it speaks.
        fields: Sent with every request, besides query and texts.
        patience: How long to go on.
        max_texts: Texts in one request.
        max_concurrency: Requests under way at the same time.
        pointwise: Whether the texts of one query may be split.
    """

    name: str
    url: str
    dialect: str
    fields: Mapping[str, Any]
    patience: Patience
    max_texts: int
    max_concurrency: int
    pointwise: bool

    async def answers(self, connection: Connection, requests: Sequence[Request]) -> list[Scores]:
        """Return the scores of each request, in order; the first failure ends the others."""
        answers = [Scores() for _ in requests]
        waiting = iter([i for i, (_, texts) in enumerate(requests) if texts])

        async def work() -> None:
            for i in waiting:
                answers[i] = await self._in_time(connection, *requests[i])

        # As many requests have begun as can be under way: `timeout` runs from a request's turn.
        await _all(work() for _ in range(min(len(requests), self.max_concurrency)))
        return answers

    async def _in_time(self, connection: Connection, query: str, texts: Sequence[str]) -> Scores:
        timeout = self.patience.timeout
        try:
            async with asyncio.timeout(timeout) as limit:
                return await self._split(connection, query, texts)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise ScorerTimeoutError(
                f"{self.name} did not answer {len(texts)} texts within timeout={timeout:g} s. "
                f"{see('a-rerank-server-does-not-answer')}"
            ) from error

    async def _split(self, connection: Connection, query: str, texts: Sequence[str]) -> Scores:
        size = self.max_texts
        if len(texts) > size and not self.pointwise:
            raise RequestRejectedError(
                f"{len(texts)} texts are more than max_texts={size}, and pointwise=False says that "
                f"the scores of one request depend on each other, so it cannot be split. Score "
                f"fewer candidates, or raise max_texts if the server takes more."
            )
        parts = (texts[start : start + size] for start in range(0, len(texts), size))
        return joined(await _all(self._asked(connection, query, part) for part in parts))

    async def _asked(self, connection: Connection, query: str, texts: Sequence[str]) -> Scores:
        dialect = DIALECTS[self.dialect]
        content = encoded({**dialect.body(query, texts), **self.fields})
        try:
            answer = await post(
                connection, endpoint(self.url, dialect), content, self.patience, self.name
            )
        except TooLargeError:
            if len(texts) == 1 or not self.pointwise:
                raise
            middle = len(texts) // 2
            halves = (texts[:middle], texts[middle:])
            return joined(await _all(self._asked(connection, query, half) for half in halves))
        try:
            scores = read_scores(answer.content, len(texts), dialect)
        except UnreadableAnswerError as error:
            raise ScorerContractError(
                f"The answer of {self.name} cannot be used: {connection.redacted(str(error))}. "
                f"Does it speak dialect={self.dialect!r}? {see('a-rerank-server-refuses')}"
            ) from None  # The cause would show what is redacted here.
        return Scores(scores, truncated=_truncated(answer.headers, len(texts)))


def _truncated(headers: Mapping[str, str], n: int) -> int | None:
    """Return how many of `n` texts the server cut, or None where it does not say so."""
    said = headers.get(TRUNCATED_HEADER, "")
    cut = int(said) if said.isdecimal() and len(said) <= len(str(n)) else n + 1
    return cut if cut <= n else None


async def _all(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of coroutines that run at the same time; the first failure ends them."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
