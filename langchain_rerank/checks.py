"""Settings and queries that are refused, with what to do instead."""

from __future__ import annotations

import math
import operator
import sys

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


def whole_number(value: object, name: str, *, least: int = 1, otherwise: str = "") -> int:
    """Return `value` as a Python integer: whatever is one (NumPy's too), but for booleans.

    Args:
        value: What was given for the setting.
        name: The setting, for the message.
        least: The smallest value that is allowed.
        otherwise: What else the setting takes, for the message, such as "None for all".

    Raises:
        ConfigurationError: Not a whole number, or less than `least`.

    Examples:
        >>> whole_number(50, "first_stage_k")
        50
    """
    try:
        number = None if is_boolean(value) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < least:
        raise ConfigurationError(
            f"{name}={_shown(value)}: it must be a whole number of at least {least}{otherwise}."
        )
    return number


def real_number(value: object) -> float | None:
    """Return `value` as a Python float, or None where it is no number or too large for one.

    A number is what Python and NumPy count as real, and a tensor of one; text and booleans are not.

    Examples:
        >>> real_number(1), real_number("1"), real_number(10**400)
        (1.0, None, None)
    """
    if is_boolean(value) or isinstance(value, (str, bytes, bytearray)):
        return None
    if getattr(value, "ndim", 0):  # an array of one, which NumPy would take for a number
        return None
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def is_boolean(value: object) -> bool:
    """Return whether `value` is a truth value, Python's, NumPy's or torch's."""
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")


def check_top_n(value: object) -> int | None:
    """Return `value` if it is a valid `top_n`.

    Raises:
        ConfigurationError: Neither None nor a whole number of at least 1.
    """
    if value is None:
        return None
    return whole_number(value, "top_n", otherwise=", or None for all documents")


def check_first_stage_k(value: object) -> int:
    """Return `value` if it is a valid `first_stage_k`.

    Raises:
        ConfigurationError: Not a whole number of at least 1.
    """
    return whole_number(value, "first_stage_k")


def check_seconds(name: str, value: object, *, zero: bool = False) -> float:
    """Return `value` if it is a finite number of seconds above 0, or also 0 where `zero` allows it.

    Raises:
        ConfigurationError: It is not.
    """
    seconds = real_number(value)
    if seconds is not None and math.isfinite(seconds) and (seconds > 0 or (zero and seconds == 0)):
        return seconds
    least = "of at least 0" if zero else "above 0"
    raise ConfigurationError(f"{name}={_shown(value)}: it must be a number of seconds {least}.")


def check_threshold(value: object) -> float | None:
    """Return `value` if it is a valid `score_threshold`.

    Raises:
        ConfigurationError: Neither None nor a number.
    """
    if value is None:
        return None
    number = real_number(value)
    if number is None or math.isnan(number):
        raise ConfigurationError(f"score_threshold must be a number or None, got {_shown(value)}.")
    return number


def check_weight(value: object, name: str = "first_stage_weight") -> float:
    """Return `value` if it is a share, from 0 to 1.

    Raises:
        ConfigurationError: It is not.

    Examples:
        >>> check_weight(0)
        0.0
    """
    number = real_number(value)
    if number is None or not 0.0 <= number <= 1.0:
        raise ConfigurationError(f"{name}={_shown(value)}: it must be a number from 0 to 1.")
    return number


def device_name(value: object) -> object:
    """Return a torch device as its name; anything else as it is."""
    return str(value) if _is_from_torch(value, "device") else value


def dtype_name(value: object) -> object:
    """Return a torch dtype as its name without `torch.`; anything else as it is."""
    return str(value).removeprefix("torch.") if _is_from_torch(value, "dtype") else value


def _is_from_torch(value: object, name: str) -> bool:
    # Whoever has one has imported torch: no need to import it to find out.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, name))


def _shown(value: object) -> str:
    """Return `value` as a message can show it: Python refuses to print very long integers."""
    try:
        return repr(value)[:200]
    except ValueError:
        return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else "?"
