"""Labels that no document has: how many, which, and what they were most likely meant to be."""

from __future__ import annotations

import json
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from langchain_rerank.optional import require

_SHOWN = 3
_LEAST_ALIKE = 60.0  # of 100: below it, the nearest name is a guess that misleads


@dataclass(frozen=True)
class Label:
    """A label of a question.

    Attributes:
        query_id: The question.
        what: What kind of label it is, as in "expected source".
        value: The label.
    """

    query_id: str
    what: str
    value: str


@dataclass(frozen=True)
class Unmatched:
    """The labels that no document has.

    Attributes:
        labels: They.
        total: How many labels there are in all.
        message: One line on them: how many, three of them, and what is nearest.
    """

    labels: tuple[Label, ...]
    total: int
    message: str

    @property
    def all(self) -> bool:
        """Whether no label at all has a document."""
        return len(self.labels) == self.total


def described(
    labels: Sequence[Label], total: int, names: Collection[str], where: str
) -> Unmatched | None:
    """Return what is to be said about the labels, of `total`, that no document has; None for none.

    `names` is what the documents are called (ids and sources; nothing where labels are texts), and
    `where` which documents they are, as in "of the corpus".
    """
    if not labels:
        return None
    ordered = sorted(names)
    shown = []
    for one in labels[:_SHOWN]:
        hint = nearest(one.value, ordered)
        value = one.value if len(one.value) <= 60 else f"{one.value[:57]}..."
        shown.append(f"Record {one.query_id!r}: {one.what} {value!r}{f', {hint}' if hint else ''}")
    more = f"; and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    belong, count = ("belongs", "counts") if len(labels) == 1 else ("belong", "count")
    return Unmatched(
        tuple(labels),
        total,
        f"{len(labels)} of {total} labels {belong} to no document {where}, and {count} as not "
        f"found. {'; '.join(shown)}{more}.",
    )


def nearest(label: str, names: Sequence[str]) -> str | None:
    """Return the name that a label was most likely meant to be and what differs; None for none.

    Examples:
        >>> nearest("7.0", ["7", "guide.md"])
        "the nearest that was seen, '7', is of another type"
        >>> nearest("guide.md", ["guide.md#1", "guide.md#2"])
        "the nearest that was seen, 'guide.md#1', is a chunk of it"
    """
    for why, form in _FORMS:
        wanted = form(label)
        found = next((name for name in names if form(name) == wanted), label)
        if found != label:
            return f"the nearest that was seen, {found!r}, {why}"
    chunk = next((one for one in names if _is_chunk(one, label)), None)
    if chunk is not None:
        return f"the nearest that was seen, {chunk!r}, is a chunk of it"
    whole = next((one for one in names if _is_chunk(label, one)), None)
    if whole is not None:
        return f"it is a chunk of {whole!r}"
    parts = [one.strip() for one in re.split(r"[,;|\n]", label) if one.strip()]
    if len(parts) > 1 and all(one in names for one in parts):
        return f"which are {len(parts)} in one text; write them as a list: {json.dumps(parts)}"
    rapidfuzz = require("rapidfuzz", extra="eval") if names else None
    alike = rapidfuzz and rapidfuzz.process.extractOne(
        label, names, scorer=rapidfuzz.fuzz.ratio, score_cutoff=_LEAST_ALIKE
    )
    return f"the nearest that was seen is {alike[0]!r}" if alike else None


def _number(text: str) -> str:
    """Return a whole number in its shortest form: what 7, 7.0 and 007 have in common."""
    found = re.fullmatch(r"\s*([+-]?)0*(\d+)(?:\.0*)?\s*", text)
    return f"{found[1].strip('+')}{found[2]}" if found else text


_FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("is of another type", _number),
    ("is in another Unicode form", lambda text: unicodedata.normalize("NFKC", text)),
    ("is written in another case or spacing", lambda text: "".join(text.casefold().split())),
    ("is percent-encoded otherwise", urllib.parse.unquote),
    (
        "has the same file name; Relevance(normalize=basename) compares these",
        lambda text: PurePath(text.replace("\\", "/")).name or text,
    ),
)
_PART = re.compile(r"[#:/|_.\- ]+(?:chunk|part|page|p|passage)?[_\- ]?\d+$", re.IGNORECASE)


def _is_chunk(name: str, whole: str) -> bool:
    """Return whether a name is another one and the number of a part."""
    return name.startswith(whole) and _PART.fullmatch(name[len(whole) :]) is not None
