"""The arrays of one batch of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from langchain_rerank.scorers.engine.plan import rounded_up
from langchain_rerank.scorers.engine.tokens.pairs import Pair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Packed(NamedTuple):
    """A batch without padding, `T` tokens of `B` pairs, concatenated.

    A pair's prefix, what is before its text, may be left out and be read where an earlier pair has
    the same one: under causal attention it does not depend on what follows it.

    Attributes:
        ids: `(T,)` token ids.
        starts: `(B + 1,)` where each pair starts; the last entry is T.
        columns: `(T,)` how many tokens of its pair are before each token, left out or not.
        types: `(T,)` token types.
        shared: `(B,)` how many tokens of each pair are left out.
        prefixes: `(B,)` where they are instead.
    """

    ids: NDArray[np.int64]
    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    types: NDArray[np.int64]
    shared: NDArray[np.int64]
    prefixes: NDArray[np.int64]


def pack(
    pairs: Sequence[Pair], *, share_prefixes: bool = False, not_last: int | None = None
) -> Packed:
    """Return the pairs concatenated.

    Args:
        pairs: The pairs.
        share_prefixes: Whether pairs with equal prefixes have them once, in the first of them.
        not_last: A token id without which every pair is to end, if there is one.
    """
    import numpy as np

    if not_last is not None:
        pairs = [_ending_without(not_last, pair) for pair in pairs]
    count = len(pairs)
    owners = prefix_owners(pairs) if share_prefixes else range(count)
    parts: list[NDArray[np.int32]] = []
    shared = np.zeros(count, dtype=np.int64)
    for position, (pair, owner) in enumerate(zip(pairs, owners, strict=True)):
        if owner != position:
            shared[position] = len(pair.parts[0])
        parts += pair.parts if owner == position else pair.parts[1:]
    ids = np.concatenate(parts).astype(np.int64)
    lengths = np.fromiter((pair.length for pair in pairs), dtype=np.int64, count=count) - shared
    splits = np.fromiter((pair.split for pair in pairs), dtype=np.int64, count=count)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    columns = np.arange(len(ids)) - np.repeat(starts[:-1] - shared, lengths)
    types = (columns >= np.repeat(splits, lengths)).astype(np.int64)
    return Packed(ids, starts, columns, types, shared, starts[np.asarray(owners, dtype=np.int64)])


def _ending_without(token: int, pair: Pair) -> Pair:
    """Return `pair` up to the last token that is not `token`; its first where all of them are."""
    import numpy as np

    last = next(part for part in reversed(pair.parts) if len(part))
    if last[-1] != token:
        return pair
    ids = np.concatenate(pair.parts)
    others = np.flatnonzero(ids != token)
    left = length = int(others[-1]) + 1 if len(others) else 1
    parts = []
    for part in pair.parts:
        parts.append(part[:left])
        left -= len(parts[-1])
    return pair._replace(parts=tuple(parts), length=length, split=min(pair.split, length))


def prefix_owners(pairs: Sequence[Pair]) -> list[int]:
    """Return for each pair the position of the first one with the same prefix, maybe its own.

    A pair without a token after its prefix keeps it, since its score is read off its last token.
    """
    first: dict[bytes, int] = {}
    return [
        first.setdefault(pair.parts[0].tobytes(), position)
        if pair.length > len(pair.parts[0])
        else position
        for position, pair in enumerate(pairs)
    ]


def filled(array: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return `array` with zeros after it, `(count,)`."""
    import numpy as np

    return np.concatenate([array, np.zeros(count - len(array), dtype=np.int64)])


def key_rows(batch: Packed) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which tokens of the batch each pair consists of, with those that it left out.

    Returns:
        `(K,)` positions in the batch, pair after pair, and `(B + 1,)` where each pair starts there.
    """
    import numpy as np

    lengths = np.diff(batch.starts) + batch.shared
    starts = np.concatenate([[0], np.cumsum(lengths)])
    columns = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    shared = columns < np.repeat(batch.shared, lengths)
    first = np.repeat(batch.prefixes, lengths)
    own = np.repeat(batch.starts[:-1] - batch.shared, lengths)
    return np.where(shared, first, own) + columns, starts


def positions(batch: Packed, first: int, skip: int | None) -> NDArray[np.int64]:
    """Return the position id of every token, `(T,)`, as the model itself counts them.

    Args:
        batch: The pairs; whole ones, if a token takes no position.
        first: Position of a pair's first token.
        skip: A token id that takes no position and gets the one before `first` (RoBERTa counts so,
            should a text spell its padding token), or None.
    """
    import numpy as np

    if skip is None:
        return batch.columns + first
    counted = batch.ids != skip
    before = np.concatenate([[0], np.cumsum(counted)])
    ordinal = before[1:] - np.repeat(before[batch.starts[:-1]], np.diff(batch.starts))
    return np.where(counted, ordinal - 1 + first, first - 1)


def pad(
    batch: Packed, padding: int, *, few_sizes: int | None = None
) -> tuple[NDArray[np.int64], ...]:
    """Return ids, attention mask and token types as `(B, longest)` rows.

    Args:
        batch: The pairs, all of them whole.
        padding: The id to fill up with.
        few_sizes: Where set, the longest is rounded up to one of a few sizes within it.
    """
    import numpy as np

    lengths = np.diff(batch.starts)[:, None]
    longest = int(lengths.max())
    if few_sizes is not None:
        longest = max(longest, min(few_sizes, rounded_up(longest)))
    columns = np.arange(longest)[None, :]
    mask = columns < lengths
    ids = np.full(mask.shape, padding, dtype=np.int64)
    types = np.zeros(mask.shape, dtype=np.int64)
    ids[mask], types[mask] = batch.ids, batch.types
    return ids, mask.astype(np.int64), types
