"""OpenVINO as a package: imported on use, without the usage statistics that it sends."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from langchain_rerank.optional import require

_TELEMETRY = "openvino_telemetry"

_importing = threading.Lock()


def _renew_lock() -> None:
    global _importing  # noqa: PLW0603  # a thread of the parent may have held it at the fork
    _importing = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_renew_lock)


def openvino() -> Any:
    """Return the package openvino, without the usage statistics that it sends when imported.

    Whoever has imported it before has decided for himself.

    Raises:
        MissingExtraError: It is not installed.
    """
    with _importing:
        silenced = _TELEMETRY not in sys.modules
        if silenced:
            # What cannot be imported is replaced by a stub, of openvino's own making.
            sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # that is how to say it
        try:
            return require("openvino", extra="openvino")
        finally:
            if silenced:
                del sys.modules[_TELEMETRY]
