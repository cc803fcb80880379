"""What tells one model from another: its files, and what else decides how it computes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_rerank.embedded import MODEL_FOLDER
from langchain_rerank.optional import version_of, versions
from langchain_rerank.scorers.engine.device import float32_products
from langchain_rerank.scorers.engine.settings import EMBEDDED, INT8, LoadSettings
from langchain_rerank.scorers.engine.tokens.setup import model_file

if TYPE_CHECKING:
    import torch

# What people and training leave beside a model, and loading does not read.
_NOT_READ = frozenset(
    {".log", ".md", ".csv", ".tsv", ".jsonl", ".png", ".jpg", ".svg", ".html", ".ipynb", ".out"}
    | {".err", ".tmp", ".lock", ".pt", ".pth", ".yaml", ".yml", ".zip", ".gz"}
)
_LEFT_BY_TRAINING = ("trainer_state.json", "training_args.bin", "_results.json")


def fingerprint(model: str) -> str:
    """Return what tells one model from another: its name, and the files of a local folder.

    Only files that loading reads count: a log beside the weights makes no other model.

    Args:
        model: Hub name or path.
    """
    folder = Path(model)
    if not folder.is_dir():
        return model
    # Sizes and times stand for the contents: hashing gigabytes of weights would cost seconds.
    facts = [
        (str(one.relative_to(folder)), one.stat().st_size, one.stat().st_mtime_ns)
        for one in sorted(_files_in(folder))
    ]
    return json.dumps([str(folder.resolve()), facts])


def _files_in(folder: Path) -> Iterator[Path]:
    for place in (folder, folder / "additional_chat_templates", *_modules(folder)):
        if place.is_dir():
            yield from (one for one in place.iterdir() if one.is_file() and _is_read(one))


def _modules(folder: Path) -> set[Path]:
    """Return the folders of the modules that sentence-transformers finds in `folder`."""
    try:
        modules = json.loads((folder / "modules.json").read_text("utf-8"))
        return {folder / module["path"] for module in modules if module["path"]}
    except (OSError, ValueError, TypeError, KeyError):
        return set()  # There is none, or loading will say what is wrong with it.


def _is_read(file: Path) -> bool:
    if file.name.startswith(".") or file.name.endswith(_LEFT_BY_TRAINING):
        return False
    return file.suffix.lower() not in _NOT_READ


def content_of(settings: LoadSettings) -> str | None:
    """Return what tells the model from others of its name; None for one that was passed in.

    A folder in which a model was trained anew holds another one.
    """
    if not isinstance(settings.model, str):
        return None
    return fingerprint(str(MODEL_FOLDER) if settings.model == EMBEDDED else settings.model)


def verdict_key(
    settings: LoadSettings, device: torch.device, dtype: torch.dtype, max_length: int
) -> dict[str, Any] | None:
    """Return what decides how a model computes, as JSON data; None where its files are unknown."""
    import torch
    import transformers

    files = _files(settings)
    if files is None:
        return None
    packages = {"openvino": ("openvino",), INT8: ("openvino", "nncf")}
    converted_by = packages.get(INT8 if settings.dtype == INT8 else settings.backend, ())
    return {
        "files": files,
        "converted_by": versions(converted_by),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        # Asked for without importing it: the embedded model does without.
        "sentence_transformers": version_of("sentence-transformers"),
        "langchain_rerank": sys.modules["langchain_rerank"].__version__,  # no import upwards
        "device": device.type,
        "dtype": str(dtype),
        "float32_products": float32_products(),
        "max_length": max_length,
        "prompt": repr(settings.prompt),
        "calibration_texts": settings.calibration_digest,
        "model_kwargs": repr(sorted(settings.stated_kwargs.items())),
    }


def _files(settings: LoadSettings) -> str | None:
    """Return what stands for a model's files: those of a folder, or the commit of a hub model."""
    if not isinstance(settings.model, str):
        return None
    if settings.model == EMBEDDED:
        return fingerprint(str(MODEL_FOLDER))
    if Path(settings.model).is_dir():
        return fingerprint(settings.model)
    config = model_file(settings.model, "config.json", settings.revision)
    # A folder of the hub's cache has the commit in its path, and is never changed.
    return str(Path(config).parent) if config else None
