"""Settings and queries that are refused, with what to do instead."""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from langchain_rerank.errors import ConfigurationError, InputError, InputTypeError, see

T = TypeVar("T")


def listed(values: Iterable[T], name: str, what: str) -> list[T]:
    """Return `values` as a list: whatever gives its items in order, but for texts.

    The message calls them `name`, and says that they should be `what` ("documents").

    Raises:
        InputTypeError: It is a text, gives no items, or none in order, as a set or a mapping.

    Examples:
        >>> listed(("a", "b"), "texts", "texts")
        ['a', 'b']
    """
    try:
        unfit = isinstance(values, (str, bytes, bytearray, Mapping, set, frozenset))
        items = None if unfit else iter(values)
    except TypeError:
        items = None
    if items is None:
        raise InputTypeError(
            f"{name} must be a sequence of {what}, in order, got {type(values).__name__}: "
            f"{shown(values)}. Make a list of it, of one thing alone too."
        )
    return list(items)


def check_embeddings(embeddings: object) -> None:
    """Refuse what cannot embed queries and documents.

    Raises:
        ConfigurationError: It lacks a method.
    """
    for name in ("embed_query", "embed_documents"):
        if not callable(getattr(embeddings, name, None)):
            raise ConfigurationError(
                f"embeddings is a {type(embeddings).__name__} without {name}(); expected "
                f"LangChain embeddings, or an object with embed_query and embed_documents."
            )


def check_text(query: object) -> str:
    """Return a query that is a text.

    Raises:
        InputTypeError: Not a string.
    """
    if not isinstance(query, str):
        raise InputTypeError(
            f"The query must be a string, got {type(query).__name__}: {shown(query)}."
        )
    return query


def check_query(query: object) -> None:
    """Refuse a query that is not a text with something in it.

    Raises:
        InputTypeError: Not a string.
        InputError: Empty, or only white space.
    """
    text = check_text(query)
    if not text.strip():
        raise InputError(
            f"The query is {shown(query)}: there is nothing to rank by. Give a query with "
            f"at least one word, or skip retrieval where the user asked nothing. "
            f"{see('nothing-to-rank-by')}"
        )


def whole_number(value: object, name: str, *, least: int = 1, otherwise: str = "") -> int:
    """Return `value` as a Python integer: whatever is one (NumPy's too), but for booleans.

    Args:
        value: What was given for the setting.
        name: The setting, for the message.
        least: The smallest value that is allowed.
        otherwise: What else the setting takes, for the message, such as "None for all".

    Raises:
        ConfigurationError: Not a whole number, less than `least`, or more than `sys.maxsize`.

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
            f"{name}={shown(value)}: it must be a whole number of at least {least}{otherwise}."
        )
    if number > sys.maxsize:  # no list is longer, and Python refuses to print much larger ones
        raise ConfigurationError(
            f"{name}={shown(value)}: it must be at most {sys.maxsize}{otherwise}."
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


def check_flag(value: object, name: str) -> bool:
    """Return `value` if it is True or False (NumPy's too): "no" would count as yes.

    Raises:
        ConfigurationError: It is not.

    Examples:
        >>> check_flag(False, "pointwise")
        False
    """
    if not is_boolean(value) or getattr(value, "ndim", False):
        raise ConfigurationError(f"{name}={shown(value)}: it must be True or False.")
    return bool(value)


def check_fits(name: str, value: object, fits: bool, expected: str) -> None:
    """Refuse a setting that does not fit; `expected` says what does.

    Raises:
        ConfigurationError: It does not.
    """
    if not fits:
        raise ConfigurationError(f"{name}={shown(value)}: it must be {expected}.")


def is_one_of(value: object, names: Collection[str]) -> bool:
    """Return whether `value` is one of the `names`: False for what has no hash or no equality."""
    return isinstance(value, str) and value in names


def check_top_n(value: object) -> int | None:
    """Return `value` if it is a valid `top_n`.

    Raises:
        ConfigurationError: Neither None nor a whole number of at least 1.
    """
    if value is None:
        return None
    return whole_number(value, "top_n", otherwise=", or None for all documents")


def check_call(retriever: str, unknown: Iterable[str]) -> None:
    """Refuse arguments of a call that a first stage of this package does not know.

    Raises:
        ConfigurationError: There is one.
    """
    if names := sorted(unknown):
        raise ConfigurationError(
            f"{retriever} takes k and filter per call, got {', '.join(names)}."
        )


def check_seconds(name: str, value: object, *, zero: bool = False) -> float:
    """Return `value` if it is a finite number of seconds above 0, or also 0 where `zero` allows it.

    Raises:
        ConfigurationError: It is not.
    """
    seconds = real_number(value)
    if seconds is not None and math.isfinite(seconds) and (seconds > 0 or (zero and seconds == 0)):
        return seconds
    least = "of at least 0" if zero else "above 0"
    raise ConfigurationError(f"{name}={shown(value)}: it must be a number of seconds {least}.")


def check_threshold(value: object) -> float | None:
    """Return `value` if it is a valid `score_threshold`.

    Raises:
        ConfigurationError: Neither None nor a number.
    """
    if value is None:
        return None
    number = real_number(value)
    if number is None or math.isnan(number):
        raise ConfigurationError(f"score_threshold must be a number or None, got {shown(value)}.")
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
        raise ConfigurationError(f"{name}={shown(value)}: it must be a number from 0 to 1.")
    return number


def device_name(value: Any) -> Any:
    """Return a torch device as its name; anything else as it is."""
    return str(value) if _is_from_torch(value, "device") else value


def dtype_name(value: Any) -> Any:
    """Return a torch dtype as its name without `torch.`; anything else as it is."""
    return str(value).removeprefix("torch.") if _is_from_torch(value, "dtype") else value


def _is_from_torch(value: object, name: str) -> bool:
    # Whoever has one has imported torch: no need to import it to find out.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, getattr(torch, name))


def shown(value: object) -> str:
    """Return `value` as a message can show it, in at most 200 characters.

    Python refuses to print very long integers and what is nested too deeply; an object may refuse
    with anything.
    """
    try:
        return repr(value)[:200]
    except Exception:  # noqa: BLE001 - as the docstring says
        if isinstance(value, int):
            return f"an integer of {value.bit_length()} bits"
        return f"a {type(value).__name__} that cannot be shown"


def with_setting(retriever: Any, name: str, value: Any) -> Any:
    """Return a copy of a reranking retriever or compressor with a setting that was tuned.

    Raises:
        ConfigurationError: It has no such setting.
    """
    if name not in getattr(type(retriever), "model_fields", {}):
        raise ConfigurationError(
            f"{type(retriever).__name__} has no {name}; expected a CrossEncoderRerankRetriever or "
            f"a CrossEncoderReranker."
        )
    return retriever.model_copy(update={name: value})
