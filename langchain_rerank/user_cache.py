"""Where what can be made again is kept between runs."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_cache_path


def cache_folder(kind: str) -> Path:
    """Return this package's folder for one kind of kept files; it may not exist yet.

    It is below the operating system's folder for caches of this user: `~/.cache` or
    `$XDG_CACHE_HOME` on Linux, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows.
    """
    return user_cache_path("langchain-rerank", appauthor=False) / kind
