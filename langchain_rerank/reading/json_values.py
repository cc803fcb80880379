"""JSON files: one value a line, an array, or a single object."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from langchain_rerank.errors import DataFileError
from langchain_rerank.reading.text import read_text

_SPACE = re.compile(r"[ \t\r\n]*")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object, none of whose keys has two values: Python's reader keeps the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next((key for key, value in pairs if value != found[key]), None)
        if twice is not None:
            raise ValueError(f"the key {twice[:60]!r} has two values in one object; keep one")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_object)


def read_json(path: Path, *, encoding: str | None = None) -> list[tuple[int, Any]]:
    """Return line (1-based) and value of each value in a JSON or JSONL file.

    The items of an array count as values. A file that holds one object gives that object.

    Raises:
        DataFileError: It cannot be read, or is no JSON; the message has the line.
    """
    text = read_text(path, encoding=encoding)
    if text.lstrip().startswith("["):
        return list(_items(text, path))
    if path.name.lower().removesuffix(".gz").endswith(".json"):
        try:
            return [(1, parse(text))]
        except ValueError as error:
            lines = [line for line in text.split("\n") if line.strip()]
            if len(lines) < 2 or not _is_json(lines[0]):
                raise DataFileError(f"This is no JSON ({error}).", path=path) from error
    return list(_lines(text, path))


def objects(rows: Iterable[tuple[int, Any]], path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line and object of each row of a file.

    Raises:
        DataFileError: A row is no JSON object.
    """
    for line, row in rows:
        if not isinstance(row, dict):
            raise DataFileError(
                f"A JSON object was expected, got {type(row).__name__}: {str(row)[:60]}",
                path=path,
                line=line,
            )
        yield line, row


def parse(text: str) -> Any:
    """Return what `text` holds.

    Raises:
        ValueError: It is no JSON, or more than Python reads of it; the message says why.
    """
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column" if error.lineno > 1 else "column"
        raise ValueError(f"{error.msg} at {where} {error.colno}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _is_json(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _lines(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    for line, one in enumerate(text.split("\n"), 1):
        if one.strip():
            try:
                yield line, parse(one)
            except ValueError as error:
                raise DataFileError(
                    f"This is no JSON ({error}); one JSON object per line was expected.",
                    path=path,
                    line=line,
                ) from error


def _items(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the items of the array that `text` is, with the line that each begins in."""
    at = _after_space(text, text.index("[") + 1)
    line, counted = 1, 0
    try:
        more = text[at : at + 1] != "]"
        while more:
            line += text.count("\n", counted, at)
            counted = at
            value, at = DECODER.raw_decode(text, at)
            yield line, value
            at = _after_space(text, at)
            more = text[at : at + 1] == ","
            at = _after_space(text, at + 1) if more else at
        _check_end(text, at)
    except RecursionError as error:
        raise DataFileError("it is nested too deeply", path=path, line=line) from error
    except json.JSONDecodeError as error:
        said = f"{error.msg} at column {error.colno}"
        raise DataFileError(f"This is no JSON ({said}).", path=path, line=error.lineno) from error
    except ValueError as error:  # a number of too many digits, a key with two values
        raise DataFileError(f"This cannot be read ({error}).", path=path, line=line) from error


def _check_end(text: str, at: int) -> None:
    """Refuse an array that is not closed at `at`, or that something comes after."""
    if text[at : at + 1] != "]":
        raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
    rest = _after_space(text, at + 1)
    if rest != len(text):
        raise json.JSONDecodeError("Extra data after the array", text, rest)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
