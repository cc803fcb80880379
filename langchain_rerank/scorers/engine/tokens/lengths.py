"""Telling a model where to cut, also where its `predict` cannot be told."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

# By first module: two engines may hold one model that was passed in.
_locks: WeakKeyDictionary[Any, threading.Lock] = WeakKeyDictionary()

if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_locks.clear)  # A thread of the parent may have held one.


@contextmanager
def cut_at(model: CrossEncoder, max_length: int) -> Iterator[None]:
    """Make `preprocess` and `predict` of `model` cut at `max_length` meanwhile.

    Before version 5.5, sentence-transformers ignores the `processing_kwargs` of a call, so that the
    model's own are changed and put back. Newer versions are told with the call.
    """
    first: Any = model[0]
    own = getattr(first, "processing_kwargs", None)
    if own is None or _takes_processing_kwargs(first.__class__):
        yield
        return
    with _locks.setdefault(first, threading.Lock()):
        first.processing_kwargs = own | {"text": own.get("text", {}) | {"max_length": max_length}}
        try:
            yield
        finally:
            first.processing_kwargs = own


def _takes_processing_kwargs(kind: type) -> bool:
    """Return whether `preprocess` does, be it by way of a base class."""
    return any(
        "processing_kwargs" in inspect.signature(vars(one)["preprocess"]).parameters
        for one in kind.__mro__
        if "preprocess" in vars(one)
    )
