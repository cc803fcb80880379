"""How alike two texts are: normalized Levenshtein similarity, as RAGAS's non-LLM metrics use it.

Bit-parallel on Python's integers, so that texts of thousands of characters take milliseconds and
no compiled package is needed. Source: Hyyrö 2003, "A bit-vector algorithm for computing Levenshtein
and Damerau edit distances", Nordic Journal of Computing 10, after Myers 1999,
doi:10.1145/316542.316550.
"""

from __future__ import annotations

from collections import defaultdict


def levenshtein(a: str, b: str) -> int:
    """Return how many characters must be inserted, deleted or replaced to turn `a` into `b`.

    Examples:
        >>> levenshtein("kitten", "sitting"), levenshtein("", "abc")
        (3, 3)
    """
    if not a or not b:
        return len(a) or len(b)
    positions: defaultdict[str, int] = defaultdict(int)
    for position, character in enumerate(a):
        positions[character] |= 1 << position
    mask, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    # Of the table's current column: where it rises and falls from one row to the next.
    rising, falling, distance = mask, 0, len(a)
    for character in b:
        match = positions.get(character, 0)
        diagonal = (((match & rising) + rising) ^ rising) | match | falling
        up = falling | (~(diagonal | rising) & mask)
        down = diagonal & rising
        if up & last:
            distance += 1
        elif down & last:
            distance -= 1
        up = (up << 1) | 1
        down <<= 1
        rising = (down | ~(diagonal | up)) & mask
        falling = up & diagonal & mask
    return distance


def similarity(a: str, b: str) -> float:
    """Return 1 minus the Levenshtein distance over the longer length, 0 to 1; empty texts give 1.

    Examples:
        >>> similarity("abcd", "abc"), similarity("", "")
        (0.75, 1.0)
    """
    if a == b:
        return 1.0
    return 1 - levenshtein(a, b) / max(len(a), len(b))
