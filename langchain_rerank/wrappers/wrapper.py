"""What every wrapper shares: one body for the sync and the async path, and traits passed on.

A wrapper writes its work once, as a generator that yields what it needs (scores from another
scorer, a blocking call) and is sent the answer. The drivers here run such steps on the calling
thread, or on the event loop without blocking it.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeAlias, cast

from langchain_rerank.checks import shown
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers import contract, deadline
from langchain_rerank.scorers.batching import BatchScorer
from langchain_rerank.scorers.contract import Request, Scorer, Scores, check_request, scorer_name


def identity_of(scorer: object) -> Any:
    """Return everything that changes a scorer's scores, as plain JSON data, or None if unknown.

    A scorer says so in an attribute or property `identity`: a string or a mapping with the model,
    its revision and each setting that reaches the scores (instruction, maximum length, dtype,
    activation). Two scorers with equal identities must give equal scores, now and in the next
    process.
    """
    return getattr(scorer, "identity", None)


def is_pointwise(scorer: object) -> bool:
    """Return whether a scorer judges each text alone; True unless its `pointwise` says False."""
    return bool(getattr(scorer, "pointwise", True))


@dataclass(frozen=True)
class Ask:
    """A step: the checked scores of `requests`, one list each, from `scorer`.

    After the call's deadline, or `timeout` seconds of its own, it is a `ScorerTimeoutError`.
    """

    scorer: Scorer
    requests: Sequence[Request]
    timeout: float | None = None

    def now(self) -> list[Scores]:
        """Return the scores, computed on this thread, or within `timeout` on another one."""
        name = scorer_name(self.scorer)
        deadline.check(name)
        return deadline.within(self.timeout, name, self._now)

    async def soon(self) -> list[Scores]:
        """Return the scores without blocking the event loop."""
        name = scorer_name(self.scorer)
        deadline.check(name)
        return await deadline.awithin(self.timeout, name, self._soon)

    def _now(self) -> list[Scores]:
        requests = self._own_requests()
        if len(requests) == 1:
            return [contract.score(self.scorer, *requests[0])]
        return contract.score_many(self.scorer, requests)

    async def _soon(self) -> list[Scores]:
        if len(self.requests) == 1:
            return [await contract.ascore(self.scorer, *self._own_requests()[0])]
        return await contract.in_thread(self.now, scorer_name(self.scorer))

    def _own_requests(self) -> list[Request]:
        # Lists of its own: what a scorer takes out of them is there for who is asked next.
        return [(query, list(texts)) for query, texts in self.requests]


@dataclass(frozen=True)
class AskAll:
    """A step: the answers of several `Ask`, one list or error each, all under way at once."""

    asks: Sequence[Ask]

    def now(self) -> list[list[Scores] | Exception]:
        """Return the answers, each computed on a thread of its own."""
        if len(self.asks) == 1:
            return [_outcome(self.asks[0].now)]
        # Each thread with the caller's context variables: its tenant, its trace, its deadline.
        work = [deadline.in_thread(ask.now, scorer_name(ask.scorer)) for ask in self.asks]
        wait(work)
        return [_outcome(one.result) for one in work]

    async def soon(self) -> list[list[Scores] | Exception]:
        """Return the answers without blocking the event loop."""
        answers = await asyncio.gather(*(ask.soon() for ask in self.asks), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Exception):
                raise answer
        return cast("list[list[Scores] | Exception]", answers)


def _outcome(call: Callable[[], list[Scores]]) -> list[Scores] | Exception:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - whoever asked gets it
        return error


@dataclass(frozen=True)
class Do:
    """A step: the result of a call that may block for some milliseconds.

    Attributes:
        call: What to do.
        name: The wrapper that does it.
    """

    call: Callable[[], Any]
    name: str

    def now(self) -> Any:
        """Return the result, computed on this thread."""
        return self.call()

    async def soon(self) -> Any:
        """Return the result without blocking the event loop."""
        return await contract.in_thread(self.call, self.name)


Step: TypeAlias = Ask | AskAll | Do
Steps: TypeAlias = Generator[Step, Any, list[Scores]]


def run(steps: Steps) -> list[Scores]:
    """Return what `steps` return, each step taken on the calling thread."""
    move = partial(next, steps)
    while True:
        try:
            step = move()
        except StopIteration as end:
            return cast("list[Scores]", end.value)
        try:
            move = partial(steps.send, step.now())
        except BaseException as error:  # noqa: BLE001 - the steps decide
            move = partial(steps.throw, error)


async def arun(steps: Steps) -> list[Scores]:
    """Return what `steps` return, without blocking the event loop."""
    move = partial(next, steps)
    while True:
        try:
            step = move()
        except StopIteration as end:
            return cast("list[Scores]", end.value)
        try:
            move = partial(steps.send, await step.soon())
        except BaseException as error:  # noqa: BLE001 - the steps decide
            move = partial(steps.throw, error)


class Wrapper(BatchScorer):
    """A scorer made of scorers: subclasses name their `kind` and write `_steps`.

    Attributes:
        kind: What the wrapper does, in names and identities.
        scorers: The scorers underneath.
        settings: What else changes the scores, as JSON data.
    """

    kind: ClassVar[str]

    def __init__(self, *scorers: Scorer, **settings: Any) -> None:
        for one in scorers:
            if isinstance(one, type) or not callable(getattr(one, "score", None)):
                raise ConfigurationError(
                    f"{type(self).__name__} needs scorers, objects with score(query, texts); got "
                    f"{shown(one)}. CrossEncoderScorer makes one of a model's name."
                )
        self.scorers = scorers
        self.settings = settings

    @property
    def name(self) -> str:
        """How messages and reports call it, with the scorers underneath."""
        return f"{self.kind}({', '.join(scorer_name(scorer) for scorer in self.scorers)})"

    @property
    def identity(self) -> Any:
        """Everything that changes its scores, or None where a scorer underneath does not say."""
        identities = [identity_of(scorer) for scorer in self.scorers]
        if None in identities:
            return None
        return {"wrapper": self.kind, **self.settings, "scorers": identities}

    @property
    def pointwise(self) -> bool:
        """Whether each text is judged alone."""
        return all(is_pointwise(scorer) for scorer in self.scorers)

    @abstractmethod
    def _steps(self, requests: Sequence[Request]) -> Steps:
        """Yield what is needed and return one `Scores` per request.

        Every request has texts, all strings; there is at least one.
        """

    def _scored(self, requests: Sequence[Request]) -> list[Scores]:
        answers = iter(run(self._steps([request for request in requests if request[1]])))
        return [next(answers) if texts else Scores() for _, texts in requests]

    async def ascore(self, query: str, texts: Sequence[str]) -> Scores:
        """Return one score per text, in order, without blocking the event loop.

        Raises:
            InputTypeError: The query or a text is not a string.
            ScorerError: A scorer underneath could not score.
        """
        texts = check_request(query, texts)
        return (await arun(self._steps([(query, texts)])))[0] if texts else Scores()

    def close(self) -> None:
        """Close the scorers underneath."""
        for scorer in self.scorers:
            contract.close(scorer)
