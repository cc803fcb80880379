"""Names beside points: horizontal, clear of each other and of what is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from langchain_rerank.evaluation.report.plots.canvas import GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONT_SIZE = 9
_MARKER = 7.0  # points from the middle of a mark to where a name may begin
_DISTANCES = (0, 8, 18, 30, 44, 60, 80, 105, 135)  # further away, in points, as far as need be
_STEPS = 16  # directions
_LED_FROM = 18  # a name that is further from its point than this gets a line to it

# In points: left, bottom, right, top; and (n, 4) of them.
Box: TypeAlias = tuple[float, float, float, float]
Boxes = np.ndarray[Any, np.dtype[np.float64]]


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
    bounds = np.array(axes.get_window_extent().extents) * scale

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = axes.transData.transform((x, y))
        return across * scale, up * scale

    marks = [place(x, y) for x, y, _ in points]
    taken = [(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in marks]
    crossed = [box for line in lines for box in _along([place(*one) for one in line])]
    for number, ((x, y, name), (across, up)) in enumerate(zip(points, marks, strict=True)):
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
        extent = label.get_window_extent()
        box = _best(
            [(across, up), (extent.width * scale + 2, extent.height * scale + 2)],
            np.array(taken),
            np.array(taken[:number] + taken[number + 1 :]).reshape(-1, 4),
            np.array(crossed).reshape(-1, 4),
            bounds,
        )
        taken.append(box)
        label.set_position(((box[0] + box[2]) / 2 - across, (box[1] + box[3]) / 2 - up))
        end_x, end_y = _end(across, up, box)
        if math.dist((end_x, end_y), (across, up)) > _LED_FROM:
            _lead(axes, (x, y), (end_x - across, end_y - up))


def _best(
    where: Sequence[tuple[float, float]],
    taken: Boxes,
    others: Boxes,
    crossed: Boxes,
    bounds: Boxes,
) -> Box:
    (x, y), size = where
    best, least = (x, y, x, y), math.inf
    for distance, box in _places(x, y, size):
        outside = _area(box) - _overlaps(box, bounds.reshape(1, 4))
        cost = 10 * (_overlaps(box, taken) + outside) + _overlaps(box, crossed) + 0.05 * distance
        if distance:  # The line to it runs over nothing that is another's.
            led = _along([(x, y), _end(x, y, box)])
            cost += 10 * sum(_overlaps(piece, others) for piece in led)
        if cost < least:
            best, least = box, cost
    return best


def _places(x: float, y: float, size: tuple[float, float]) -> Iterator[tuple[float, Box]]:
    """Yield boxes of `size` around a mark, the nearest first and to the right before the left."""
    width, height = size
    turns = sorted(range(_STEPS), key=lambda turn: min(turn, _STEPS - turn))
    for distance in _DISTANCES:
        for turn in turns:
            angle = 2 * math.pi * turn / _STEPS
            across, up = math.cos(angle), math.sin(angle)
            # Whatever the direction, the box begins at the mark's edge.
            reach = _MARKER + distance
            middle_x = x + across * (reach + width / 2)
            middle_y = y + up * (reach + height / 2)
            yield (
                distance,
                (
                    middle_x - width / 2,
                    middle_y - height / 2,
                    middle_x + width / 2,
                    middle_y + height / 2,
                ),
            )


def _along(line: Sequence[tuple[float, float]]) -> Iterator[Box]:
    """Yield small boxes along a broken line."""
    for (x0, y0), (x1, y1) in pairwise(line):
        steps = max(1, round(math.hypot(x1 - x0, y1 - y0) / 4))
        for step in range(steps + 1):
            x, y = x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps
            yield x - 2, y - 2, x + 2, y + 2


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _overlaps(box: Box, others: Boxes) -> float:
    """Return the area of `box` that others cover, counted once for each of them."""
    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    return float((width.clip(0) * height.clip(0)).sum())


def _end(x: float, y: float, box: Box) -> tuple[float, float]:
    """Return where a line from a mark to the middle of a box outside of it meets its edge."""
    width, height = box[2] - box[0], box[3] - box[1]
    across, up = (box[0] + box[2]) / 2 - x, (box[1] + box[3]) / 2 - y
    outside = 1 - 1 / max(2 * abs(across) / width, 2 * abs(up) / height)
    return x + outside * across, y + outside * up


def _lead(axes: Axes, point: tuple[float, float], end: tuple[float, float]) -> None:
    line = axes.annotate(
        "",
        point,
        xytext=end,
        textcoords="offset points",
        arrowprops={
            "arrowstyle": "-",
            "color": GREY,
            "linewidth": 0.6,
            "shrinkA": 0,
            "shrinkB": 4,
            "patchB": None,
        },
    )
    line.set_in_layout(False)
