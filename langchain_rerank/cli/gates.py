"""What `evaluate` fails on, for continuous integration: exit code 1 where quality is not enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console

from langchain_rerank.errors import ConfigurationError, RegressionError
from langchain_rerank.evaluation.report.regression import refuse_invalid
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.score.measures import Measure, parse_measure

FAILED = 1


@dataclass(frozen=True)
class Gates:
    """What has to hold of a report.

    Attributes:
        floors: The lowest mean that is enough, by measure.
        against: An earlier report that no system may fall below.
        margin: How much a mean may be below that of the earlier report.
    """

    floors: tuple[tuple[Measure, float], ...] = ()
    against: Report | None = None
    margin: float = 0.01

    @classmethod
    def of(cls, fail_under: Sequence[str] | None, against: Path | None, margin: float) -> Gates:
        """Return the gates that the options set.

        Raises:
            ConfigurationError: A floor is not MEASURE=VALUE, or names no measure.
            DataFileError: The earlier report cannot be read.
        """
        floors = tuple(map(_floor, fail_under or ()))
        return cls(floors, None if against is None else Report.load(against), margin)

    def failures(self, report: Report) -> list[str]:
        """Return a sentence for each gate that does not hold; reranked systems have to hold all.

        Raises:
            ConfigurationError: The earlier report has no such system, question or measure, or most
                records could not be used.
        """
        said = []
        if self.floors:
            refuse_invalid(report)
        for measure, floor in self.floors:
            for name, system in report.systems.items():
                mean = system.measures[str(measure)].mean
                if name != report.baseline and (mean is None or mean < floor):
                    shown = "no value" if mean is None else f"{mean:.4f}"
                    said.append(f"{measure} of {name} is {shown}, and at least {floor:g} is wanted")
        if self.against is not None:
            try:
                report.assert_no_regression(margin=self.margin, against=self.against)
            except RegressionError as error:
                said.append(str(error).rstrip("."))
        return said

    def enforce(self, report: Report, notes: Console) -> None:
        """Say which gates do not hold, and end with exit code 1 where one does not."""
        said = self.failures(report)
        for one in said:
            notes.print(f"Failed: {one}.")
        if said:
            raise typer.Exit(FAILED)


def _floor(text: str) -> tuple[Measure, float]:
    name, equals, written = text.rpartition("=")
    try:
        value = float(written)
    except ValueError:
        value = math.nan
    if not equals or not name or not math.isfinite(value):
        raise ConfigurationError(
            f"--fail-under {text!r}: MEASURE=VALUE was expected, for instance nDCG@10=0.6."
        )
    return parse_measure(name), value
