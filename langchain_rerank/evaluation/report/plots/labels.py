"""Names beside points: horizontal, clear of each other and of what is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from langchain_rerank.evaluation.report.plots.canvas import GREY, INK
from langchain_rerank.evaluation.score.bootstrap import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONT_SIZE = 9
_MARKER = 7.0  # points from the middle of a mark to where a name may begin
_DISTANCES = (0, 8, 18, 30, 44, 60, 80, 105, 135)  # further away, in points, as far as need be
_STEPS = 16  # directions
_LED_FROM = 18  # a name that is further from its point than this gets a line to it

# Below, a place is (x, y) and a box (left, bottom, right, top), in points.


def name_points(
    figure: Figure,
    axes: Axes,
    points: Sequence[tuple[float, float, str]],
    lines: Sequence[Sequence[tuple[float, float]]] = (),
) -> None:
    """Write each name beside its point, where there is room; call it when all else is drawn.

    One after the other, each name takes the place that covers least of marks, lines and earlier
    names, and of those the nearest to its point; from a distance a line leads to it.

    Args:
        figure: Its size must not change after this.
        axes: Where the points are, nor its limits.
        points: x, y (data) and the name; one without a name is kept clear alone.
        lines: What names should stay clear of too: broken lines, as x, y (data).
    """
    figure.draw_without_rendering()  # Lays the figure out: from here on, places are known.
    scale = 72 / figure.dpi
    bounds = np.array([axes.get_window_extent().extents]) * scale

    def placed(line: Sequence[tuple[float, float]]) -> Floats:
        return np.asarray(axes.transData.transform(line)) * scale

    marks = placed([(x, y) for x, y, _ in points])
    taken = [_around(mark, np.array([_MARKER, _MARKER])) for mark in marks]
    crossed = np.concatenate([np.empty((0, 4)), *(_along(placed(line)) for line in lines)])
    for number, ((x, y, name), mark) in enumerate(zip(points, marks, strict=True)):
        if not name:
            continue
        label = axes.annotate(
            name,
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            va="center",
            ha="center",
            fontsize=FONT_SIZE,
            color=INK,
            parse_math=False,
        )
        label.set_in_layout(False)
        half = (np.array(label.get_window_extent().size) * scale + 2) / 2
        others = np.array(taken[:number] + taken[number + 1 :]).reshape(-1, 4)
        best = min(
            _places(mark, half),
            key=lambda one: _cost(mark, one, np.array(taken), others, crossed, bounds),
        )[1]
        taken.append(best)
        label.set_position(tuple(_middle(best) - mark))
        end = _end(mark, best)
        if math.dist(end, mark) > _LED_FROM:
            _lead(axes, (x, y), end - mark)


def _places(mark: Floats, half: Floats) -> Iterator[tuple[float, Floats]]:
    """Yield distances and boxes around a mark, the nearest first and to the right before the left.

    `half` is half the size of the boxes.
    """
    turns = sorted(range(_STEPS), key=lambda turn: min(turn, _STEPS - turn))
    for distance in _DISTANCES:
        for turn in turns:
            angle = 2 * math.pi * turn / _STEPS
            direction = np.array([math.cos(angle), math.sin(angle)])
            # Whatever the direction, the box begins at the mark's edge.
            yield distance, _around(mark + direction * (_MARKER + distance + half), half)


def _cost(
    mark: Floats,
    place: tuple[float, Floats],
    taken: Floats,
    others: Floats,
    crossed: Floats,
    bounds: Floats,
) -> float:
    """Return what speaks against a box: what it covers, and how far from its mark it is."""
    distance, box = place
    outside = _overlaps(box, box[None]) - _overlaps(box, bounds)
    cost = 10 * (_overlaps(box, taken) + outside) + _overlaps(box, crossed) + 0.05 * distance
    if distance:  # The line to it runs over nothing that is another's.
        led = _along(np.array([mark, _end(mark, box)]))
        cost += 10 * sum(_overlaps(piece, others) for piece in led)
    return cost


def _around(middle: Floats, half: Floats) -> Floats:
    return np.concatenate([middle - half, middle + half], axis=-1)


def _middle(box: Floats) -> Floats:
    return (box[:2] + box[2:]) / 2


def _along(line: Floats) -> Floats:
    """Return small boxes `(n, 4)` along a broken line `(m, 2)`."""
    pieces = [
        np.linspace(start, end, max(1, round(math.dist(start, end) / 4)) + 1)
        for start, end in pairwise(line)
    ]
    return _around(np.concatenate([np.empty((0, 2)), *pieces]), np.array([2.0, 2.0]))


def _overlaps(box: Floats, others: Floats) -> float:
    """Return the area of `box` that others `(n, 4)` cover, counted once for each of them."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(sides.clip(0).prod(axis=1).sum())


def _end(mark: Floats, box: Floats) -> Floats:
    """Return where a line from a mark to the middle of a box outside of it meets its edge."""
    way = _middle(box) - mark
    outside = 1 - 1 / float(max(2 * np.abs(way) / (box[2:] - box[:2])))
    end: Floats = mark + outside * way
    return end


def _lead(axes: Axes, point: tuple[float, float], end: Floats) -> None:
    look = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6}
    line = axes.annotate(
        "",
        point,
        xytext=tuple(end),
        textcoords="offset points",
        arrowprops={**look, "shrinkA": 0, "shrinkB": 4, "patchB": None},
    )
    line.set_in_layout(False)
