"""The guarded import of ragas: on use, without telemetry, with the langchain-community at hand.

ragas 0.4.3 imports `langchain_community.chat_models.vertexai`, which langchain-community 0.4.2 no
longer has, for a class that it only compares types with. A stub answers that one module while the
import runs; nothing of it stays behind in `sys.modules`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from langchain_rerank.optional import require

DO_NOT_TRACK = "RAGAS_DO_NOT_TRACK"
_MISSING = "langchain_community.chat_models.vertexai"
_lock = threading.Lock()


def import_ragas(module: str = "ragas") -> Any:
    """Return ragas, or a module of it, imported with its telemetry off.

    The telemetry posts to a server twice per answer of a judge, and blocks meanwhile. It stays on
    only where the environment sets `RAGAS_DO_NOT_TRACK` to "false", "0", "no" or "off".

    Args:
        module: The dotted name.

    Raises:
        MissingExtraError: ragas is not installed; the message has the pip command.
    """
    with _lock:
        _turn_telemetry_off()
        if module in sys.modules:
            return sys.modules[module]
        require_installed()
        with _stub_of_what_is_gone(), warnings.catch_warnings():
            # Deprecations inside ragas and langchain-community are not the user's to mend.
            warnings.simplefilter("ignore")
            return importlib.import_module(module)


def require_installed() -> None:
    """Raise where ragas is not installed, without importing it."""
    if "ragas" not in sys.modules and importlib.util.find_spec("ragas") is None:
        require("ragas", extra="ragas")


def _turn_telemetry_off() -> None:
    # ragas knows only "true"; whoever wrote "1" or "yes" meant the same.
    setting = os.environ.get(DO_NOT_TRACK, "").strip().lower()
    if setting not in {"false", "0", "no", "off"}:
        os.environ[DO_NOT_TRACK] = "true"
    analytics = sys.modules.get("ragas._analytics")
    if analytics is not None:
        # Somebody imported ragas before: it may remember that the variable was not set.
        analytics.do_not_track.cache_clear()


@contextmanager
def _stub_of_what_is_gone() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if _is_there(_MISSING):
            yield
            return
    stub = ModuleType(_MISSING)
    stub.ChatVertexAI = type("ChatVertexAI", (), {})  # type: ignore[attr-defined]
    sys.modules[_MISSING] = stub
    try:
        yield
    finally:
        del sys.modules[_MISSING]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        # langchain-community itself is missing: ragas says so better than a stub could.
        return True
