"""A result that can show itself, be saved, and be asserted on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from langchain_rerank.errors import DataFileError
from langchain_rerank.evaluation.data.plain import finite
from langchain_rerank.evaluation.data.ragas_rows import RagasRow
from langchain_rerank.evaluation.data.trec import write_qrels, write_run
from langchain_rerank.evaluation.report.folder import (
    REPORT,
    as_csv,
    files_in,
    replace_folder,
    write_text,
)
from langchain_rerank.evaluation.report.handoff import to_ragas
from langchain_rerank.evaluation.report.plots import Plot, draw, png, svg
from langchain_rerank.evaluation.report.regression import check_no_regression
from langchain_rerank.evaluation.report.rendering import html
from langchain_rerank.evaluation.report.rendering.queries import flat_rows
from langchain_rerank.evaluation.report.rendering.view import View, view
from langchain_rerank.evaluation.report.rendering.words import file_names
from langchain_rerank.evaluation.report.shown import Shown
from langchain_rerank.evaluation.score.assemble import counts
from langchain_rerank.evaluation.score.results import EvaluationResult


@dataclass(frozen=True)
class Report(Shown, EvaluationResult):
    """What an evaluation found, with the ways to show it.

    Print it with rich (`rich.print(report)` or `report.print()`), leave it as the last line of a
    notebook cell, or `report.save("results")`.
    """

    @classmethod
    def of(cls, result: EvaluationResult) -> Self:
        """Return `result` as a report."""
        return cls(**vars(result))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the report that `save` wrote to a folder (or to a `report.json`).

        Document texts are not part of it.

        Raises:
            DataFileError: The file is not there, or is not a report.
        """
        file = Path(path)
        file = file / REPORT if file.is_dir() else file
        try:
            return cls.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
            raise DataFileError(
                f"cannot be read as a report: {error}. Expected the report.json that "
                f"Report.save() writes.",
                path=file,
            ) from error

    def _view(self, *, narrow: bool = False) -> View:
        return view(self, narrow=narrow)

    def _page(self, figures: Mapping[str, str]) -> str:
        return html.page(self._view(), figures, self)

    def _rows(self) -> list[dict[str, Any]]:
        return list(flat_rows(self))

    def plots(self) -> list[Plot]:
        """Return the plots that fit this result (`langchain_rerank.evaluation.report.plots`).

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        return draw(self)

    def to_json(self) -> str:
        """Return everything but the document texts as JSON, one line per query.

        JSON has no NaN and no infinity: a setting that is one becomes null.
        """
        return self._json()

    def _json(self, **more: Any) -> str:
        data = {**finite(self.to_dict()), **more}
        queries = data.pop("queries")
        head = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False, default=str)
        lines = (json.dumps(one, ensure_ascii=False, allow_nan=False) for one in queries)
        rows = ",\n".join(f"    {line}" for line in lines)
        return f'{head[:-2]},\n  "queries": [\n{rows}\n  ]\n}}\n'

    def to_csv(self) -> str:
        """Return one line per query: status, and every system's measures, ranks and times.

        Text that a spreadsheet would take for a formula (`=`, `+`, `-`, `@` in front) gets an
        apostrophe before it.
        """
        rows = [
            {_as_text(key): _as_text(cell) for key, cell in row.items()} for row in self._rows()
        ]
        return as_csv(rows, list(rows[0]) if rows else ["query_id"])

    def to_ragas(self, system: str, top_n: int | None = None) -> list[RagasRow]:
        """Return what `system` returned as RAGAS rows, plain data, one per question that ran.

        Args:
            system: The system, for instance "reranked".
            top_n: How many documents of each ranking are handed over; None for all.

        Raises:
            ConfigurationError: No such system, or the report was read from a file without texts.
        """
        return to_ragas(self, system, top_n)

    def save(self, directory: str | Path, *, also: Callable[[Path], object] | None = None) -> Path:
        """Write the report in every form to a folder.

        `report.json`, `report.md`, `report.html`, `per_query.csv`, `qrels.trec`, `runs/SYSTEM.trec`
        and `plots/*.svg` and `*.png`. From the TREC files other tools compute the same means; where
        hits are sources or texts, `document_runs/SYSTEM.trec` has the same rankings by the ids of
        documents, for `--run`. The plots need matplotlib; without it they are left out, with a
        warning in the log.

        Args:
            directory: A folder; made where it is not there. Files of the same names are
                overwritten, and what an earlier report left there is removed.
            also: Writes what belongs to the report into its folder, such as the `save` of a
                `ThresholdTuning`; the next report removes it as well.

        Returns:
            The folder.
        """

        def write(folder: Path) -> None:
            if also is not None:
                also(folder)
            self._write(folder)

        return replace_folder(Path(directory), write)

    def _write(self, folder: Path) -> None:
        """Write every file of the report, and list in `report.json` all that is in the folder."""
        plots = self._plots()
        drawn = {one.name: svg(one) for one in plots}
        texts = {
            "report.md": self.to_markdown(),
            "report.html": self._page({one.caption: drawn[one.name] for one in plots}),
            "per_query.csv": self.to_csv(),
            **{f"plots/{name}.svg": picture for name, picture in drawn.items()},
        }
        for part in ("runs", "plots") if plots else ("runs",):
            (folder / part).mkdir()
        for name, text in texts.items():
            write_text(folder / name, text)
        for one in plots:
            (folder / "plots" / f"{one.name}.png").write_bytes(png(one))
        self._write_trec(folder)
        write_text(folder / REPORT, self._json(files=[REPORT, *files_in(folder)]))

    def _write_trec(self, folder: Path) -> None:
        # What no mean counts is left out, so that other tools compute the same means.
        counted = [row for row in self.queries if counts(row)]
        write_qrels(folder / "qrels.trec", {row.query_id: row.qrels for row in counted})
        for name, file in file_names(self.systems).items():
            runs = {row.query_id: row.systems[name] for row in counted if name in row.systems}
            write_run(
                folder / "runs" / f"{file}.trec",
                {query: (row.ids, row.scores) for query, row in runs.items()},
                tag=name,
            )
            # Where hits are sources or texts, the ids above are these, and no documents.
            if any(row.document_ids and row.document_ids != row.ids for row in runs.values()):
                (folder / "document_runs").mkdir(exist_ok=True)
                write_run(
                    folder / "document_runs" / f"{file}.trec",
                    {query: (row.document_ids, row.scores) for query, row in runs.items()},
                    tag=name,
                )

    def assert_no_regression(
        self,
        measure: str | None = None,
        margin: float = 0.0,
        *,
        system: str | None = None,
        against: EvaluationResult | None = None,
    ) -> None:
        """Raise when a system is worse than its baseline by more than `margin`.

        Made for a continuous-integration run: figures and worst queries are in the message.

        Args:
            measure: The measure; the main one of the report by default.
            margin: How much the mean may fall, at least 0.
            system: The system; every one but the baseline by default.
            against: An earlier report: each system is compared with itself there (the baseline
                included) over the questions that both have, in place of this report's baseline.

        Raises:
            RegressionError: A mean fell by more than `margin`. It is an AssertionError.
            ConfigurationError: No such measure or system, a negative margin, no labelled query,
                most records invalid, no question in both reports, nothing but zeros, or a RAGAS
                metric that is better the lower it is.
        """
        name = measure or self.measures[0]
        self._refuse(name)
        check_no_regression(self, name, margin, system, against)

    def _refuse(self, measure: str) -> None:
        """Refuse a measure by which a fall is no regression; here there is none."""


def _as_text(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs: Excel and its kin evaluate what looks like a formula.

    Source: OWASP, CSV Injection.
    """
    if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{cell}"
    return cell
