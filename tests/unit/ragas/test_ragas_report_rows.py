"""A report hands over its contexts by itself."""

from __future__ import annotations

from langchain_rerank.evaluation import compare_rerank
from langchain_rerank.evaluation.ragas import to_ragas


def test_a_report_gives_the_rows_that_the_function_gives(documents, scorer):
    questions = [{"question": "adapters of low rank", "reference_context_ids": ["d2"]}]
    report = compare_rerank(
        lambda query: documents, scorer, questions, measures=["nDCG@10"], progress=False
    )
    rows = report.to_ragas("reranked", top_n=2)
    assert rows == to_ragas(report, "reranked", 2)
    assert len(rows[0].retrieved_contexts) == 2
    assert rows[0].user_input == "adapters of low rank"
