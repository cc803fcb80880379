"""Lists and mappings that became text when they were written into a cell, as what they were."""

from __future__ import annotations

import ast
import io
import itertools
import re
import tokenize
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any

from langchain_rerank.checks import shown
from langchain_rerank.errors import InputTypeError
from langchain_rerank.reading.json_values import parse

_QUOTED_FIRST = re.compile(r"^[\[(]\s*[rbu]?['\"]")


def unwritten(text: Any, *, strict: bool = False) -> Any:
    """Return the list or mapping that `text` was before it was written into a cell, or `text`.

    What is no text is returned as it is. With `strict`, all that begins with a bracket or a brace
    has to be one, as in a cell.

    Raises:
        InputTypeError: It looks like one and cannot be read.
    """
    if not isinstance(text, str):
        return text
    inside = text.strip()
    if not (_looks_written(inside) or (strict and inside.startswith(("[", "{")))):
        return text
    try:
        return parse(inside)
    except ValueError as error:
        with suppress(ValueError):
            return _literal(inside)
        raise InputTypeError(
            f"{shown(text)} looks like a list that became text, starts as JSON and is none "
            f'({error}), nor is it one of Python. Write it as JSON (["a", "b"]); a text that '
            f"begins so is written as a list of one."
        ) from error


def opened(value: Any) -> Any:
    """Return what `unwritten` does, and what looks like a list and is none as it is."""
    with suppress(InputTypeError):
        return unwritten(value)
    return value


def _looks_written(text: str) -> bool:
    closed = {"[": "]", "{": "}"}.get(text[:1])
    if closed is not None and text.endswith(closed):
        return True
    # One that was cut off, a tuple of texts, and what NumPy writes.
    return bool(_QUOTED_FIRST.match(text)) or text.startswith(("array([", "{'", '{"'))


def _literal(text: str) -> Any:
    """Return what a Python literal is; `['a' 'b']`, as NumPy writes lists, is none."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        pairs = itertools.pairwise(tokens)
        if any(a.type == b.type == tokenize.STRING for a, b in pairs):
            raise ValueError("texts without a comma between them")  # noqa: TRY301 - one kind
        tree = ast.parse(text, mode="eval")
        for one in ast.walk(tree):
            if isinstance(one, ast.Dict) and len({ast.dump(key) for key in one.keys if key}) < len(
                one.keys
            ):
                raise ValueError("a key stands twice in it")  # noqa: TRY301 - one kind
        found = ast.literal_eval(tree)
    except (ValueError, SyntaxError, tokenize.TokenError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return list(found) if isinstance(found, AbstractSet) else found
