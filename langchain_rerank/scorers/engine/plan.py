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
    large for the memory shows itself at once. Without padding neighbours need not be alike: an item
    goes into the first batch that has room for it, and items of one group stay together, the group
    of the longest item first. A single item above the budget gets a batch of its own. Ties keep
    their order.

    Args:
        lengths: `(n,)` tokens of each item.
        budget: Tokens a batch may have.
        padded: Whether every row of a batch takes the tokens of the longest one.
        groups: `(n,)` what items have in common, such as their query; None is nothing.

    >>> plan_batches([3, 9, 4, 4], 12, padded=False)
    [[1, 0], [2, 3]]
    >>> plan_batches([3, 9, 4, 4], 8, padded=True)
    [[1], [2, 3], [0]]
    >>> plan_batches([3, 9, 4, 4], 12, padded=False, groups="abab")
    [[1], [3, 2, 0]]
    """
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    if padded:
        return _of_neighbours(order, lengths, budget)
    of_group: Sequence[Hashable] = [None] * len(lengths) if groups is None else groups
    ranks: dict[Hashable, int] = {}
    for position in order:
        ranks.setdefault(of_group[position], len(ranks))
    order.sort(key=lambda position: ranks[of_group[position]])
    batches: list[list[int]] = []
    room: list[int] = []
    for position in order:
        # Of the batches before the last, those alone that end with its group: it stays together.
        for number, batch in enumerate(batches):
            last = number == len(batches) - 1
            if lengths[position] <= room[number] and (
                last or of_group[batch[-1]] == of_group[position]
            ):
                batch.append(position)
                room[number] -= lengths[position]
                break
        else:
            batches.append([position])
            room.append(budget - lengths[position])
    return batches


def _of_neighbours(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Return batches of which every item takes as many tokens as the first."""
    batches: list[list[int]] = []
    for position in order:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= budget:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches


def rounded_up(count: int) -> int:
    """Return the next of a few sizes, eight between a power of two and the next, at least 8 apart.

    oneDNN makes and keeps machine code for every number of rows that it multiplies, megabytes for
    each; rows up to the next size cost less than that, and 3 % of the time at most where batches
    are filled.

    >>> [rounded_up(count) for count in (1, 8, 9, 200, 1025, 2048)]
    [8, 8, 16, 208, 1152, 2048]
    """
    step = max(8, 1 << (count - 1).bit_length() >> 4)
    return -(-count // step) * step


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
