"""What a threshold on the relevance score does, by threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from langchain_rerank.evaluation.report.plots.canvas import (
    BLUE,
    GREEN,
    ORANGE,
    band,
    canvas,
    legend,
    tidy,
)
from langchain_rerank.evaluation.score.thresholds import ThresholdPoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def threshold_curve(points: Sequence[ThresholdPoint], threshold: float | None) -> Figure:
    """Return the share answered, and of those the share that is right, by threshold.

    Args:
        points: As of `ThresholdChoice`, two or more; the first, without a threshold, is drawn where
            the lines begin.
        threshold: The recommendation; None for no threshold.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure, axes = canvas()
    drawn = [one for one in points if one.threshold is not None]
    first = drawn[0].threshold or 0.0
    step = ((drawn[-1].threshold or 0.0) - first) / len(drawn) or max(abs(first), 1.0) / 10
    at = [first - step, *(one.threshold or 0.0 for one in drawn)]
    answered = [one.answered_share for one in points]
    axes.plot(at, answered, "s--", color=ORANGE, label="answered, of all questions")
    band(axes, at, [one.answered_ci for one in points], ORANGE, 0.12)
    told = [
        (place, one.right_share, one.right_ci)
        for place, one in zip(at, points, strict=True)
        if one.right_share is not None and one.right_ci is not None
    ]
    places, shares, intervals = zip(*told, strict=True) if told else ((), (), ())
    axes.plot(places, shares, "o-", color=BLUE, label="first document relevant, of those answered")
    band(axes, places, intervals, BLUE)
    chosen = at[0] if threshold is None else threshold
    words = "no threshold" if threshold is None else f"threshold {threshold:g}"
    axes.axvline(chosen, color=GREEN, linewidth=1.2, label=f"recommended: {words}")
    axes.set_ylim(0.0, 1.04)
    axes.set_ylabel("Share of questions (band: 95 % interval)")
    axes.set_xlabel("Lowest relevance score that is returned (leftmost: no threshold)")
    legend(figure)
    tidy(axes)
    return figure
