"""What the argument `model` may be, as a scorer, and who shares it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from inspect import Parameter, signature
from os import PathLike
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, cast
from weakref import WeakSet

from langchain_core.cross_encoders import BaseCrossEncoder

from langchain_rerank.checks import shown
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers import contract
from langchain_rerank.scorers.contract import Scorer
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.pairs import PairScorer
from langchain_rerank.scorers.prompt import RerankPrompt

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

    ModelLike = str | PathLike[str] | Scorer | BaseCrossEncoder | CrossEncoder
    """What may stand as `model`: a hub name or path, a scorer, LangChain's or
    sentence-transformers' cross-encoder."""
else:
    ModelLike = Any  # `resolve_scorer` checks it, and pydantic would have to import all of them

LOAD_SETTINGS: Final[dict[str, Any]] = {
    name: parameter.default
    for name, parameter in signature(CrossEncoderScorer).parameters.items()
    if parameter.kind is Parameter.KEYWORD_ONLY
}
"""The settings of a model that is loaded here, with their defaults: those of its scorer."""


class ModelSettings(TypedDict, total=False):
    """Some of `LOAD_SETTINGS`, for signatures; `CrossEncoderScorer` says what they mean."""

    device: str
    dtype: str
    backend: str
    max_length: int | Literal["model"] | None
    max_batch_tokens: int | None
    instruction: str | None
    prompt: RerankPrompt | None
    revision: str | None
    trust_remote_code: bool
    model_kwargs: Mapping[str, Any] | None
    calibration_texts: Sequence[str] | None


def resolve_scorer(model: ModelLike, **load_settings: Any) -> Scorer:
    """Return the scorer that `model` stands for; nothing is loaded.

    Args:
        model: A model name or local path, a `sentence_transformers.CrossEncoder`, a
            `langchain_core` `BaseCrossEncoder`, or a scorer, which is returned as it is.
        **load_settings: Some of `LOAD_SETTINGS`, as `CrossEncoderScorer` takes them.

    Raises:
        ConfigurationError: `model` is none of these, or load settings are given for a model that
            loads by itself.
    """
    if isinstance(model, (str, PathLike)) or _is_sentence_transformers(model):
        return CrossEncoderScorer(
            cast("str | PathLike[str] | CrossEncoder", model), **load_settings
        )
    given = sorted(
        key for key, value in load_settings.items() if not _same(value, LOAD_SETTINGS[key])
    )
    if given:
        raise ConfigurationError(
            f"{', '.join(given)} cannot be applied to a {type(model).__name__}, which loads its "
            f"own model. Give {'them' if len(given) > 1 else 'it'} to that object instead."
        )
    if isinstance(model, BaseCrossEncoder):
        return PairScorer(model.score, name=type(model).__name__)
    if isinstance(model, Scorer) and not isinstance(model, type):
        return model
    raise ConfigurationError(
        f"model must be a model name, a path, a sentence_transformers.CrossEncoder, a LangChain "
        f"BaseCrossEncoder or an object with score(query, texts); got {shown(model)}."
    )


def _is_sentence_transformers(model: object) -> bool:
    # Whoever has a CrossEncoder has imported its package: no need to import it to find out.
    package = sys.modules.get("sentence_transformers")
    return package is not None and isinstance(model, package.CrossEncoder)


class ScorerUser:
    """Stands for an object among the users of a scorer."""


class _Users(WeakSet[ScorerUser]):
    """Users; a scorer that was unpickled or copied in depth has none until it is used."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _Users, ()


class SharedScorer:
    """The scorer that `model` stands for, open until the last of its users has left it.

    Args:
        model: As `resolve_scorer` takes it.
        load_settings: The same.

    Raises:
        ConfigurationError: As from `resolve_scorer`.
    """

    def __init__(self, model: ModelLike, load_settings: Mapping[str, Any]) -> None:
        self._made_from = (model, *load_settings.values())
        self._scorer = resolve_scorer(model, **load_settings)
        self._users = _Users()

    def is_for(self, model: Any, load_settings: Mapping[str, Any]) -> bool:
        """Return whether this is what `model` stands for under `load_settings`."""
        return all(map(_same, self._made_from, (model, *load_settings.values())))

    def used_by(self, user: ScorerUser) -> Scorer:
        """Return the scorer, which stays open for `user`."""
        self._users.add(user)
        return self._scorer

    def left_by(self, user: ScorerUser) -> None:
        """Close the scorer if `user` was the last, unless it was passed in as `model`."""
        self._users.discard(user)
        if not self._users and self._scorer is not self._made_from[0]:
            contract.close(self._scorer)


def _same(mine: Any, theirs: Any) -> bool:
    # Only plain settings are compared by value: comparing models or arrays can cost or raise.
    return mine is theirs or (
        type(mine) is type(theirs)
        and isinstance(mine, (str, int, bool, Mapping, PathLike))
        and mine == theirs
    )
