"""One run of an `EvaluationChain`: what is finished, and the report on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from langchain_core.documents import Document

from langchain_rerank.documents import RELEVANCE_SCORE
from langchain_rerank.errors import InputTypeError
from langchain_rerank.evaluation.data.datasets import Dataset, Record
from langchain_rerank.evaluation.report.passes import relevance_settings
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.run.environment import environment
from langchain_rerank.evaluation.run.journal import Journal
from langchain_rerank.evaluation.run.scoring import described, known_scores, refuse_total_failure
from langchain_rerank.evaluation.score import assemble
from langchain_rerank.evaluation.score.assemble import Ranking
from langchain_rerank.evaluation.score.results import QueryRow
from langchain_rerank.result import RerankResult

if TYPE_CHECKING:
    from langchain_rerank.evaluation.chain import EvaluationChain


@dataclass(frozen=True)
class Run:
    """One run of a chain: its data set, and what is finished."""

    chain: EvaluationChain
    dataset: Dataset
    journal: Journal
    started: str

    def warm_ups(self) -> list[tuple[Record, str]]:
        """Return the first unfinished question of each system."""
        found = []
        for name in self.chain.systems:
            usable = (one for one in self.dataset.records if not one.problem)
            first = next((one for one in usable if self.journal.get(name, one.id) is None), None)
            if first is not None:
                found.append((first, name))
        return found

    def finished(self, system: str, record: Record) -> Ranking | None:
        """Return what the journal has; without its times, which are those of another run."""
        row = self.journal.get(system, record.id)
        return None if row is None else Ranking(tuple(row["keys"]), tuple(row["scores"]))

    def keep(self, system: str, record: Record, output: Any, started: float) -> Ranking:
        """Return the ranking that a system's output is, and keep it.

        Raises:
            InputTypeError: The output is no list of documents.
        """
        times = {"total": (perf_counter() - started) * 1000.0}
        if isinstance(output, RerankResult):
            times = {**output.timings, **times}
            output = output.documents
        if not isinstance(output, (list, tuple)) or not all(
            isinstance(one, Document) for one in output
        ):
            raise InputTypeError(
                f"{system} must return a list of documents, got {type(output).__name__}."
            )
        documents = self.chain.relevance.keyed(cast("list[Document]", output))
        keys, scores = tuple(documents), _scores(list(documents.values()))
        row = {"keys": keys, "scores": scores, "latency_ms": times}
        self.journal.put(system, record.id, row, documents)
        return Ranking(keys, scores, times)

    def fail(self, system: str, record: Record, error: Exception) -> Ranking:
        """Return the ranking of a question that failed, and keep that it did."""
        self.journal.put(system, record.id, {"error": described(error)}, {})
        return Ranking(error=described(error))

    def row(self, record: Record, rankings: Mapping[str, Ranking]) -> QueryRow:
        """Return the judged row of a record."""
        chain = self.chain
        return assemble.query_row(
            record, rankings, self.journal.documents, chain.measures, chain.relevance, chain.top_n
        )

    def report(self, rows: Sequence[QueryRow]) -> Report:
        """Return the report on all rows.

        Raises:
            ConfigurationError: Labels that no document can be compared with.
            EvaluationError: Every question of a system failed.
        """
        chain, documents = self.chain, self.journal.documents
        for name in chain.systems:
            refuse_total_failure([row.systems[name].error for row in rows if row.systems])
        shown = {
            row.query_id: {key for one in row.systems.values() for key in one.document_ids}
            for row in rows
            if row.systems
        }
        unmet = chain.relevance.check(
            [
                (one, [documents[key] for key in shown[one.id]])
                for one in self.dataset.records
                if one.id in shown
            ]
        )
        baseline = str(chain.baseline)
        names = [baseline, *(name for name in chain.systems if name != baseline)]
        summary = assemble.summaries(rows, names, chain.measures, chain.seed)
        return Report(
            title=f"{' and '.join(names)} on {self.dataset.name}",
            baseline=baseline,
            measures=tuple(map(str, chain.measures)),
            systems=summary,
            comparisons=assemble.adjusted(
                assemble.comparisons(rows, summary, baseline, names[1:], chain.measures, chain.seed)
            ),
            queries=tuple(rows),
            settings={
                "dataset": self.dataset.name,
                "queries": len(self.dataset),
                "systems": {name: type(one).__name__ for name, one in chain.systems.items()},
                "top_n": chain.top_n,
                "relevance": relevance_settings(chain.relevance),
                "max_concurrency": chain.max_concurrency,
                "seed": chain.seed,
                **chain.settings,
            },
            environment=environment(self.started),
            warnings=(*self.dataset.warnings, *unmet, *assemble.noted(rows)),
            texts={key: one.page_content for key, one in documents.items()},
        )


def _scores(documents: Sequence[Document]) -> tuple[float, ...]:
    """Return the scores that decided the order, where every document has one of the same kind."""
    reranked = [one.metadata.get(RELEVANCE_SCORE) for one in documents]
    known = tuple(
        float(one) for one in reranked if isinstance(one, (int, float)) and math.isfinite(one)
    )
    return known if len(known) == len(documents) else known_scores(documents)
