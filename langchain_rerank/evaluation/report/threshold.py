"""Which threshold to use, with the ways to show it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from langchain_rerank.checks import with_setting
from langchain_rerank.evaluation.report.folder import as_csv, write_text
from langchain_rerank.evaluation.report.plots import Plot, png, svg
from langchain_rerank.evaluation.report.plots.curves import threshold_curve
from langchain_rerank.evaluation.report.rendering.tables import Table
from langchain_rerank.evaluation.report.rendering.view import View
from langchain_rerank.evaluation.report.rendering.words import NOTHING, between, fraction, signed
from langchain_rerank.evaluation.report.shown import Shown
from langchain_rerank.evaluation.score.thresholds import ThresholdChoice, ThresholdPoint

_NOTE = (
    "Right: the first document is relevant. In brackets 95 % intervals over questions. Worth: the "
    "mean of 1 for a right first document, 0 for a wrong one, {no_answer:g} for none."
)


@dataclass(frozen=True)
class ThresholdTuning(Shown, ThresholdChoice):
    """Which threshold to use, and what each does: printed, in a notebook cell, or saved.

    Attributes:
        model: The reranker, whose scale it is.
        queries: How many labelled questions it rests on.
        no_answer: What no answer was taken to be worth.
        warnings: What to know about the questions: those that failed, labels that match nothing.
    """

    model: str
    queries: int
    no_answer: float
    warnings: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why this is the recommendation, in a sentence."""
        rule = (
            f"(worth of a right first document 1, of a wrong one 0, of no answer "
            f"{self.no_answer:g})"
        )
        gain = f"{signed(self.gain)} (95 % interval {between(self.ci, signed)})"
        if self.has_gain:
            without = self.points[0]
            return (
                f"Questions that did not choose the threshold gain {gain} {rule}. It answers "
                f"{_shares(self._point)}; without a threshold: {_shares(without)}."
            )
        needed = (
            f" At least about {self.queries_needed} questions would show such a gain."
            if self.queries_needed
            else ""
        )
        return (
            f"No gain is shown over no threshold: questions that did not choose it gain {gain} "
            f"{rule}.{needed}"
        )

    @property
    def _point(self) -> ThresholdPoint:
        return next(one for one in self.points if one.threshold == self.threshold)

    def apply(self, retriever: Any) -> Any:
        """Return a copy of a reranking retriever or compressor with `score_threshold` set.

        Raises:
            ConfigurationError: It has no such setting.
        """
        return with_setting(retriever, "score_threshold", self.threshold)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return {**asdict(self), "reason": self.reason}

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for one in self.points:
            row = asdict(one)
            for name in ("answered_ci", "right_ci"):
                low, high = row.pop(name) or (None, None)
                row |= {f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
        return rows

    def plot(self) -> Plot:
        """Return the picture (`langchain_rerank.evaluation.report.plots` has `svg` and `png`).

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        caption = "Questions answered, and answered right, by threshold"
        return Plot("threshold", caption, threshold_curve(self.points, self.threshold))

    def plots(self) -> list[Plot]:
        """Return the picture, where there is more than one threshold.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        return [self.plot()] if len(self.points) > 1 else []

    def save(self, directory: str | Path) -> Path:
        """Write `threshold.json`, `.md`, `.html` and `.csv` to a folder, and return it.

        `threshold.png` too where matplotlib is installed.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        plots, rows = self._plots(), self._rows()
        texts = {
            "json": self.to_json(),
            "md": self.to_markdown(),
            "html": self._page({one.caption: svg(one) for one in plots}),
            "csv": as_csv(rows, list(rows[0])),
        }
        for ending, text in texts.items():
            write_text(folder / f"threshold.{ending}", text)
        for one in plots:
            (folder / "threshold.png").write_bytes(png(one))
        return folder

    def _view(self, *, narrow: bool = False) -> View:  # noqa: ARG002 - it is narrow
        rows = [
            (
                "none" if one.threshold is None else f"{one.threshold:g}",
                fraction(one.answered_share),
                between(one.answered_ci),
                fraction(one.right_share),
                NOTHING if one.right_ci is None else between(one.right_ci),
                fraction(one.worth),
            )
            for one in self.points
        ]
        table = Table(
            caption="By threshold",
            columns=("Threshold", "Answered", "", "Right of those", "", "Worth"),
            rows=tuple(rows),
            chosen=self.points.index(self._point),
            note=_NOTE.format(no_answer=self.no_answer),
        )
        return View(
            title=f"Threshold for {self.model}, {self.queries} questions",
            headlines=(f"score_threshold={self.threshold}", self.reason),
            warnings=self.warnings,
            tables=(table,),
        )


def _shares(point: ThresholdPoint) -> str:
    right = "" if point.right_share is None else f", {point.right_share:.0%} of those right"
    return f"{point.answered_share:.0%} of the questions{right}"
