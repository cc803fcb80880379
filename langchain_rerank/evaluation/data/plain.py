"""Frozen dataclasses to plain data and back."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

from langchain_rerank.errors import ConfigurationError

T = TypeVar("T")


def plain(value: Any) -> Any:
    """Return `value` as dicts, lists and scalars; dataclasses become dicts of their fields."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        # Rankings are long lists of plain values: no call per element.
        if all(type(one) in {str, float, int} for one in value):
            return list(value)
        return [plain(one) for one in value]
    return value


def build(kind: type[T], value: Mapping[str, Any]) -> T:
    """Return the dataclass `kind` from what `plain` made of it.

    Raises:
        ConfigurationError: It is no mapping, or a field is missing or unknown.
    """
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{kind.__name__} is an object, got {str(value)[:60]!r}.")
    hints = _hints(typing.cast("Any", kind))
    unknown = [key for key in value if key not in hints]
    if unknown:
        raise ConfigurationError(
            f"{kind.__name__} has no field {unknown[0]!r}; it has {', '.join(hints)}. "
            f"Was this written by another version of langchain-rerank?"
        )
    try:
        return kind(**{key: _typed(hints[key], value[key]) for key in value})
    except TypeError as error:
        raise ConfigurationError(
            f"{kind.__name__} cannot be read from the fields {', '.join(value) or 'none'}: {error}"
        ) from error


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _typed(kind: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        if value is None:
            return None
        return _typed(next(one for one in arguments if one is not type(None)), value)
    if origin is tuple:
        element = arguments[0]
        return tuple(value if element in {str, float, int} else [_typed(element, v) for v in value])
    if origin is dict:
        return {key: _typed(arguments[1], one) for key, one in value.items()}
    if isinstance(kind, type) and is_dataclass(kind):
        return build(kind, value)
    return value
