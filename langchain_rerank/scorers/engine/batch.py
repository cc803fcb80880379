"""Tokenised pairs, and the arrays of one batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

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


class Packed(NamedTuple):
    """A batch without padding, `T` tokens of `B` pairs one behind the other.

    Attributes:
        ids: `(T,)` token ids.
        starts: `(B + 1,)` where each pair starts; the last entry is T.
        types: `(T,)` token types.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    types: NDArray[np.int64]


def pack(pairs: Sequence[Pair]) -> Packed:
    """Return the pairs one behind the other."""
    import numpy as np

    ids = np.concatenate([part for pair in pairs for part in pair.parts]).astype(np.int64)
    starts = np.zeros(len(pairs) + 1, dtype=np.int64)
    np.cumsum([pair.length for pair in pairs], out=starts[1:])
    splits = np.fromiter((pair.split for pair in pairs), dtype=np.int64, count=len(pairs))
    columns = np.arange(len(ids)) - np.repeat(starts[:-1], np.diff(starts))
    types = (columns >= np.repeat(splits, np.diff(starts))).astype(np.int64)
    return Packed(ids, starts, types)


def positions(batch: Packed, first: int, skip: int | None) -> NDArray[np.int64]:
    """Return the position id of every token, `(T,)`, as the model itself counts them.

    Args:
        batch: The pairs.
        first: Position of a pair's first token.
        skip: A token id that takes no position and gets the one before `first` (RoBERTa counts so,
            should a text spell its padding token), or None.
    """
    import numpy as np

    lengths = np.diff(batch.starts)
    if skip is None:
        return np.arange(len(batch.ids)) - np.repeat(batch.starts[:-1], lengths) + first
    counted = batch.ids != skip
    before = np.concatenate([[0], np.cumsum(counted)])
    ordinal = before[1:] - np.repeat(before[batch.starts[:-1]], lengths)
    return np.where(counted, ordinal - 1 + first, first - 1)


def pad(batch: Packed, padding: int, *, left: bool = False) -> tuple[NDArray[np.int64], ...]:
    """Return ids, attention mask and token types as `(B, longest)` rows.

    Args:
        batch: The pairs.
        padding: The id to fill up with.
        left: Whether to fill up at the left.
    """
    import numpy as np

    lengths = np.diff(batch.starts)[:, None]
    columns = np.arange(int(lengths.max()))[None, :]
    mask = columns >= lengths.max() - lengths if left else columns < lengths
    ids = np.full(mask.shape, padding, dtype=np.int64)
    types = np.zeros(mask.shape, dtype=np.int64)
    ids[mask], types[mask] = batch.ids, batch.types
    return ids, mask.astype(np.int64), types
