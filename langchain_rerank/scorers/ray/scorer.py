"""The scorer: chunks of each call go to the actors, and again where one dies."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from langchain_rerank.checks import whole_number
from langchain_rerank.errors import (
    RerankError,
    ScorerClosedError,
    ScorerError,
    ScorerTimeoutError,
    ScorerUnavailableError,
    see,
)
from langchain_rerank.optional import require
from langchain_rerank.scorers import deadline
from langchain_rerank.scorers.batching import BatchScorer
from langchain_rerank.scorers.contract import Request, Scores, joined
from langchain_rerank.scorers.cross_encoder import DEFAULT_MODEL, CrossEncoderScorer
from langchain_rerank.scorers.engine.settings import INT8
from langchain_rerank.scorers.ray.actors import (
    Member,
    ModelCopy,
    had_loaded,
    model_name,
    resources_of,
    session_of,
    usable,
)
from langchain_rerank.scorers.ray.chunks import Chunk, chunks_of

_log = logging.getLogger(__name__)

_AHEAD = 2  # chunks of a call that an actor has at once: one computes, one is ready
_MAX_ATTEMPTS = 8  # actors that may die under one chunk: then it is the chunk that kills them
_MAX_STILLBORN = 8  # actors in a row that may die before they have loaded the model


class RayScorer(BatchScorer):
    """Scores texts with `num_actors` copies of a model on a Ray cluster (extra `ray`).

    Each call is cut into chunks of up to 64 texts; a chunk goes to the actor that has the fewest
    tokens left to compute (estimated from characters). Where an actor dies, a new one takes its
    place and what it had not answered is scored elsewhere: nothing is lost, and nothing counted
    twice. Actors for which the cluster has no room, as after the loss of a machine, are left out
    until it has. Where none is to be had, the call waits, as Ray does, up to a deadline if there is
    one.

    Cheap to construct: the actors start on first use, in the cluster that `ray.init` connected to,
    else on this machine, and stop with `close`. A closed scorer starts them again, and so does one
    whose cluster was left (`ray.shutdown`) for another.

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
        model_name(model)
        self.num_actors = whole_number(num_actors, "num_actors")
        self._resources = resources_of(num_cpus=num_cpus, num_gpus=num_gpus)
        self._local = CrossEncoderScorer(model, **load_settings)  # never loaded: checks settings
        if texts := self._local.settings.calibration_texts:
            load_settings["calibration_texts"] = list(texts)  # of an iterator that has run out
        self._model, self._load_settings = model, load_settings
        self._restart()

    def _restart(self) -> None:
        self._members: list[Member] = []
        self._session = ("", "")
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name, for traces and reports."""
        return self._local.name

    @property
    def identity(self) -> dict[str, Any] | None:
        """That of the model; None where each machine finds its precision ("auto" and "int8")."""
        return None if self._local.settings.dtype in {"auto", INT8} else self._local.identity

    def load(self) -> None:
        """Start the actors now rather than on first use, and wait until all have loaded the model.

        Raises:
            ConfigurationError: What the settings ask for is not there on the actors' machines.
            ScorerError: The model cannot be loaded.
        """
        ray = require("ray", extra="ray")
        self._answer(ray, [member.loaded for member in self._pool(ray)])

    def _scored(self, requests: Sequence[Request]) -> list[Scores]:
        return [joined(parts) for parts in self._computed(requests, chunks_of(requests))]

    def close(self) -> None:
        """Stop the actors; calls under way end in `ScorerClosedError`."""
        with self._lock:
            members, self._members = self._members, []
        ray = require("ray", extra="ray")
        if members and ray.is_initialized() and session_of(ray) == self._session:
            for member in members:
                ray.kill(member.handle)

    def _pool(self, ray: Any) -> list[Member]:
        with self._lock:
            if not ray.is_initialized():
                ray.init(log_to_driver=False, include_dashboard=False)
            session = session_of(ray)
            if not self._members or session != self._session:
                self._members = [self._start(ray) for _ in range(self.num_actors)]
                self._session = session
            return self._members

    def _start(self, ray: Any) -> Member:
        actor = ray.remote(ModelCopy).options(max_restarts=0, max_concurrency=2, **self._resources)
        handle = actor.remote(self._model, self._load_settings)
        return Member(handle, handle.ready.remote())

    def _computed(self, requests: Sequence[Request], chunks: Sequence[Chunk]) -> list[list[Scores]]:
        ray = require("ray", extra="ray")
        members = self._pool(ray)
        waiting = deque(chunks)
        under_way: dict[Any, tuple[Chunk, Member]] = {}
        done: list[dict[int, Scores]] = [{} for _ in requests]
        stillborn: set[Member] = set()
        try:
            while waiting or under_way:
                asked = usable(ray, list(members))
                waiting.extendleft(self._recalled(ray, asked, under_way))
                while waiting and len(under_way) < _AHEAD * len(asked):
                    self._send(requests, waiting.popleft(), members, asked, under_way)
                # Where no actor is there yet, the first that comes will do.
                coming = [member.loaded for member in asked if not member.placed]
                ready, _ = ray.wait([*under_way, *coming], timeout=deadline.remaining())
                if not ready:
                    deadline.check(self.name)
                if not ready or ready[0] not in under_way:
                    continue
                chunk, member = under_way.pop(ready[0])
                self._finished(member, chunk)
                try:
                    scores, truncated = self._answer(ray, ready[0])
                except _ActorGoneError as error:
                    self._replace(ray, members, member)
                    if had_loaded(ray, member):
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

    def _recalled(
        self, ray: Any, asked: Sequence[Member], under_way: dict[Any, tuple[Chunk, Member]]
    ) -> list[Chunk]:
        """Take back what actors were sent that are not there, while others are."""
        recalled = []
        for reference, (chunk, member) in list(under_way.items()):
            if member not in asked and not member.placed:
                del under_way[reference]
                self._finished(member, chunk)
                ray.cancel(reference)
                recalled.append(chunk)
        return recalled

    def _send(
        self,
        requests: Sequence[Request],
        chunk: Chunk,
        members: Sequence[Member],
        asked: Sequence[Member],
        under_way: dict[Any, tuple[Chunk, Member]],
    ) -> None:
        query, texts = requests[chunk.request]
        with self._lock:
            if members is not self._members:
                raise ScorerClosedError(f"{self.name} was closed before it answered.")
            member = min(asked, key=lambda one: one.waiting)
            member.waiting += chunk.tokens
            handle = member.handle
        reference = handle.score.remote(query, list(texts[chunk.start : chunk.end]))
        under_way[reference] = (chunk, member)

    def _finished(self, member: Member, chunk: Chunk) -> None:
        with self._lock:
            member.waiting -= chunk.tokens

    def _replace(self, ray: Any, members: list[Member], dead: Member) -> None:
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
            if isinstance(error.cause, RerankError):
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
        return {
            k: v for k, v in self.__dict__.items() if k not in {"_members", "_lock", "_session"}
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._restart()

    def __repr__(self) -> str:
        return f"RayScorer({self.name!r}, num_actors={self.num_actors})"


class _ActorGoneError(Exception):
    """An actor died before it answered; its work can be done by another one."""
