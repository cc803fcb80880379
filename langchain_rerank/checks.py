"""Settings and queries that are refused, with what to do instead."""

from __future__ import annotations

import math
from typing import TypeGuard

from langchain_rerank.errors import ConfigurationError, InputError, InputTypeError, see


def check_query(query: object) -> None:
    """Refuse a query that is not a text with something in it.

    Raises:
        InputTypeError: Not a string.
        InputError: Empty, or only white space.
    """
    if not isinstance(query, str):
        raise InputTypeError(f"The query must be a string, got {type(query).__name__}: {query!r}.")
    if not query.strip():
        raise InputError(
            f"The query is {query!r}: there is nothing to rank by. Give a query with at least one "
            f"word, or skip retrieval where the user asked nothing. {see('nothing-to-rank-by')}"
        )


def check_top_n(value: object) -> int | None:
    """Return `value` if it is a valid `top_n`.

    Raises:
        ConfigurationError: Neither None nor a whole number of at least 1.
    """
    if value is None or _is_count(value):
        return value
    raise ConfigurationError(
        f"top_n={value!r}: it must be a whole number of at least 1, or None for all documents."
    )


def check_first_stage_k(value: object) -> int:
    """Return `value` if it is a valid `first_stage_k`.

    Raises:
        ConfigurationError: Not a whole number of at least 1.
    """
    if _is_count(value):
        return value
    raise ConfigurationError(f"first_stage_k must be a whole number of at least 1, got {value!r}.")


def check_count(name: str, value: object) -> int:
    """Return `value` if it is a whole number of at least 1.

    Raises:
        ConfigurationError: It is not.
    """
    if _is_count(value):
        return value
    raise ConfigurationError(f"{name}={value!r}: it must be a whole number of at least 1.")


def check_seconds(name: str, value: object, *, zero: bool = False) -> float:
    """Return `value` if it is a finite number of seconds above 0, or also 0 where `zero` allows it.

    Raises:
        ConfigurationError: It is not.
    """
    if (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (value > 0 or (zero and value == 0))
    ):
        return float(value)
    least = "of at least 0" if zero else "above 0"
    raise ConfigurationError(f"{name}={value!r}: it must be a number of seconds {least}.")


def check_threshold(value: object) -> float | None:
    """Return `value` if it is a valid `score_threshold`.

    Raises:
        ConfigurationError: Neither None nor a number.
    """
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isnan(value):
        return value
    raise ConfigurationError(f"score_threshold must be a number or None, got {value!r}.")


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
