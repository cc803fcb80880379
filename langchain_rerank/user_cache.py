"""Where what can be made again is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """Return this package's folder for one kind of kept files; it may not exist yet.

    Args:
        kind: What is kept there, such as "embeddings".
    """
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "langchain-rerank" / kind
