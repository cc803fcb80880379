"""Which of several points nothing beats in both cost and quality."""

from __future__ import annotations

from collections.abc import Sequence


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return which (cost, quality) points nothing beats in both, by cost ascending.

    Examples:
        >>> pareto([(1.0, 0.5), (2.0, 0.4), (3.0, 0.9)])
        [0, 2]
    """
    kept: list[int] = []
    for position in sorted(range(len(points)), key=lambda one: (points[one][0], -points[one][1])):
        if not kept or points[position][1] > points[kept[-1]][1]:
            kept.append(position)
    return kept
