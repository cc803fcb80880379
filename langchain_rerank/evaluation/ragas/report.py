"""What an evaluation by RAGAS's metrics found: a report, with its cells and rows beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self, get_args

from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.evaluation.data.plain import build, finite
from langchain_rerank.evaluation.data.ragas_rows import RagasRow, read_rows, write_jsonl
from langchain_rerank.evaluation.ragas.metrics import METRICS, Cell, CellStatus
from langchain_rerank.evaluation.report.rendering.tables import Table, mean_of
from langchain_rerank.evaluation.report.rendering.view import View, view
from langchain_rerank.evaluation.report.rendering.words import (
    NOTHING,
    between,
    file_names,
    p_is,
    signed,
    system_label,
)
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.score.results import Comparison, EvaluationResult, SystemSummary
from langchain_rerank.reading.json_values import objects, read_json

_APART: tuple[CellStatus, ...] = ("failed", "not_applicable")
_CELLS = "cells.jsonl"
_NARROW = 24  # characters of a name that leave room for figures in 80 columns


def texts_of(rows: Mapping[str, Iterable[RagasRow]]) -> dict[str, str]:
    """Return the texts of all contexts in `rows` by their ids."""
    return {
        key: text
        for by_system in rows.values()
        for row in by_system
        for key, text in zip(
            row.retrieved_context_ids or (), row.retrieved_contexts or (), strict=False
        )
    }


@dataclass(frozen=True)
class RagasReport(Report):
    """A report whose measures are RAGAS's metrics.

    `report.json` has the layout of every report; each measure of a system has two more numbers
    there, `failed` and `not_applicable`: cells that are in no mean.

    Attributes:
        cells: Every metric of every question through every system, with the reason where there is
            no value; not part of `to_dict`.
        rows: The rows that were judged, by system; not part of `to_dict`.
        left_out: How many cells are in no mean, by system, metric and why, of a report that was
            read without its cells.
    """

    cells: tuple[Cell, ...] = field(default=(), repr=False, compare=False)
    rows: dict[str, tuple[RagasRow, ...]] = field(default_factory=dict, repr=False, compare=False)
    left_out: dict[str, dict[str, dict[str, int]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def _view(self, *, narrow: bool = False) -> View:
        # A metric a line, since RAGAS's names are long: the systems stand side by side.
        shown, several = view(self), len(self.systems) > 2
        # With two systems the differences stand in the table itself.
        rest = [one for one in shown.tables[1:] if several or not one.caption.startswith("Against")]
        return replace(shown, tables=(_metrics(self, several, narrow), *rest))

    def counts_of(self, system: str, metric: str) -> dict[str, int]:
        """Return how many cells have each status."""
        found = Counter(
            one.status for one in self.cells if (one.system, one.metric) == (system, metric)
        )
        return {status: found[status] for status in get_args(CellStatus)}

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, with `failed` and `not_applicable` beside each mean."""
        data = super().to_dict()
        for name in ("cells", "rows", "left_out"):
            del data[name]
        counts = Counter((one.system, one.metric, one.status) for one in self.cells)
        for system, summary in data["systems"].items():
            for metric, found in summary["measures"].items():
                # A report that was read without its cells still knows how many there were.
                known = self.left_out.get(system, {}).get(metric, {}) if not self.cells else {}
                found |= {one: known.get(one, counts[system, metric, one]) for one in _APART}
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the report that `to_dict` wrote; its cells and rows are not part of that."""
        systems: dict[str, Any] = {}
        left_out: dict[str, dict[str, dict[str, int]]] = {}
        try:
            for name, summary in data["systems"].items():
                measures = {metric: dict(found) for metric, found in summary["measures"].items()}
                left_out[name] = {
                    metric: {key: found.pop(key) for key in _APART if key in found}
                    for metric, found in measures.items()
                }
                systems[name] = {**summary, "measures": measures}
        except (AttributeError, LookupError, TypeError, ValueError):
            return super().from_dict(data)  # which says what is wrong with it
        return super().from_dict({**data, "systems": systems, "left_out": left_out})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the report that `save` wrote to a folder, with its cells and rows.

        From a `report.json` alone there are neither.

        Raises:
            DataFileError: A file is not there, or is not one of a report.
        """
        report = super().load(path)
        folder = Path(path)
        if not (folder / _CELLS).is_file():
            return report
        cells = []
        for line, data in objects(read_json(folder / _CELLS), folder / _CELLS):
            try:
                cells.append(build(Cell, data))
            except ConfigurationError as error:
                raise DataFileError(str(error), path=folder / _CELLS, line=line) from error
        rows = {
            system: tuple(read_rows(folder / "rows" / f"{name}.jsonl"))
            for system, name in file_names(report.systems).items()
        }
        return replace(report, cells=tuple(cells), rows=rows, texts=texts_of(rows))

    def _write(self, folder: Path) -> None:
        """Write `cells.jsonl`, `rows/SYSTEM.jsonl` for RAGAS, and what all reports have."""
        if self.cells or self.rows:
            lines = (json.dumps(finite(asdict(one)), ensure_ascii=False) for one in self.cells)
            text = "".join(f"{line}\n" for line in lines)
            (folder / _CELLS).write_text(text, encoding="utf-8", errors="backslashreplace")
            (folder / "rows").mkdir()
            for system, name in file_names(self.systems).items():
                write_jsonl(self.rows.get(system, ()), folder / "rows" / f"{name}.jsonl")
        super()._write(folder)

    def _refuse(self, measure: str) -> None:
        if measure in METRICS and METRICS[measure].lower_is_better:
            raise ConfigurationError(
                f"{measure} is better the lower it is, so a fall is no regression; compare the "
                f"means in report.systems yourself."
            )


def _metrics(result: EvaluationResult, several: bool, narrow: bool) -> Table:
    compared = {one.measure: one for one in result.comparisons}
    columns: list[tuple[str, Callable[[str], str]]] = [("Metric", _broken if narrow else str)]
    columns += [(system_label(one), partial(_mean, found)) for one, found in result.systems.items()]
    if not several:
        columns.append(("Difference", lambda name: _difference(compared.get(name))))
    lower = [one for one in result.measures if one in METRICS and METRICS[one].lower_is_better]
    return Table.of(
        "RAGAS metrics",
        result.measures,
        columns,
        note=" ".join(
            [
                "Means with 95 % intervals, over questions that have a value.",
                "Differences are over those that have one through every system.",
                "p is adjusted for all of them (Holm), the interval is not.",
                *(f"{one} is better the lower it is." for one in lower),
            ]
        ),
    )


def _mean(summary: SystemSummary, metric: str) -> str:
    return mean_of(summary.measures[metric], "\n")


def _difference(one: Comparison | None) -> str:
    if one is None:
        return NOTHING
    p = "" if one.p_holm is None else f" ({p_is(one.p_holm)})"
    interval = "" if one.ci is None else f"\n{between(one.ci, signed)}"
    return f"{signed(one.difference)}{p}{interval}"


def _broken(name: str) -> str:
    r"""Return a long name on two lines.

    Examples:
        >>> _broken("non_llm_context_precision_with_reference")
        'non_llm_context_\nprecision_with_reference'
    """
    if len(name) <= _NARROW:
        return name
    cut = name.rfind("_", 0, _NARROW) + 1
    return f"{name[:cut]}\n{name[cut:]}"
