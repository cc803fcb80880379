"""What a judge answered, read as what it was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from langchain_rerank.errors import InputError

M = TypeVar("M", bound=BaseModel)

# RAGAS calculates with these as they are: a verdict of 7 would give a precision of 7.
_ALLOWED = {"verdict": (0, 1), "attributed": (0, 1), "noncommittal": (0, 1), "rating": (0, 1, 2)}


def parse_answer(text: str, model: type[M]) -> M:
    """Return the first JSON object in `text` that `model` accepts.

    Prose, code fences and `<think>` blocks around it are passed over. A torn answer is refused,
    never completed.

    Raises:
        InputError: There is none, or a verdict in it is none of those that were asked for.
    """
    problem = None
    for found in _objects(text.rpartition("</think>")[2]):
        try:
            return check_answer(model.model_validate(found))
        except (ValidationError, InputError) as error:
            # Of nested objects, the outermost was meant: its problem is the one to tell.
            problem = problem or _short(error)
    raise InputError(
        f"{problem or 'it holds no JSON object'}; it begins with {text.strip()[:80]!r}"
    )


def check_answer(answer: M) -> M:
    """Return `answer` where its verdicts are among those that the metrics of RAGAS know.

    Raises:
        InputError: A verdict is none of them.
    """
    for name, value in _fields(answer.model_dump()):
        if name in _ALLOWED and value not in _ALLOWED[name]:
            raise InputError(f"{name} is {value!r}, none of {_ALLOWED[name]}")
    return answer


def _short(error: ValidationError | InputError) -> str:
    if isinstance(error, InputError):
        return str(error)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def _objects(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder()
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = decoder.raw_decode(text, start)
        except ValueError:
            pass
        else:
            yield found
        start = text.find("{", start + 1)


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield name, one
            yield from _fields(one)
    elif isinstance(value, list):
        for one in value:
            yield from _fields(one)
