"""Models in OpenVINO's form on disk: whole or absent, and made by one process at a time."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock

from langchain_rerank.scorers.engine.forward.openvino_package import openvino
from langchain_rerank.user_cache import cache_folder

logger = logging.getLogger(__name__)


def keep(converted: Any, folder: Path) -> Any:
    """Return `converted` as every later run reads it from `folder`; None if it cannot be kept."""
    reason: object = "it reads back differently"
    try:
        _write(converted, folder)
    except (OSError, RuntimeError) as error:  # OpenVINO raises the second when a disk is full
        reason = error
    kept = read(folder)
    if kept is None:
        logger.warning(
            "The converted model cannot be kept in %s (%s); it is converted at every start.",
            folder,
            reason,
        )
    return kept


def remove(folder: Path) -> None:
    """Remove what is kept in `folder`, where that can be done."""
    with one_at_a_time(folder):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one thread of one process make `folder` while the others wait for it.

    Two that met would both convert, and one could take away what the other was about to read. The
    lock ends with the process that holds it. Without a place for it, nobody waits.
    """
    file = cache_folder("openvino-locks") / f"{folder.name}.lock"
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError, NotImplementedError):
            file.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(file))
        yield


def _write(model: Any, folder: Path) -> None:
    """Write `model` aside and rename: nobody finds half of it, and two processes do not mix."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        openvino().save_model(model, aside / "model.xml", compress_to_fp16=False)
        (aside / "sha256").write_text(_checksum(aside), "utf-8")
        if folder.exists():
            shutil.rmtree(folder)  # It was found damaged.
        os.rename(aside, folder)  # noqa: PTH104  # Path.rename would say the same at more length
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def read(folder: Path) -> Any:
    """Return the model that was kept in `folder`, or None where there is none or it is damaged."""
    try:
        if (folder / "sha256").read_text("utf-8") == _checksum(folder):
            return openvino().Core().read_model(folder / "model.xml")
        reason: object = "its checksum is wrong"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RuntimeError) as error:
        reason = error
    logger.warning("The converted model in %s is not usable (%s); converting anew.", folder, reason)
    return None


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("model.xml", "model.bin"):
        with (folder / name).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
