"""OpenVINO as a package: imported on use, without the usage statistics that it sends."""

from __future__ import annotations

import sys
from typing import Any

from langchain_rerank.locks import ProcessLock
from langchain_rerank.optional import require

_TELEMETRY = "openvino_telemetry"

_importing = ProcessLock()


def openvino() -> Any:
    """Return the package openvino, without the usage statistics that it sends when imported.

    Whoever has imported it before has decided for himself.

    Raises:
        MissingExtraError: It is not installed.
    """
    with _importing():
        silenced = _TELEMETRY not in sys.modules
        if silenced:
            # What cannot be imported is replaced by a stub, of openvino's own making.
            sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # that is how to say it
        try:
            return require("openvino", extra="openvino")
        finally:
            if silenced:
                del sys.modules[_TELEMETRY]
