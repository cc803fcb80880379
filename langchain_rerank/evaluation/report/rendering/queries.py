"""The queries of a result as flat rows (CSV, data frame) and as data for the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_rerank.evaluation.score.results import STAGES, EvaluationResult, QueryRow, SystemRow

SHOWN_RANKS = 10  # as in report.js: beyond these ranks only relevant documents are shown
TEXT_LENGTH = 400


def flat_rows(result: EvaluationResult) -> Iterator[dict[str, Any]]:
    """Yield one flat row per query: its status, then each system's measures, ranks and times.

    A cell is None where there is no value: an unlabelled query has no measures, a replayed one no
    times. Every row has the same keys, in the same order.
    """
    stages = {
        name: [stage for stage in STAGES if stage in summary.latency]
        for name, summary in result.systems.items()
    }
    for query in result.queries:
        row: dict[str, Any] = {
            "query_id": query.query_id,
            "question": query.question,
            "status": query.status,
            "error": query.error,
            "tags": " ".join(query.tags),
            "relevant": sum(grade > 0 for grade in query.qrels.values()),
        }
        for name in result.systems:
            one = query.systems.get(name, SystemRow())
            for measure in result.measures:
                row[f"{name} {measure}"] = one.measures.get(measure)
            row[f"{name} first relevant rank"] = one.first_relevant_rank(query.qrels)
            for stage in stages[name]:
                row[f"{name} {stage} ms"] = one.latency_ms.get(stage)
        yield row


def page_data(result: EvaluationResult) -> dict[str, Any]:
    """Return what the page's script needs: measures, systems, queries, texts of what is shown.

    Texts are cut to `TEXT_LENGTH` characters and given only for documents that a query's detail
    can show, so that the page stays small.
    """
    systems = list(result.systems)
    documents = _Documents(result.texts)
    queries = [_query(query, systems, result.measures, documents) for query in result.queries]
    baseline = systems.index(result.baseline) if result.baseline in systems else 0
    others = [position for position in range(len(systems)) if position != baseline]
    return {
        "measures": list(result.measures),
        "systems": systems,
        "baseline": baseline,
        "target": others[0] if others else baseline,
        "queries": queries,
        "documents": documents.table,
    }


class _Documents:
    """Numbers the documents, so that the rankings are lists of small numbers."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts
        self._numbers: dict[str, int] = {}
        self.table: list[list[str | None]] = []

    def number(self, one: str) -> int:
        known = self._numbers.get(one)
        if known is None:
            known = self._numbers[one] = len(self.table)
            self.table.append([one, None])
        return known

    def show(self, one: str, key: str) -> None:
        entry = self.table[self.number(one)]
        if entry[1] is None and key in self._texts:
            text = self._texts[key]
            entry[1] = text if len(text) <= TEXT_LENGTH else f"{text[: TEXT_LENGTH - 1]}…"


def _query(
    query: QueryRow, systems: list[str], measures: tuple[str, ...], documents: _Documents
) -> dict[str, Any]:
    rows = [query.systems.get(name, SystemRow()) for name in systems]
    runs = []
    graded: dict[int, int] = {}
    for row in rows:
        keys = row.document_ids or row.ids
        run = []
        for rank, (one, key) in enumerate(zip(row.ids, keys, strict=True), start=1):
            number = documents.number(one)
            run.append(number)
            grade = query.qrels.get(one)
            if grade is not None:
                graded[number] = grade
            if rank <= SHOWN_RANKS or (grade or 0) > 0:
                documents.show(one, key)
        runs.append(run)
    return {
        "id": query.query_id,
        "query": query.question,
        "status": query.status,
        "reason": query.error,
        "tags": list(query.tags),
        "values": [[row.measures.get(measure) for row in rows] for measure in measures],
        "first": [row.first_relevant_rank(query.qrels) for row in rows],
        "runs": runs,
        "grades": graded,
    }
