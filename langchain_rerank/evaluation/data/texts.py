"""Whether a document holds a text that a label names, and which documents hold which of several."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

_SENTENCE_END = re.compile(r"(?<=[.!?])\s|(?<=\u3002)|(?<=[!?])(?=[\u2e80-\U0010ffff])")
# Soft hyphens, joiners and marks of width 0, which PDF and web pages have where a line may break.
_ALIKE: dict[int, str | None] = dict.fromkeys((0xAD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF))
_ALIKE |= dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u02bc\u2032\u00b4`"), "'")
_ALIKE |= dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb"), '"')
_ALIKE |= dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
# All but what is raised, lowered, a fraction or in a circle: ten to the fifth is not 105.
_SAME_LETTERS = re.compile(
    "[^\u00aa\u00b2\u00b3\u00b9\u00ba\u00bc-\u00be\u2070-\u209c\u2150-\u218b\u2460-\u24ff]+"
)
# A word that a line break parts, and not "pre- and".
_PARTED = re.compile(r"(?<=[^\W\d_])- (?=[^\W\d_])(?!(?:and|or|to|und|oder|bis) )")
_SHORT = 20  # characters; a longer text is never found inside a word by chance
_LONG = 200  # characters; no sentence, or one that is evidence without its end
_WORDS, _LETTERS = 4, 6  # of a sentence, in scripts with and without spaces
_EAST_ASIAN = "\u2e80"  # scripts without spaces between words come after it


@lru_cache(maxsize=16_384)
def squeezed(text: str) -> str:
    r"""Return a text as it is compared: the same whichever way it was typeset.

    Letters are composed and without case, ligatures parted and wide forms plain, quotes and dashes
    of one kind, entities of HTML what they stand for, spaces single, broken words whole, and what
    nobody can see is left out.

    Examples:
        >>> squeezed("The  SECOND\none"), squeezed("bro-\nken \u201cAT&amp;T\u201d")
        ('the second one', 'broken "at&t"')
    """
    seen = (html.unescape(text) if "&" in text else text).translate(_ALIKE)
    if not seen.isascii():
        seen = _SAME_LETTERS.sub(lambda same: unicodedata.normalize("NFKC", same[0]), seen)
    spaced = " ".join(unicodedata.normalize("NFC", seen.casefold()).split())
    return _PARTED.sub("", spaced) if "- " in spaced else spaced


def contains(text: str, part: str) -> bool:
    """Return whether a squeezed text holds another one; an empty one is in nothing.

    A short one must not begin or end inside a word.

    Examples:
        >>> contains("training in steps", "in"), contains("training", "in")
        (True, False)
    """
    if not part or part not in text:
        return False
    if len(part) >= _SHORT:
        return True
    pattern = rf"{_edge(part[0], before=True)}{re.escape(part)}{_edge(part[-1], before=False)}"
    return re.search(pattern, text) is not None


def _edge(letter: str, *, before: bool) -> str:
    """Return the pattern of a word's edge beside a letter; other scripts have no spaces there."""
    if not (letter.isascii() and letter.isalnum()):
        return ""
    return "(?<![a-z0-9])" if before else "(?![a-z0-9])"


def holds(text: str, context: str) -> bool:
    """Return whether a document's text is a hit for a reference context, both squeezed.

    It is, if it holds the context, or is a part of it that says something by itself: at least one
    whole sentence of it, or 200 characters. A title or a few words are not.

    Examples:
        >>> context = "adapters are small. lora trains two matrices."
        >>> holds("lora trains two matrices.", context), holds("lora trains", context)
        (True, False)
    """
    if not text or not context:
        return False
    if contains(text, context):
        return True
    if text not in context:
        return False
    return len(text) >= _LONG or any(one in text for one in _sentences(context))


@lru_cache(maxsize=4_096)
def _sentences(text: str) -> tuple[str, ...]:
    """Return the sentences of a squeezed text that say something, without their last mark."""
    found = (one.strip(" .!?\u3002") for one in _SENTENCE_END.split(text))
    return tuple(
        one
        for one in found
        if len(one.split()) >= _WORDS or (len(one) >= _LETTERS and one[0] >= _EAST_ASIAN)
    )


def covered(
    contexts: Sequence[str], texts: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, int]]:
    """Return as what each document that holds a context is judged, by key, and the units' grades.

    A document may hold several contexts: those that one document brings are one unit, found with
    it. The documents are chosen so that few bring all, each time the one with most of what is
    missing; another one with a part of a unit is judged as that unit. A context that no document
    holds is a unit that was not found. Equal contexts count once, and every grade is 1.

    Examples:
        >>> units, grades = covered(
        ...     ["lora trains matrices.", "it saves memory here."],
        ...     {"d": "LoRA trains matrices. It saves memory here."},
        ... )
        >>> units, grades
        ({'d': 'reference contexts 1+2'}, {'reference contexts 1+2': 1})
    """
    wanted = dict.fromkeys(one for one in map(squeezed, contexts) if one)
    names = {one: number for number, one in enumerate(wanted, 1)}
    held = {}
    for key in sorted(texts):
        text = squeezed(texts[key])
        found = {one for one in wanted if holds(text, one)}
        if found:
            held[key] = found
    missing = set(wanted)
    units: list[set[str]] = []
    while best := max(held.values(), key=lambda one: len(one & missing), default=set()) & missing:
        units.append(best)
        missing -= best
    units += [{one} for one in wanted if one in missing]
    labels = [_name(sorted(names[one] for one in unit)) for unit in units]
    judged = {
        key: labels[max(range(len(units)), key=lambda n: len(units[n] & found))]
        for key, found in held.items()
    }
    return judged, dict.fromkeys(labels, 1)


def _name(numbers: Sequence[int]) -> str:
    return f"reference context{'s' if len(numbers) > 1 else ''} {'+'.join(map(str, numbers))}"
