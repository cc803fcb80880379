"""Many copies of one model on a Ray cluster, as one scorer."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_rerank.checks import real_number, whole_number
from langchain_rerank.errors import (
    ConfigurationError,
    ScorerClosedError,
    ScorerError,
    ScorerTimeoutError,
    ScorerUnavailableError,
    see,
)
from langchain_rerank.optional import require
from langchain_rerank.scorers import deadline
from langchain_rerank.scorers.contract import (
    ClosedOnExit,
    Request,
    Scores,
    add_counts,
    check_request,
)
from langchain_rerank.scorers.cross_encoder import DEFAULT_MODEL, CrossEncoderScorer

_log = logging.getLogger(__name__)

_CHUNK_TOKENS = 16_384  # what one task computes: seconds on a CPU core, so little is done twice
_CHUNK_TEXTS = 64
_AHEAD = 2  # chunks of a call that an actor has at once: one computes, one is ready
_MAX_ATTEMPTS = 8  # actors that may die under one chunk: then it is the chunk that kills them
_MAX_STILLBORN = 8  # actors in a row that may die before they have loaded the model
_CHARACTERS_PER_TOKEN = 4
_MOST_TOKENS = 512


@dataclass(eq=False)
class _Chunk:
    """Texts of one request that are scored together."""

    request: int
    start: int
    end: int
    tokens: int
    attempts: int = 0


@dataclass(eq=False)
class _Member:
    """An actor of the pool and the estimated tokens that it still has to compute."""

    handle: Any
    loaded: Any  # a reference that is there once the model is
    waiting: int = 0


class RayScorer(ClosedOnExit):
    """Scores texts with `num_actors` copies of a model on a Ray cluster (extra `ray`).

    Each call is cut into chunks of up to 64 texts; a chunk goes to the actor that has the fewest
    tokens left to compute (estimated from characters). Where an actor dies, a new one takes its
    place and what it had not answered is scored elsewhere: nothing is lost, and nothing counted
    twice. Where none is to be had, the call waits, as Ray does, up to a deadline if there is one.

    Cheap to construct: the actors start on first use, in the cluster that `ray.init` connected to,
    else on this machine, and stop with `close`. A closed scorer starts them again.

    Args:
        model: A hub name, a folder that all machines have, or "embedded".
        num_actors: Copies of the model.
        num_cpus: CPU cores of each; torch computes with as many threads.
        num_gpus: GPUs of each; 0.5 puts two copies on one.
        **load_settings: As `CrossEncoderScorer` takes them: `dtype`, `max_length`, and so on.

    Raises:
        ConfigurationError: An impossible setting.
        MissingExtraError: Ray is not installed.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        num_actors: int = 2,
        num_cpus: float = 1.0,
        num_gpus: float = 0.0,
        **load_settings: Any,
    ) -> None:
        require("ray", extra="ray")
        if not isinstance(model, str):
            raise ConfigurationError(
                f"model must be a name or a folder that every machine can load, got "
                f"{type(model).__name__}."
            )
        self.num_actors = whole_number(num_actors, "num_actors")
        self._resources = {
            "num_cpus": _share("num_cpus", num_cpus),
            "num_gpus": _share("num_gpus", num_gpus),
        }
        self._local = CrossEncoderScorer(model, **load_settings)  # never loaded: checks settings
        self._model, self._load_settings = model, load_settings
        self._restart()

    def _restart(self) -> None:
        self._members: list[_Member] = []
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name, for traces and reports."""
        return self._local.name

    @property
    def identity(self) -> dict[str, Any] | None:
        """That of the model, or None with `dtype="auto"`, which each machine decides for itself."""
        return None if self._local.settings.dtype == "auto" else self._local.identity

    def load(self) -> None:
        """Start the actors now rather than on first use, and wait until all have loaded the model.

        Raises:
            ScorerError: The model cannot be loaded.
        """
        ray = require("ray", extra="ray")
        self._answer(ray, [member.loaded for member in self._pool(ray)])

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return one relevance score per text, in order; higher is better.

        Args:
            query: What the texts are judged against.
            texts: `(n,)` texts; `n` may be 0, which gives `[]` without starting anything.

        Raises:
            InputTypeError: The query or a text is not a string.
            ScorerError: The model could not be loaded or could not score.
        """
        return self.score_many([(query, texts)])[0]

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the scores of each request, in order, computed by all actors at once.

        Args:
            requests: `(m,)` pairs of a query and its texts.

        Raises:
            InputTypeError: A query or a text is not a string.
            ScorerError: The model could not be loaded or could not score.
        """
        for query, texts in requests:
            check_request(query, texts)
        chunks = _chunks(requests)
        if not chunks:
            return [Scores() for _ in requests]
        answers = self._computed(requests, chunks)
        return [
            Scores(
                (score for part in parts for score in part),
                truncated=add_counts(part.truncated for part in parts),
            )
            for parts in answers
        ]

    def close(self) -> None:
        """Stop the actors; calls under way end in `ScorerClosedError`."""
        with self._lock:
            members, self._members = self._members, []
        if members:
            ray = require("ray", extra="ray")
            for member in members:
                ray.kill(member.handle)

    def _pool(self, ray: Any) -> list[_Member]:
        with self._lock:
            if not self._members:
                if not ray.is_initialized():
                    ray.init(log_to_driver=False, include_dashboard=False)
                self._members = [self._start(ray) for _ in range(self.num_actors)]
            return self._members

    def _start(self, ray: Any) -> _Member:
        actor = ray.remote(_Copy).options(max_restarts=0, max_concurrency=2, **self._resources)
        handle = actor.remote(self._model, self._load_settings)
        return _Member(handle, handle.ready.remote())

    def _computed(
        self, requests: Sequence[Request], chunks: Sequence[_Chunk]
    ) -> list[list[Scores]]:
        ray = require("ray", extra="ray")
        members = self._pool(ray)
        waiting = deque(chunks)
        under_way: dict[Any, tuple[_Chunk, _Member]] = {}
        done: list[dict[int, Scores]] = [{} for _ in requests]
        stillborn: set[_Member] = set()
        try:
            while waiting or under_way:
                while waiting and len(under_way) < _AHEAD * self.num_actors:
                    self._send(requests, waiting.popleft(), members, under_way)
                ready, _ = ray.wait([*under_way], num_returns=1, timeout=deadline.remaining())
                if not ready:
                    deadline.check(self.name)
                    continue
                chunk, member = under_way.pop(ready[0])
                self._finished(member, chunk)
                try:
                    scores, truncated = self._answer(ray, ready[0])
                except _ActorGoneError as error:
                    self._replace(ray, members, member)
                    if _had_loaded(ray, member):
                        chunk.attempts += 1
                    else:
                        stillborn.add(member)
                    if chunk.attempts >= _MAX_ATTEMPTS or len(stillborn) >= _MAX_STILLBORN:
                        raise ScorerUnavailableError(
                            f"Actors of {self.name} die again and again ({error}). Look at their "
                            f"logs; memory is the usual reason: lower max_length or num_actors. "
                            f"{see('the-model-failed')}"
                        ) from error.__cause__
                    _log.warning("An actor of %s died; its texts are scored again.", self.name)
                    waiting.appendleft(chunk)
                else:
                    done[chunk.request][chunk.start] = Scores(scores, truncated=truncated)
                    stillborn.clear()
        finally:
            for reference, (chunk, member) in under_way.items():
                self._finished(member, chunk)
                ray.cancel(reference)  # What has not begun never does.
        return [[parts[start] for start in sorted(parts)] for parts in done]

    def _send(
        self,
        requests: Sequence[Request],
        chunk: _Chunk,
        members: Sequence[_Member],
        under_way: dict[Any, tuple[_Chunk, _Member]],
    ) -> None:
        query, texts = requests[chunk.request]
        with self._lock:
            if members is not self._members:
                raise ScorerClosedError(f"{self.name} was closed before it answered.")
            member = min(members, key=lambda one: one.waiting)
            member.waiting += chunk.tokens
            handle = member.handle
        reference = handle.score.remote(query, list(texts[chunk.start : chunk.end]))
        under_way[reference] = (chunk, member)

    def _finished(self, member: _Member, chunk: _Chunk) -> None:
        with self._lock:
            member.waiting -= chunk.tokens

    def _replace(self, ray: Any, members: list[_Member], dead: _Member) -> None:
        with self._lock:
            if members is not self._members:
                raise ScorerClosedError(f"{self.name} was closed before it answered.")
            if dead in members:  # else another call, or another chunk of this one, was first
                members[members.index(dead)] = self._start(ray)

    def _answer(self, ray: Any, reference: Any) -> Any:
        try:
            return ray.get(reference, timeout=deadline.remaining())
        except ray.exceptions.GetTimeoutError:
            raise ScorerTimeoutError(
                f"{self.name} did not answer in the time that `timeout` gives it. "
                f"{see('the-model-failed')}"
            ) from None
        except ray.exceptions.RayActorError as error:
            reason = getattr(error, "cause", None)
            raise _ActorGoneError(f"{type(error).__name__}: {error}"[:300]) from reason
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, ScorerError):
                raise error.cause from None
            raise ScorerError(
                f"{self.name} failed on a Ray actor: {type(error.cause).__name__}: {error.cause}"
            ) from error
        except ray.exceptions.RayError as error:
            raise ScorerUnavailableError(
                f"{self.name} on Ray: {type(error).__name__}: {error}"[:500]
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        # A copy starts actors of its own.
        return {k: v for k, v in self.__dict__.items() if k not in {"_members", "_lock"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._restart()

    def __repr__(self) -> str:
        return f"RayScorer({self.name!r}, num_actors={self.num_actors})"


class _ActorGoneError(Exception):
    """An actor died before it answered; its work can be done by another one."""


class _Copy:
    """The model in an actor: its calls wait at the same time and share batches."""

    def __init__(self, model: str, load_settings: Mapping[str, Any]) -> None:
        self._scorer = CrossEncoderScorer(model, **load_settings)
        self._failure: ScorerError | None = None
        try:
            self._scorer.load()
        except ScorerError as error:
            self._failure = error  # Told to every caller: a constructor's would look like a death.

    def ready(self) -> bool:
        """Return True once the model is loaded."""
        if self._failure is not None:
            raise self._failure
        return True

    def score(self, query: str, texts: list[str]) -> tuple[list[float], int | None]:
        """Return the scores and how many texts were truncated."""
        self.ready()
        scores = self._scorer.score(query, texts)
        return list(scores), scores.truncated


def _had_loaded(ray: Any, member: _Member) -> bool:
    """Return whether an actor that died had loaded its model: only then was it at work."""
    try:
        return bool(ray.get(member.loaded, timeout=0))
    except Exception:  # noqa: BLE001 - whatever it was, it did not load
        return False


def _share(name: str, value: object) -> float:
    number = real_number(value)
    if number is None or not 0.0 <= number < float("inf"):
        raise ConfigurationError(f"{name}={value!r}: it must be a number of at least 0.")
    return number


def _chunks(requests: Sequence[Request]) -> list[_Chunk]:
    """Return every text of `requests` in exactly one chunk, in order.

    >>> [(one.request, one.start, one.end) for one in _chunks([("q", ["a"] * 70), ("r", ["b"])])]
    [(0, 0, 64), (0, 64, 70), (1, 0, 1)]
    """
    chunks: list[_Chunk] = []
    for number, (query, texts) in enumerate(requests):
        current: _Chunk | None = None
        for position, text in enumerate(texts):
            length = (len(query) + len(text)) // _CHARACTERS_PER_TOKEN + 3
            tokens = min(_MOST_TOKENS, length)
            if (
                current is None
                or current.tokens + tokens > _CHUNK_TOKENS
                or current.end - current.start >= _CHUNK_TEXTS
            ):
                current = _Chunk(number, position, position, 0)
                chunks.append(current)
            current.end, current.tokens = position + 1, current.tokens + tokens
    return chunks
