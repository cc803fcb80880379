"""The pairs on which everything clever is compared with the model itself."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable

PROBES: tuple[tuple[str, list[str]], ...] = (
    (
        "How many people live in Berlin?",
        ["Berlin had a population of 3,520,031.", "Paris (France)...", "", "Well-known: 42 %"],
    ),
    (
        "  vitamin C:",
        [
            " starts and ends with a space ",
            "\n\nnew lines\n",
            "Zürich, 北京, 🙂",
            "?",
            # What templates escape or take away; in two, so that no row is much longer.
            """<b>"Tom" & 'Jerry'</b>""",
            "{{ x }} [y] #1 \\n",
        ],
    ),
)

# Alone and doubled at either end: a tokenizer may join a character with what stands beside a text,
# and a template may change it.
_PIECES = (
    *string.printable,
    "\r\n",
    "é",
    "北",
    "🙂",
    "\u00a0",
    "\u200b",
    "\u2019",
    "http://a.b/c ",
)
EDGES = [text for one in _PIECES for text in (f"{one}{one}a{one}", f"{one}a{one}{one}")]

LONG_QUERY = "Who wrote the first compiler?"
LONG_TOKENS = 400
"""Tokens of the long probe, about: beyond the windows of local attention that are in use."""

_WORDS = re.findall(
    r"\S+",
    "Grace Hopper wrote one of the first compilers in 1952, and popularised machine-independent "
    "code. The river Seine divides Paris; oranges and lemons protect sailors against scurvy. "
    "A reranker reads a query (and a document) together: which of them answers it best?",
)


def long_text(tokens: int, count: Callable[[str], int]) -> str:
    """Return a text of about `tokens` tokens, the same every time, without repetition in it.

    Args:
        tokens: How many.
        count: Counts the tokens of a text.
    """
    choose = random.Random(0).choices  # noqa: S311 - a text, not a secret
    sample = choose(_WORDS, k=100)
    words = max(1, tokens * len(sample) // max(1, count(" ".join(sample))))
    return " ".join((sample + choose(_WORDS, k=max(0, words - len(sample))))[:words])
