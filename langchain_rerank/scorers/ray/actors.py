"""The actors: a copy of the model in each, and what they ask Ray for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_rerank.checks import real_number, shown
from langchain_rerank.errors import ConfigurationError, RerankError
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer


@dataclass(eq=False)
class Member:
    """An actor of the pool and the estimated tokens that it still has to compute."""

    handle: Any
    loaded: Any  # a reference that is there once the model is, or the actor died
    waiting: int = 0
    placed: bool = False  # that the reference is there; before, the cluster may have no room for it


class ModelCopy:
    """The model in an actor: its calls wait at the same time and share batches."""

    def __init__(self, model: str, load_settings: Mapping[str, Any]) -> None:
        self._scorer = CrossEncoderScorer(model, **load_settings)
        self._failure: RerankError | None = None
        try:
            self._scorer.load()
        except RerankError as error:
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


def usable(ray: Any, members: Sequence[Member]) -> Sequence[Member]:
    """Return the actors that are there, or all if none is: an actor may wait for room for ever."""
    coming = {member.loaded: member for member in members if not member.placed}
    if coming:
        ready, _ = ray.wait([*coming], num_returns=len(coming), timeout=0)
        for reference in ready:
            coming[reference].placed = True
    return [member for member in members if member.placed] or members


def had_loaded(ray: Any, member: Member) -> bool:
    """Return whether an actor that died had loaded its model: only then was it at work."""
    try:
        return bool(ray.get(member.loaded, timeout=0))
    except Exception:  # noqa: BLE001 - whatever it was, it did not load
        return False


def model_name(model: object) -> str:
    """Return `model` if other machines can load it by this name.

    Raises:
        ConfigurationError: It is a loaded model, or no name at all.
    """
    if isinstance(model, str):
        return model
    raise ConfigurationError(
        f"model must be a name or a folder that every machine can load, got {type(model).__name__}."
    )


def resources_of(**shares: object) -> dict[str, float]:
    """Return what an actor asks Ray for, by name.

    Raises:
        ConfigurationError: A share is no number of at least 0.
    """
    found = {}
    for name, value in shares.items():
        number = real_number(value)
        if number is None or not 0.0 <= number < float("inf"):
            raise ConfigurationError(f"{name}={shown(value)}: it must be a number of at least 0.")
        found[name] = number
    return found


def session_of(ray: Any) -> tuple[str, str]:
    """Return what tells this connection to a cluster from those before it; actors end with it."""
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()
