"""Where what can be made again is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "LANGCHAIN_RERANK_CACHE"


def cache_folder(kind: str) -> Path:
    """Return this package's folder for one kind of kept files; it may not exist yet.

    It is below the folder that the environment variable `LANGCHAIN_RERANK_CACHE` names, else below
    the operating system's folder for caches of this user: `~/.cache` or `$XDG_CACHE_HOME` on Linux,
    `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows.
    """
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser().absolute() / kind
    from platformdirs import user_cache_path

    return user_cache_path("langchain-rerank", appauthor=False) / kind
