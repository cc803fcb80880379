"""A tokenised pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Source(NamedTuple):
    """What a pair was made of, and how many tokens it may have."""

    query: str
    text: str
    instruction: str | None
    max_length: int


class Pair(NamedTuple):
    """One query and one text as token ids.

    Attributes:
        parts: What is before the text, the text, and what is after it.
        length: Tokens of all parts.
        split: How many tokens have token type 0; those after them have type 1.
        truncated: Whether the text was cut.
        source: What it was made of, for a model that tokenises by itself.
    """

    parts: tuple[NDArray[np.int32], ...]
    length: int
    split: int
    truncated: bool
    source: Source | None = None


Tokenize: TypeAlias = Callable[[str, Sequence[str], str | None], list[Pair]]
"""Turns a query, texts and an instruction into one pair per text, in order."""
