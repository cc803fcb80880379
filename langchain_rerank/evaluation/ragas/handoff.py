"""From what was retrieved to RAGAS rows: out of a report, or as a step of a LangChain chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

from langchain_rerank.errors import ConfigurationError, InputTypeError
from langchain_rerank.evaluation.data.datasets import Dataset, DatasetLike, Record, as_dataset
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.ragas.labels import Labels
from langchain_rerank.evaluation.ragas.rows import RagasRow
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
    texts = {known.key(one): one.page_content for one in corpus or ()} | result.texts
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


def ragas_step(
    dataset: DatasetLike | None = None,
    *,
    top_n: int | None = None,
    question_key: str = "input",
    contexts_key: str = "context",
    answer_key: str = "answer",
    corpus: Iterable[Document] | None = None,
    relevance: Relevance | None = None,
) -> Runnable[Mapping[str, Any], RagasRow]:
    """Return a step that turns what a chain has at hand into a RAGAS row.

    The input is a dictionary with the question, the retrieved documents and, where there is one,
    the answer: what `create_retrieval_chain` returns, or
    `RunnableParallel(input=RunnablePassthrough(), context=retriever)`.

    Args:
        dataset: Where the references of a question are looked up, by its text.
        top_n: How many documents are handed over; None for all.
        question_key: The key of the question.
        contexts_key: The key of the documents.
        answer_key: The key of the answer; it need not be there.
        corpus: The documents that can be retrieved: makes ids and texts out of labels.
        relevance: What counts as a hit.

    Examples:
        >>> step = ragas_step([{"question": "What is LoRA?", "reference": "Adapters."}])
        >>> row = step.invoke({"input": "What is LoRA?", "context": [Document("Low rank.")]})
        >>> row.retrieved_contexts, row.reference
        (('Low rank.',), 'Adapters.')
    """
    records = {} if dataset is None else _by_question(as_dataset(dataset))
    labels = Labels(relevance or Relevance(), corpus)

    def ragas_row(output: Mapping[str, Any]) -> RagasRow:
        missing = [key for key in (question_key, contexts_key) if key not in output]
        if missing:
            raise InputTypeError(
                f"There is no {missing[0]!r} to make a RAGAS row of, only "
                f"{', '.join(map(str, output))}. Name the right key."
            )
        question = str(output[question_key])
        record = records.get(question)
        answer = output.get(answer_key)
        if answer is not None and not isinstance(answer, str):
            answer = str(getattr(answer, "text", answer))
        found = list(output[contexts_key])[:top_n]
        if record is None:
            return replace(labels.row(Record("", question), found, answer), query_id=None)
        return labels.row(record, found, answer)

    return RunnableLambda(ragas_row, name="ragas_row")


def _by_question(dataset: Dataset) -> dict[str, Record]:
    return {one.question: one for one in dataset.records}
