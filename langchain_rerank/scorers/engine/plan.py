"""Which texts are computed together. Pure functions on token counts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence


def plan_batches(
    lengths: Sequence[int],
    budget: int,
    *,
    padded: bool,
    groups: Sequence[Hashable] | None = None,
) -> list[list[int]]:
    """Return batches of positions into `lengths` that cost at most `budget` tokens each.

    Longest first, so that neighbours have similar lengths (little padding) and a batch that is too
    large for the memory shows itself at once. Without padding neighbours need not be alike, and
    items of one group stay together, the group of the longest item first. A single item above the
    budget gets a batch of its own. Ties keep their order.

    Args:
        lengths: `(n,)` tokens of each item.
        budget: Tokens a batch may have.
        padded: Whether every row of a batch takes the tokens of the longest one.
        groups: `(n,)` what items have in common, such as their query; None is nothing.

    >>> plan_batches([3, 9, 4, 4], 12, padded=False)
    [[1], [2, 3, 0]]
    >>> plan_batches([3, 9, 4, 4], 8, padded=True)
    [[1], [2, 3], [0]]
    >>> plan_batches([3, 9, 4, 4], 12, padded=False, groups="abab")
    [[1], [3, 2, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    if groups is not None and not padded:
        ranks: dict[Hashable, int] = {}
        for position in order:
            ranks.setdefault(groups[position], len(ranks))
        order.sort(key=lambda position: ranks[groups[position]])
    batches: list[list[int]] = []
    tokens = longest = 0
    for position in order:
        length = lengths[position]
        if batches and padded:
            fits = (len(batches[-1]) + 1) * longest <= budget
        else:
            fits = bool(batches) and tokens + length <= budget
        if fits:
            batches[-1].append(position)
            tokens += length
        else:
            batches.append([position])
            tokens = longest = length
    return batches


def share_out(remaining: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Return how many texts of which waiting request are computed next, as (position, texts).

    Half of the room goes to the oldest request, which therefore always advances, and the rest to
    those that are nearly done: a small request never waits for all of a large one.

    Args:
        remaining: `(n,)` texts that each request still waits for, oldest request first; above 0.
        room: Texts to take in all.

    >>> share_out([100, 3, 50], 20)
    [(0, 10), (1, 3), (2, 7)]
    >>> share_out([4], 20)
    [(0, 4)]
    """
    if not remaining or room < 1:
        return []
    shares = [0] * len(remaining)
    shares[0] = min(remaining[0], room if len(remaining) == 1 else (room + 1) // 2)
    left = room - shares[0]
    for position in sorted(range(1, len(remaining)), key=lambda position: remaining[position]):
        shares[position] = min(remaining[position], left)
        left -= shares[position]
    shares[0] += min(remaining[0] - shares[0], left)
    return [(position, share) for position, share in enumerate(shares) if share]
