"""Values as people hold them (NumPy, pandas, pyarrow, lists that became text) as plain Python."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any
from uuid import UUID

from langchain_rerank.checks import shown
from langchain_rerank.errors import InputTypeError
from langchain_rerank.evaluation.data.written import opened, unwritten
from langchain_rerank.reading.names import normal

# RAGAS writes it before each context of a question that needs several.
_HOP = re.compile(r"^\s*<\d+-hop>\s*")
# RAGET of Giskard joins the documents that it made a question of, each after its number.
_NUMBERED = re.compile(r"(?:^|\n\n)Document [\w-]+: ")
# What passages and answers call their text: MIRACL and DPR, TriviaQA, LangChain, MS MARCO, MuSiQue.
TEXT_KEYS = ("text", "value", "page_content", "content", "passage_text", "paragraph_text")
# Grades that are words, as `reading.names.normal` has them; longer scales are those of columns.
GRADE_WORDS = {
    **dict.fromkeys(("relevant", "yes", "y", "true"), 1),
    **dict.fromkeys(("irrelevant", "not_relevant", "non_relevant", "nonrelevant"), 0),
    **dict.fromkeys(("no", "n", "false"), 0),
}


def plain_value(value: Any) -> Any:
    """Return `value` without what NumPy, pandas and pyarrow wrap around it; absent is None.

    Examples:
        >>> import numpy
        >>> plain_value(numpy.int64(2)), plain_value(numpy.array(["a"])), plain_value(float("nan"))
        (2, ['a'], None)
    """
    if type(value) in {str, int, type(None)}:  # most are, and are asked for several times a row
        return value
    for method in ("as_py", "tolist"):  # pyarrow; NumPy and pandas
        if callable(getattr(value, method, None)) and not isinstance(value, type):
            value = getattr(value, method)()
            break
    if isinstance(value, (PurePath, UUID)):
        return str(value)
    if isinstance(value, bytes):  # what Parquet has for texts that are not marked as such
        with suppress(UnicodeDecodeError):
            return value.decode()
    # pandas' NA and NaT are of types of their own, and are equal to nothing.
    if type(value).__name__ in {"NAType", "NaTType"}:
        return None
    if isinstance(value, Real) and not isinstance(value, Integral) and math.isnan(value):
        return None
    return value


def dumped(value: Any) -> Any:
    """Return an object of pydantic or of a dataclass, as a LangChain document is, as a mapping."""
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump()
    if is_dataclass(value) and not isinstance(value, type):  # a `Record`, or somebody's own class
        return {one.name: held for one in fields(value) if (held := getattr(value, one.name))}
    return value


def is_there(value: Any) -> bool:
    """Return whether `value` says anything: not None, NaN, an empty text, list or mapping."""
    return value is not None and not (isinstance(value, (str, list, tuple, Mapping)) and not value)


def read_id(value: Any) -> str | None:
    """Return an id as text, or None for what is no id; a whole float is the whole number it is.

    A column of whole numbers with a gap becomes one of floats in pandas, so that 7 is held as 7.0.

    Examples:
        >>> read_id(7), read_id(7.0), read_id("a"), read_id(True), read_id(0.5)
        ('7', '7', 'a', None, None)
    """
    value = plain_value(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return value
    number = read_grade(value) if isinstance(value, Real) else None
    return None if number is None else str(number)


def read_text(value: Any) -> str:
    """Return a text.

    Raises:
        InputTypeError: It is none.
    """
    value = plain_value(value)
    if not isinstance(value, str):
        raise InputTypeError(f"a text was expected, got {shown(value)}.")
    return value


def read_question(value: Any) -> str:
    """Return a question: a text, that of an object, or what the user says in a chat; "" for none.

    Raises:
        InputTypeError: In the chat the user speaks several times.

    Examples:
        >>> read_question({"text": "Why?", "tokens": ["Why", "?"]})
        'Why?'
        >>> read_question([{"role": "system", "content": "Be brief."}, ("user", "Why?")])
        'Why?'
    """
    value = _text_in(plain_value(value))
    written = isinstance(value, str) and value.lstrip().startswith("[{")
    chat = opened(value) if written else value
    said = [_said(dumped(one)) for one in chat] if isinstance(chat, (list, tuple)) else []
    asked = [one for one in said if one]
    if len(asked) > 1:
        raise InputTypeError(
            f"the question is a chat in which the user speaks {len(asked)} times; write what is "
            f"asked as one question that says by itself what it is about."
        )
    return asked[0] if asked else value if isinstance(value, str) else ""


def _said(message: Any) -> str | None:
    """Return what a message of a chat says, if it is the user's: OpenAI's, LangChain's, a pair."""
    if isinstance(message, (list, tuple)) and len(message) == 2:
        message = {"role": message[0], "content": message[1]}
    if not isinstance(message, Mapping):
        return None
    held = next((message[key] for key in ("kwargs", "data") if key in message), message)
    if not isinstance(held, Mapping):
        return None
    if str(held.get("role", held.get("type"))) not in {"user", "human"}:
        return None
    content = held.get("content")
    parts = content if isinstance(content, (list, tuple)) else [content]
    return "".join(one for one in map(_text_in, parts) if isinstance(one, str))


def read_reference(value: Any) -> str:
    """Return a reference answer: a text, a number, or the first of several that all answer.

    Raises:
        InputTypeError: There is neither in it.

    Examples:
        >>> read_reference({"text": ["QLoRA", "QLoRA."], "answer_start": [3, 3]})
        'QLoRA'
        >>> read_reference({"value": "Paris", "aliases": ["City of Light"]}), read_reference(1969)
        ('Paris', '1969')
    """
    value = _text_in(plain_value(value))
    if isinstance(value, (list, tuple)):
        return read_reference(value[0]) if value else ""
    if isinstance(value, Real):  # a truth value, too
        return read_id(value) or str(value)
    return read_text(value)


def _text_in(value: Any) -> Any:
    """Return what an object of a text and more holds as its text; anything else as it is."""
    value = dumped(value)
    if isinstance(value, Mapping):
        held = {normal(str(key)): one for key, one in value.items()}
        return next((plain_value(held[key]) for key in TEXT_KEYS if key in held), value)
    return value


def read_texts(value: Any) -> tuple[str, ...]:
    """Return one or several texts or ids; a list that became text is read as the list it was.

    Raises:
        InputTypeError: It is something else, or a list that became text and cannot be read.

    Examples:
        >>> read_texts("a"), read_texts(["a", 2]), read_texts("['a', 'b']")
        (('a',), ('a', '2'), ('a', 'b'))
    """
    value = unwritten(plain_value(value))
    alone = isinstance(value, (str, bytes)) or not isinstance(value, Iterable)
    values = [value] if alone else value
    if isinstance(values, Mapping):
        raise InputTypeError(f"a text or a list of texts was expected, got {shown(value)}.")
    found = []
    for one in values:
        # An empty text names nothing and is in everything.
        if plain_value(one) is None or (isinstance(one, str) and not one.strip()):
            continue
        text = read_id(one)
        if text is None:
            raise InputTypeError(
                f"a text or a list of texts was expected, got {shown(one)}"
                f"{'' if one is value else ' in it'}."
            )
        found.append(text)
    return tuple(dict.fromkeys(found))


def read_contexts(value: Any) -> tuple[str, ...]:
    r"""Return reference contexts, without the hop or number that RAGAS or RAGET writes before each.

    Raises:
        InputTypeError: As `read_texts`.

    Examples:
        >>> read_contexts("['<1-hop>\\n\\nLoRA trains adapters.']")
        ('LoRA trains adapters.',)
        >>> read_contexts([{"docid": "7", "text": "LoRA trains adapters."}])
        ('LoRA trains adapters.',)
    """
    value = unwritten(dumped(plain_value(value)))
    if isinstance(value, Mapping):
        value = [value]
    if isinstance(value, (list, tuple)):
        value = [_text_in(plain_value(one)) for one in value]
    texts = read_texts(value)
    parts = [_NUMBERED.split(one)[1:] if _NUMBERED.match(one) else [one] for one in texts]
    return read_texts([_HOP.sub("", one) for several in parts for one in several])


def read_grades(value: Any) -> dict[str, int]:
    """Return grades by document id.

    Raises:
        InputTypeError: It is no mapping from ids to whole numbers.

    Examples:
        >>> read_grades({7: 1.0, "b": 0}), read_grades("{'d1': 2}")
        ({'7': 1, 'b': 0}, {'d1': 2})
    """
    value = unwritten(plain_value(value))
    if not isinstance(value, Mapping):
        raise InputTypeError(f"a grade by document id was expected, got {shown(value)}.")
    found: dict[str, int] = {}
    for key, held in value.items():
        # pyarrow makes one structure of all rows: what another row judged is absent here.
        grade = plain_value(held)
        if grade is None:
            continue
        id_ = read_id(key)
        if id_ is None:
            raise InputTypeError(f"{shown(key)} is no id of a document.")
        number = read_grade(grade)
        if number is None:
            raise InputTypeError(
                f"the grade of {key!r} is {shown(grade)}; a whole number was expected."
            )
        add_grade(found, id_, number)
    return found


def add_grade(grades: dict[str, int], id_: str, grade: int) -> None:
    """Put a grade among others.

    Raises:
        InputTypeError: The document has another one there: 7 and "7" are one document.
    """
    if grades.setdefault(id_, grade) != grade:
        raise InputTypeError(f"{id_!r} has the grades {grades[id_]} and {grade}; keep one of them.")


def read_grade(value: Any) -> int | None:
    """Return a grade, or None for what is no whole number.

    Examples:
        >>> read_grade("1.0"), read_grade(2), read_grade("-1"), read_grade("0.5"), read_grade("x")
        (1, 2, -1, None, None)
        >>> read_grade("Relevant"), read_grade("not relevant"), read_grade(True)
        (1, 0, 1)
    """
    value = plain_value(value)
    value = GRADE_WORDS.get(normal(value), value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if math.isfinite(number) and number == int(number) else None
