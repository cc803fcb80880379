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


def held_by(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield by name the defaults of a function and what it is closed over, but for its counts."""
    code, defaults = function.__code__, function.__defaults__ or ()
    yield from zip(code.co_varnames[code.co_argcount - len(defaults) :], defaults, strict=False)
    yield from (function.__kwdefaults__ or {}).items()
    counted = set(_names(code, "STORE_DEREF"))
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        if name not in counted and _filled(cell):
            yield name, cell.cell_contents


def read_by(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield by name what a function reads of its module: functions of that, values, objects."""
    code, known = function.__code__, function.__globals__
    read = set(_names(code, "LOAD_GLOBAL")) - set(_names(code, "STORE_GLOBAL"))
    for name in sorted(read & known.keys()):
        one = known[name]
        if not inspect.isfunction(one) or one.__module__ == function.__module__:
            yield name, one


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # the name has no value yet
        return False


def _names(code: CodeType, operation: str) -> Iterator[str]:
    """Yield the names that code, and what is defined in it, uses in one way."""
    for one in dis.get_instructions(code):
        if one.opname == operation:
            yield one.argval
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _names(one, operation)
