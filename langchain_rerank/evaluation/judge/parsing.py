"""What a judge answered, read as what it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from langchain_rerank.errors import InputError
from langchain_rerank.reading.json_values import DECODER

M = TypeVar("M", bound=BaseModel)

# RAGAS calculates with these as they are: a verdict of 7 would give a precision of 7.
_ALLOWED = {"verdict": (0, 1), "attributed": (0, 1), "noncommittal": (0, 1), "rating": (0, 1, 2)}


def parse_answer(text: str, model: type[M]) -> M:
    """Return the JSON object in `text` that `model` accepts.

    Prose, code fences and `<think>` blocks around it are passed over. A torn answer is refused,
    never completed, and so are several that differ, as where a judge repeats what it may answer.

    Raises:
        InputError: There is none, or a verdict in it is none of those that were asked for.
    """
    text = text.rpartition("</think>")[2]
    problem, answers, start = None, list[M](), text.find("{")
    while start >= 0:
        end = start + 1
        try:
            found, past = DECODER.raw_decode(text, start)
            answers.append(check_answer(model.model_validate(found)))
            end = past
        except (ValidationError, InputError) as error:
            # Of nested objects, the outermost was meant: its problem is the one to tell.
            problem = problem or _short(error)
        except (ValueError, RecursionError):
            pass
        start = text.find("{", end)
    if answers and answers.count(answers[0]) == len(answers):
        return answers[0]
    if answers:
        problem = f"it holds {len(answers)} answers that differ"
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


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield name, one
            yield from _fields(one)
    elif isinstance(value, list):
        for one in value:
            yield from _fields(one)
