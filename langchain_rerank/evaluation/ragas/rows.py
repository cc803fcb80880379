"""RAGAS rows as RAGAS's own objects, and out of a chain; the rows themselves need no ragas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda

from langchain_rerank.checks import check_top_n
from langchain_rerank.errors import InputTypeError
from langchain_rerank.evaluation.data.datasets import DatasetLike, as_dataset
from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.data.ragas_rows import RagasRow
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.ragas.importing import import_ragas
from langchain_rerank.evaluation.ragas.labels import Labels
from langchain_rerank.evaluation.run.systems import text_of


def to_samples(rows: Iterable[RagasRow]) -> list[Any]:
    """Return the rows as `ragas.SingleTurnSample`, in order.

    Raises:
        MissingExtraError: ragas is not installed.
    """
    sample = import_ragas().SingleTurnSample
    known = (row.to_dict() for row in rows)
    return [sample(**{key: row[key] for key in row if key != "query_id"}) for row in known]


def to_evaluation_dataset(rows: Sequence[RagasRow]) -> Any:
    """Return the rows as a `ragas.EvaluationDataset`, in order.

    Raises:
        MissingExtraError: ragas is not installed.
    """
    return import_ragas().EvaluationDataset(samples=to_samples(rows))


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
    top_n = check_top_n(top_n)
    asked = () if dataset is None else as_dataset(dataset).records
    records = {one.question: one for one in asked}
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
        answer = text_of(output.get(answer_key))
        found = list(output[contexts_key])[:top_n]
        if record is None:
            return replace(labels.row(Record("", question), found, answer), query_id=None)
        return labels.row(record, found, answer)

    return RunnableLambda(ragas_row, name="ragas_row")
