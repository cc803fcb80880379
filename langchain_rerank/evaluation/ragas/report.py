"""What an evaluation by RAGAS's metrics found: a report, with its cells and rows beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.ragas.cells import Cell, CellStatus
from langchain_rerank.evaluation.ragas.metrics import METRICS
from langchain_rerank.evaluation.ragas.rows import RagasRow, write_jsonl
from langchain_rerank.evaluation.ragas.shown import side_by_side
from langchain_rerank.evaluation.report.plots import Plot, svg
from langchain_rerank.evaluation.report.rendering import html, markdown, terminal
from langchain_rerank.evaluation.report.rendering.words import file_names
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.score.results import EvaluationResult

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_COUNTED_APART: tuple[CellStatus, ...] = ("failed", "not_applicable")


@dataclass(frozen=True)
class RagasReport(Report):
    """A report whose measures are RAGAS's metrics.

    `report.json` has the layout of every report; each measure of a system has two more numbers
    there, `failed` and `not_applicable`: cells that are in no mean.

    Attributes:
        cells: Every metric of every question through every system, with the reason where there is
            no value; not part of `to_dict`.
        rows: The rows that were judged, by system; not part of `to_dict`.
    """

    cells: tuple[Cell, ...] = field(default=(), repr=False, compare=False)
    rows: dict[str, tuple[RagasRow, ...]] = field(default_factory=dict, repr=False, compare=False)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from terminal.renderables(side_by_side(self, narrow=True))

    def _repr_html_(self) -> str:
        return html.fragment(side_by_side(self))

    def to_markdown(self) -> str:
        """Return the summary as Markdown."""
        return markdown.markdown(side_by_side(self))

    def _page(self, plots: list[Plot]) -> str:
        return html.page(self, side_by_side(self), {one.caption: svg(one) for one in plots})

    def counts_of(self, system: str, metric: str) -> dict[str, int]:
        """Return how many cells have each status."""
        found = Counter(
            one.status for one in self.cells if (one.system, one.metric) == (system, metric)
        )
        return {status: found[status] for status in get_args(CellStatus)}

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, with `failed` and `not_applicable` beside each mean."""
        data = super().to_dict()
        del data["cells"], data["rows"]
        counts = Counter((one.system, one.metric, one.status) for one in self.cells)
        for system, summary in data["systems"].items():
            for metric, found in summary["measures"].items():
                found |= {one: counts[system, metric, one] for one in _COUNTED_APART}
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the report that `to_dict` wrote; its cells and rows are not part of that."""
        systems = {
            name: {
                **summary,
                "measures": {
                    metric: {key: one for key, one in found.items() if key not in _COUNTED_APART}
                    for metric, found in summary["measures"].items()
                },
            }
            for name, summary in data["systems"].items()
        }
        return super().from_dict({**data, "systems": systems})

    def save(self, directory: str | Path) -> Path:
        """Write the report in every form to a folder, with `cells.jsonl` and `rows/SYSTEM.jsonl`.

        The rows are what RAGAS reads: `EvaluationDataset.from_jsonl`.

        Args:
            directory: A folder; made where it is not there, files of the same names overwritten.
        """
        folder = super().save(directory)
        with (folder / "cells.jsonl").open(
            "w", encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.writelines(
                json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in self.cells
            )
        (folder / "rows").mkdir(exist_ok=True)
        for system, name in file_names(self.rows).items():
            write_jsonl(self.rows[system], folder / "rows" / f"{name}.jsonl")
        return folder

    def assert_no_regression(
        self,
        measure: str | None = None,
        margin: float = 0.0,
        *,
        system: str | None = None,
        against: EvaluationResult | None = None,
    ) -> None:
        """Raise when a system is worse by more than `margin`; see `Report`.

        Raises:
            RegressionError: A mean fell by more than `margin`.
            ConfigurationError: As in `Report`, and for a metric where lower is better.
        """
        name = measure or self.measures[0]
        if name in METRICS and METRICS[name].lower_is_better:
            raise ConfigurationError(
                f"{name} is better the lower it is, so a fall is no regression; compare the means "
                f"in report.systems yourself."
            )
        super().assert_no_regression(name, margin, system=system, against=against)
