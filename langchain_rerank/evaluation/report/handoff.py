"""What a report holds as RAGAS rows: the contexts that were scored."""

from __future__ import annotations

from collections.abc import Iterable

from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.labels import corpus_of
from langchain_rerank.evaluation.data.ragas_rows import RagasRow
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.score.results import EvaluationResult


def to_ragas(
    result: EvaluationResult,
    system: str,
    top_n: int | None = None,
    *,
    corpus: Iterable[Document] | None = None,
    relevance: Relevance | None = None,
) -> list[RagasRow]:
    """Return what `system` returned in an evaluation as RAGAS rows, one per question that ran.

    Args:
        result: A report that was just made: one that was read from a file has no texts.
        system: The system, for instance "reranked".
        top_n: How many documents of each ranking are handed over; None for all.
        corpus: The documents that can be retrieved, for the texts of relevant documents that no
            system found; without it these are left out of the reference contexts.
        relevance: Says what identifies a document of `corpus`.

    Raises:
        ConfigurationError: No such system, or the result has no texts.
    """
    if system not in result.systems:
        raise ConfigurationError(
            f"There is no system {system!r}; the report has {', '.join(result.systems)}."
        )
    known = relevance or Relevance()
    texts = {known.key(one): one.page_content for one in corpus_of(corpus or ())} | result.texts
    rows = []
    for query in result.queries:
        if system not in query.systems:
            continue
        found = query.systems[system]
        keys = (found.document_ids or found.ids)[:top_n]
        unknown = [one for one in keys if one not in texts]
        if unknown:
            raise ConfigurationError(
                f"The text of the document {unknown[0]!r} is not part of this report: it is not "
                f"saved with one. Hand over the report as it was made, or give corpus=."
            )
        relevant = tuple(one for one, grade in query.qrels.items() if grade > 0)
        references = tuple(texts[one] for one in relevant if one in texts)
        rows.append(
            RagasRow(
                user_input=query.question,
                retrieved_contexts=tuple(texts[one] for one in keys),
                retrieved_context_ids=found.ids[:top_n],
                reference=query.reference,
                reference_contexts=references or None,
                reference_context_ids=relevant or None,
                query_id=query.query_id,
            )
        )
    return rows
