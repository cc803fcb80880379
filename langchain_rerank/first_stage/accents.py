"""Words without their accents, as many people type them."""

from __future__ import annotations

import unicodedata

# Letters that Unicode does not take apart, as keyboards without them write them.
_PLAIN = {
    "æ": "ae",
    "œ": "oe",
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "ħ": "h",
    "\N{LATIN SMALL LETTER DOTLESS I}": "i",
    "\N{CYRILLIC SMALL LETTER IO}": "\N{CYRILLIC SMALL LETTER IE}",
}


def unaccented(word: str) -> str:
    """Return a word in lower case with Latin and Greek letters that bear no accents.

    Examples:
        >>> unaccented("smørrebrød"), unaccented("café")
        ('smorrebrod', 'cafe')
    """
    return word if word.isascii() else word.translate(_LETTERS)


class _Letters(dict[int, str]):
    """The letter without accents, by its code; for `str.translate`."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        plain = _PLAIN.get(letter, letter)
        # In other scripts a mark is more than an accent: a vowel, or another consonant.
        if plain == letter and unicodedata.name(letter, "").startswith(("LATIN", "GREEK")):
            parts = unicodedata.normalize("NFD", letter)
            plain = "".join(part for part in parts if not unicodedata.combining(part))
        self[code] = plain
        return plain


_LETTERS = _Letters()
