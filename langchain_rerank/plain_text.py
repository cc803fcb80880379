"""Text that a person will see: nothing in it that commands a terminal."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    r"""Return `text` with a space for each control character other than a line break.

    A document may hold what a terminal takes for a command: colours, a new title, a cleared screen.

    Examples:
        >>> printable("a\x1b[31mred\x9b0m")
        'a [31mred 0m'
    """
    return _CONTROL.sub(" ", text)
