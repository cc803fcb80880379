"""Whether the fingerprint in a journal is that of this run."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from langchain_rerank.errors import ConfigurationError


def same_run(old: Mapping[str, Any], new: Mapping[str, Any], path: Path) -> None:
    """Check that a journal was written by the run that is to go on with it.

    Raises:
        ConfigurationError: They differ; it names the first place.
    """
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if differing:
        where, was, now = _first_difference(
            differing[0], old.get(differing[0]), new.get(differing[0])
        )
        raise ConfigurationError(
            f"The journal {path} cannot be resumed: {', '.join(differing)} differ "
            f"({where} was {str(was)[:80]}, is {str(now)[:80]}). Use the settings of the first "
            f"run, or start anew without resume."
        )


def _first_difference(where: str, old: Any, new: Any) -> tuple[str, Any, Any]:
    """Return the innermost first place where two JSON values differ, and both values there."""
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [(key, old.get(key), new.get(key)) for key in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list) and old and new:
        parts = [(number, *values) for number, values in enumerate(zip_longest(old, new))]
    else:
        return where, old, new
    for key, was, now in parts:
        if was != now:
            return _first_difference(f"{where}.{key}", was, now)
    return where, old, new  # One says null where the other says nothing.
