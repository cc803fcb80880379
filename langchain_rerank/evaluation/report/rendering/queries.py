"""The queries of a result as flat rows (CSV, data frame) and as data for the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_rerank.evaluation.report.rendering.words import system_label
from langchain_rerank.evaluation.score.results import STAGES, EvaluationResult, SystemRow

SHOWN_RANKS = 10  # as in report.js: beyond these ranks only relevant documents are shown
TEXT_LENGTH = 400


def flat_rows(result: EvaluationResult) -> Iterator[dict[str, Any]]:
    """Yield one flat row per query: its status, then each system's measures, ranks and times.

    A cell is None where there is no value: an unlabelled query has no measures, a replayed one no
    times. Every row has the same keys, in the same order.
    """
    for query in result.queries:
        row: dict[str, Any] = {
            "query_id": query.query_id,
            "question": query.question,
            "status": query.status,
            "error": query.error,
            "tags": " ".join(query.tags),
            "relevant": sum(grade > 0 for grade in query.qrels.values()),
        }
        for name, summary in result.systems.items():
            one = query.systems.get(name, SystemRow())
            for measure in result.measures:
                row[f"{name} {measure}"] = one.measures.get(measure)
            row[f"{name} first relevant rank"] = one.first_relevant_rank(query.qrels)
            for stage in STAGES:
                if stage in summary.latency:
                    row[f"{name} {stage} ms"] = one.latency_ms.get(stage)
        yield row


def page_data(result: EvaluationResult) -> dict[str, Any]:
    """Return what the page's script needs: measures, systems, queries, texts of what is shown.

    Documents are numbered, so that the rankings are lists of small numbers. Texts are cut to
    `TEXT_LENGTH` characters and given only for documents that a query's detail can show, so that
    the page stays small.
    """
    systems = list(result.systems)
    numbers: dict[str, int] = {}
    texts: dict[str, str] = {}
    queries = []
    for query in result.queries:
        rows = [query.systems.get(name, SystemRow()) for name in systems]
        graded: dict[int, int] = {}
        for row in rows:
            keys = row.document_ids or row.ids
            for rank, (one, key) in enumerate(zip(row.ids, keys, strict=True), start=1):
                number = numbers.setdefault(one, len(numbers))
                grade = query.qrels.get(one)
                if grade is not None:
                    graded[number] = grade
                if key in result.texts and (rank <= SHOWN_RANKS or (grade or 0) > 0):
                    texts.setdefault(one, _cut(result.texts[key]))
        queries.append(
            {
                "id": query.query_id,
                "query": query.question,
                "status": query.status,
                "reason": query.error,
                "tags": list(query.tags),
                "values": [[row.measures.get(name) for row in rows] for name in result.measures],
                "first": [row.first_relevant_rank(query.qrels) for row in rows],
                "runs": [[numbers[one] for one in row.ids] for row in rows],
                "grades": graded,
            }
        )
    baseline = systems.index(result.baseline) if result.baseline in systems else 0
    others = [position for position in range(len(systems)) if position != baseline]
    return {
        "measures": list(result.measures),
        "systems": list(map(system_label, systems)),
        "baseline": baseline,
        "target": others[0] if others else baseline,
        "queries": queries,
        "documents": [[one, texts.get(one)] for one in numbers],
    }


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH else f"{text[: TEXT_LENGTH - 1]}…"
