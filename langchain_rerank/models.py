"""What the argument `model` may be, as a scorer."""

from __future__ import annotations

import sys
from os import PathLike
from typing import Any, Final

from langchain_core.cross_encoders import BaseCrossEncoder

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.base import Scorer
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.pairs import PairScorer

LOAD_SETTINGS: Final[dict[str, Any]] = {
    "device": "auto",
    "dtype": "auto",
    "backend": "torch",
    "max_length": None,
    "instruction": None,
    "revision": None,
    "trust_remote_code": False,
    "model_kwargs": None,
}
"""The settings of a model that is loaded here, with their defaults."""


def resolve_scorer(model: Any, **load_settings: Any) -> Scorer:
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
        return CrossEncoderScorer(model, **load_settings)
    given = sorted(key for key, value in load_settings.items() if value != LOAD_SETTINGS[key])
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
        f"BaseCrossEncoder or an object with score(query, texts); got {model!r}."
    )


def _is_sentence_transformers(model: object) -> bool:
    # Whoever has a CrossEncoder has imported its package: no need to import it to find out.
    package = sys.modules.get("sentence_transformers")
    return package is not None and isinstance(model, package.CrossEncoder)
