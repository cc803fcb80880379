"""`--json`: what a command found as data, in a file or on the screen."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.plain_text import printable

SCREEN = Path("-")

JsonOption = Annotated[
    Path | None,
    typer.Option("--json", help="Also write the result to this file ('-' for the screen)."),
]


def check_json(path: Path | None) -> None:
    """Refuse a file that cannot be written, before the work whose result would be lost.

    Raises:
        ConfigurationError: It is a folder, its folder is missing, or permission is.
    """
    if path is None or path == SCREEN:
        return
    if path.is_dir():
        raise ConfigurationError(f"--json {path} is a folder; name a file in it.")
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"--json {path}: there is no folder {path.parent}; make it, or name another."
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ConfigurationError(
            f"--json {path}: no permission to write there; name a file that you may write."
        )


def write_json(data: Any, path: Path) -> None:
    """Write `data` to a file, in UTF-8, or to the screen."""
    if path == SCREEN:
        typer.echo(_dumped(data, sys.stdout.encoding or "utf-8"))
        return
    try:
        path.write_text(_dumped(data, "utf-8") + "\n", encoding="utf-8")
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say where
        raise


def _dumped(data: Any, encoding: str) -> str:
    text = json.dumps(data, ensure_ascii=False, indent=2)
    # JSON can escape what the encoding has no character for, and what would command a terminal.
    return text if _shows(text, encoding) else json.dumps(data, indent=2)


def _shows(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return printable(text) == text
