"""What every plot shares: colours, axes, no pyplot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_rerank.optional import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# From the Okabe-Ito palette, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#5F6670", "#1B1F24"

LONGEST_NAME = 28
"""Characters of a system's name in a figure."""


def canvas(width: float = 6.4, height: float = 4.2, rows: int = 1) -> tuple[Figure, Any]:
    """Return a figure and its axes (an array of them, top first, for more than one row).

    Made without pyplot: no global state, no window, safe in threads and notebooks.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    made = require("matplotlib.figure", extra="plots").Figure(
        figsize=(width, height), layout="constrained"
    )
    return made, made.subplots(rows, 1, sharex=True)


def band(
    axes: Axes,
    places: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    color: str,
    alpha: float = 0.18,
    **more: Any,
) -> None:
    """Draw intervals as a band."""
    low, high = zip(*intervals, strict=True) if intervals else ((), ())
    axes.fill_between(places, low, high, color=color, alpha=alpha, linewidth=0, **more)


def heading(axes: Axes, text: str) -> None:
    """Say above the axes what there is to see."""
    axes.set_title(text, fontsize=10, loc="left")


def legend(figure: Figure, ncols: int = 1) -> None:
    """Explain lines above all axes: beside lines there is not always room."""
    figure.legend(loc="outside upper left", ncols=ncols, frameon=False, fontsize=9)


def tidy(axes: Axes, across: Literal["x", "y"] = "y") -> None:
    """Leave the frame that carries scales, and quiet lines to read values of an axis by."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=across, color="#D9DEE3", linewidth=0.8)
    axes.set_axisbelow(True)
