"""Frozen dataclasses to plain data and back."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from langchain_rerank.errors import ConfigurationError

# Lone surrogates, and where they are put for a reader that refuses them: a private plane.
_HALF, _AWAY = re.compile("[\ud800-\udfff]"), 0x10F000 - 0xD800
_MOVED = re.compile("[\U0010f000-\U0010f7ff]")
_OTHER_VERSION = "Was this written by another version of langchain-rerank?"

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


def finite(value: Any) -> Any:
    """Return plain data with None for every NaN and infinity, which JSON does not have.

    Examples:
        >>> finite({"a": [1.0, float("nan")]})
        {'a': [1.0, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return value


def build(kind: type[T], value: Mapping[str, Any]) -> T:
    """Return the dataclass `kind` from what `plain` made of it, or JSON did.

    Raises:
        ConfigurationError: It is no mapping, or a field is missing, unknown or of another type.
    """
    name = kind.__name__
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} is an object, got {str(value)[:60]!r}.")
    try:
        # As JSON, where a list stands for a tuple; else nothing is taken for another type.
        text = json.dumps(value, default=str, ensure_ascii=False)
        whole, halves = _HALF.subn(lambda half: chr(ord(half[0]) + _AWAY), text)
        found: T = _adapter(cast("Any", kind)).validate_json(whole, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        given = "" if first["type"] == "missing" else f", got {str(first['input'])[:60]!r}"
        raise ConfigurationError(
            f"{name} cannot be read: {where}: {first['msg']}{given}. {_OTHER_VERSION}"
        ) from error
    if halves:
        found = _with_halves(found)
    unknown = next(_unknown(value, plain(found), name), None)
    if unknown is not None:
        raise ConfigurationError(f"{unknown} {_OTHER_VERSION}")
    return found


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _with_halves(value: Any) -> Any:
    """Return `value` with the halves of characters that JSON's reader does not take."""
    if isinstance(value, str):
        return _MOVED.sub(lambda moved: chr(ord(moved[0]) - _AWAY), value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(_with_halves, value))
    if isinstance(value, dict):
        return {_with_halves(key): _with_halves(one) for key, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{f.name: _with_halves(getattr(value, f.name)) for f in fields(value)}
        )
    return value


def _unknown(given: Any, known: Any, where: str) -> Iterator[str]:
    """Yield what is said of each field of `given` that a dataclass did not take."""
    if isinstance(given, Mapping) and isinstance(known, Mapping):
        for key, one in given.items():
            if str(key) in known:
                yield from _unknown(one, known[str(key)], f"{where}.{key}")
            else:
                yield f"{where} has no field {key!r}; it has {', '.join(known)}."
    elif isinstance(given, (list, tuple)) and isinstance(known, list):
        for position, (one, other) in enumerate(zip(given, known, strict=False)):
            yield from _unknown(one, other, f"{where}[{position}]")
