"""What a function is and what it holds: its code, and what that is closed over and reads."""

from __future__ import annotations

import dis
import hashlib
import inspect
from collections.abc import Iterator
from functools import partial
from types import CodeType
from typing import Any


def is_function(thing: Any) -> bool:
    """Return whether `thing` is a function, a method, or one of them with arguments or a cache."""
    cached = hasattr(type(thing), "cache_info")
    return inspect.isroutine(thing) or isinstance(thing, partial) or cached


def code_of(code: CodeType) -> str:
    """Return what names this code, the same in every process; comments and places do not count."""
    found = hashlib.sha256(code.co_code)
    for one in (*code.co_names, *code.co_consts):
        found.update(_constant(one).encode())
    return found.hexdigest()[:16]


def _constant(value: Any) -> str:
    if isinstance(value, CodeType):
        return code_of(value)
    # The order of a set is another one in the next process.
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)


def held_by(function: Any) -> Iterator[Any]:
    """Yield the defaults of a function and what it is closed over, but for what it counts."""
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    counted = set(_names(function.__code__, "STORE_DEREF"))
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name not in counted and _filled(cell):
            yield cell.cell_contents


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # the name has no value yet
        return False


def read_by(function: Any) -> Iterator[Any]:
    """Yield what a function reads of its module: objects and functions; numbers may be counts."""
    known = function.__globals__
    for name in sorted(set(_names(function.__code__, "LOAD_GLOBAL")) & known.keys()):
        one = known[name]
        foreign = inspect.isfunction(one) and one.__module__ != function.__module__
        if not foreign and not isinstance(one, (str, int, float)):
            yield one


def _names(code: CodeType, operation: str) -> Iterator[str]:
    """Yield the names that code, and what is defined in it, uses in one way."""
    for one in dis.get_instructions(code):
        if one.opname == operation:
            yield one.argval
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _names(one, operation)
