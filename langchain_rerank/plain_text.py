"""Texts from anywhere, made fit for a terminal and for UTF-8."""

from __future__ import annotations

import re

# Also what turns the direction of all that follows, so that a name or a line reads otherwise.
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def printable(text: str) -> str:
    r"""Return `text` with a space for each control character other than a line break.

    A document may hold what a terminal takes for a command: colours, a new title, a cleared screen.

    Examples:
        >>> printable("a\x1b[31mred\x9b0m")
        'a [31mred 0m'
        >>> printable("a\u202egpj.exe")
        'a gpj.exe'
    """
    return _CONTROL.sub(" ", text)


def well_formed(text: str) -> str:
    r"""Return `text` with surrogate pairs joined and lone surrogates replaced, as UTF-8 needs it.

    They come out of PDFs and broken JSON.

    Examples:
        >>> well_formed("\ud83d\ude00 \ud800") == "\U0001f600 \ufffd"
        True
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
