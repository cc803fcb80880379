"""A tokenised pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Pair(NamedTuple):
    """One query and one text as token ids.

    Attributes:
        parts: What is before the text, the text, and what is behind it.
        length: Tokens of all parts.
        split: How many tokens have token type 0; those behind them have type 1.
        truncated: Whether the text was cut.
    """

    parts: tuple[NDArray[np.int32], ...]
    length: int
    split: int
    truncated: bool


Tokenize: TypeAlias = Callable[[str, Sequence[str], str | None], list[Pair]]
"""Turns a query, texts and an instruction into one pair per text, in order."""
