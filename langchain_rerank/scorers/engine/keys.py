"""What is one loaded model: the same files or object, loaded in one way to one place."""

from __future__ import annotations

import itertools
import os
import weakref
from typing import Any, NamedTuple

from langchain_rerank.locks import ProcessLock
from langchain_rerank.scorers.engine.device import choose_device, choose_dtype
from langchain_rerank.scorers.engine.loading import placement
from langchain_rerank.scorers.engine.model_files import content_of
from langchain_rerank.scorers.engine.settings import INT8, LoadSettings


class Key(NamedTuple):
    """What is shared: the weights in files, or of an object, loaded in one way to one place.

    Attributes:
        source: The name, or what stands for a model that was passed in.
        content: What tells its files from others of that name; None for one that was passed in.
        revision: Of the hub.
        arguments: What else loading is given.
        backend: What computes.
        device: Where.
        dtype: In which precision.
    """

    source: str
    content: str | None
    revision: str | None
    arguments: str
    backend: str
    device: str
    dtype: str


def key_of(settings: LoadSettings) -> Key:
    """Return what `settings` stand for on this machine.

    Raises:
        ConfigurationError: The device or the precision is not there.
    """
    if isinstance(settings.model, str):
        device = choose_device(settings.device)
        dtype = choose_dtype(settings.dtype, device)
        folder = os.path.isdir(settings.model)  # noqa: PTH112  # os takes any string as it is
        source = os.path.realpath(settings.model) if folder else settings.model
    else:
        device, dtype = placement(settings, settings.model)
        with _lock():
            source = f"object {_numbers.setdefault(settings.model, next(_next_number))}"
    return Key(
        source=source,
        content=content_of(settings),
        revision=settings.revision,
        arguments=repr(
            (
                settings.trust_remote_code,
                settings.prompt,
                settings.calibration_digest,
                sorted(settings.model_kwargs.items()),
            )
        ),
        backend=settings.backend,
        device=str(device),
        dtype=INT8 if settings.dtype == INT8 else str(dtype).removeprefix("torch."),
    )


_lock = ProcessLock()
_numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
_next_number = itertools.count()
