"""The scorer that `--model`, `--model-arg`, `--model-url` and `--dialect` name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from rich.console import Console

from langchain_rerank.cli.loading import FirstStage
from langchain_rerank.cli.options import MODEL, load_settings
from langchain_rerank.embedded import FIRST_STAGE_WEIGHT
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.resolving import resolve_scorer
from langchain_rerank.scorers.contract import Scorer, scorer_name
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine.settings import EMBEDDED
from langchain_rerank.scorers.remote import RemoteScorer

if TYPE_CHECKING:
    from langchain_rerank.scorers.remote.dialects import DialectName


def default_weight(scorer: Scorer, first_stage: FirstStage) -> float:
    """Return the share of the first stage in the order, where none is asked for.

    The embedded model lacks what a bi-encoder knows, and a dense or hybrid first stage has that.
    """
    embedded = isinstance(scorer, CrossEncoderScorer) and scorer.settings.model == EMBEDDED
    return FIRST_STAGE_WEIGHT if embedded and first_stage is not FirstStage.bm25 else 0.0


def open_scorer(
    model: str | None,
    *,
    default: str = MODEL,
    model_arg: Sequence[str] | None = None,
    model_url: str | None = None,
    dialect: str | None = None,
) -> Scorer:
    """Return the scorer that the options name, or `default`; nothing is loaded, nobody asked.

    Raises:
        ConfigurationError: Options that contradict each other, or an impossible setting.
        MissingExtraError: httpx is not installed, and a server is named.
    """
    settings = load_settings(model_arg)
    if model_url is None:
        if dialect is not None:
            raise ConfigurationError(
                f"--dialect {dialect} is what a rerank server speaks: give the server's address "
                f"with --model-url, or leave --dialect out."
            )
        return resolve_scorer(model or default, **settings)
    if dialect is None:
        raise ConfigurationError(
            f"--model-url {model_url} needs --dialect: name what the server speaks, tei, cohere, "
            f"jina or vllm. It is not guessed."
        )
    revision = settings.pop("revision", None)
    if settings:
        raise ConfigurationError(
            f"--model-arg {', '.join(settings)}: the server at --model-url loads its own model. Of "
            f"the load settings only revision says something of it: the state its model is in."
        )
    return RemoteScorer(
        model_url, dialect=cast("DialectName", dialect), model=model, revision=revision
    )


def load(scorer: Scorer, notes: Console) -> None:
    """Load the scorer's model: one that cannot be stops the command here, not at each question.

    Raises:
        ModelLoadError: The model is not there, or is not a cross-encoder.
    """
    loader = getattr(scorer, "load", None)
    if callable(loader):
        with notes.status(f"Loading {scorer_name(scorer)}…"):
            loader()
