"""RAGAS rows as RAGAS's own objects; the rows themselves need no ragas."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from langchain_rerank.evaluation.data.ragas_rows import RagasRow
from langchain_rerank.evaluation.ragas.importing import import_ragas


def to_samples(rows: Iterable[RagasRow]) -> list[Any]:
    """Return the rows as `ragas.SingleTurnSample`, in order.

    Raises:
        MissingExtraError: ragas is not installed.
    """
    sample = import_ragas().SingleTurnSample
    return [sample(**_without_query_id(row)) for row in rows]


def to_evaluation_dataset(rows: Sequence[RagasRow]) -> Any:
    """Return the rows as a `ragas.EvaluationDataset`, in order.

    Raises:
        MissingExtraError: ragas is not installed.
    """
    return import_ragas().EvaluationDataset(samples=to_samples(rows))


def _without_query_id(row: RagasRow) -> dict[str, Any]:
    data = row.to_dict()
    data.pop("query_id", None)
    return data
