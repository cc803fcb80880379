"""What waits in the engine: a caller's texts, one text on its way, and a batch of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from langchain_rerank.scorers.contract import Scores
from langchain_rerank.scorers.engine.forward.passes import Collect
from langchain_rerank.scorers.engine.metrics import BusyTime
from langchain_rerank.scorers.engine.tokens.pairs import Pair


@dataclass(eq=False)
class Request:
    """One caller's texts, and how far they are."""

    query: str
    texts: Sequence[str]
    reading: Any
    max_batch_tokens: int | None = None
    submitted: float = 0.0
    future: Future[Scores] = field(default_factory=Future)
    taken: int = 0
    truncated: int = 0
    tokenising: float = 0.0

    def __post_init__(self) -> None:
        self.scores = [0.0] * len(self.texts)
        self.missing = len(self.texts)
        self.computing = BusyTime()
        self._unclaimed = threading.Semaphore()

    @property
    def over(self) -> bool:
        """Whether nobody waits for it any more: answered, failed or cancelled."""
        return self.future.done()

    def succeed(self, now: float) -> None:
        """Answer with the scores, and with what took the time until `now`."""
        # Tokens that are made while others are computed cost no time of their own, so that the
        # three add up to the whole.
        computing = self.computing.seconds
        waiting = max(0.0, now - self.submitted - self.tokenising - computing)
        spent = {"waiting": waiting, "tokenising": self.tokenising, "computing": computing}
        timings = {name: seconds * 1000.0 for name, seconds in spent.items()}
        scores = Scores(self.scores, truncated=self.truncated, timings=timings)
        if self._claim():
            self.future.set_result(scores)

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        if self._claim():
            self.future.set_exception(error)

    def _claim(self) -> bool:
        """Return whether to answer: once, also where `close` and the worker both want to."""
        first = self._unclaimed.acquire(blocking=False)
        return first and self.future.set_running_or_notify_cancel()


@dataclass(frozen=True)
class Item:
    """One text on its way: whose it is, which one, and its tokens."""

    request: Request
    position: int
    pair: Pair


@dataclass(frozen=True)
class Batch:
    """Texts that are computed together, and how to wait for their scores."""

    items: list[Item]
    tokens: int
    collect: Collect
