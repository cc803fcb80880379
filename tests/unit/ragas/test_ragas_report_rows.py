"""What a report says of its cells, and the contexts that it hands over."""

from __future__ import annotations

import pytest

from langchain_rerank.evaluation import compare_rerank
from langchain_rerank.evaluation.data.datasets import from_records
from langchain_rerank.evaluation.ragas import METRICS, Cell, RagasRow, to_ragas
from langchain_rerank.evaluation.ragas.gathering import Gathered
from langchain_rerank.evaluation.ragas.summary import report_of


def test_a_report_gives_the_rows_that_the_function_gives(documents, scorer):
    questions = [{"question": "adapters of low rank", "reference_context_ids": ["d2"]}]
    report = compare_rerank(
        lambda query: documents, scorer, questions, measures=["nDCG@10"], progress=False
    )
    rows = report.to_ragas("reranked", top_n=2)
    assert rows == to_ragas(report, "reranked", 2)
    assert len(rows[0].retrieved_contexts) == 2
    assert rows[0].user_input == "adapters of low rank"


def test_the_headline_names_the_means_of_the_questions_that_the_difference_is_of():
    """The judge fails on the six easy questions through one system, which is better on the rest."""
    ids = [f"q{n}" for n in range(12)]
    before = [Cell("first_stage", one, "faithfulness", "ok", 1.0) for one in ids[:6]]
    before += [Cell("first_stage", one, "faithfulness", "ok", 0.2) for one in ids[6:]]
    after = [Cell("reranked", one, "faithfulness", "failed", None, "timeout") for one in ids[:6]]
    after += [Cell("reranked", one, "faithfulness", "ok", 0.5) for one in ids[6:]]
    report = report_of(
        Gathered(
            from_records([{"id": one, "question": one} for one in ids]),
            {name: {one: RagasRow(one) for one in ids} for name in ("first_stage", "reranked")},
        ),
        [*before, *after],
        [METRICS["faithfulness"]],
        seed=0,
        started="now",
        settings={},
    )
    text = report.to_markdown()
    assert "Reranking does not clearly change faithfulness: 0.200 to 0.500 (+0.300" in text
    assert report.comparisons[0].improvement_percent == pytest.approx(150.0)
    assert report.systems["first_stage"].measures["faithfulness"].mean == pytest.approx(0.6)
    report.assert_no_regression("faithfulness")


def test_a_judge_that_failed_everywhere_has_no_mean_and_no_worst_score():
    ids = [f"q{n}" for n in range(8)]
    cells = [Cell("first_stage", one, "faithfulness", "ok", 0.5) for one in ids]
    cells += [Cell("reranked", one, "faithfulness", "failed", None, "timeout") for one in ids]
    report = report_of(
        Gathered(
            from_records([{"id": one, "question": one} for one in ids]),
            {name: {one: RagasRow(one) for one in ids} for name in ("first_stage", "reranked")},
        ),
        cells,
        [METRICS["faithfulness"]],
        seed=0,
        started="now",
        settings={},
    )
    found = report.systems["reranked"].measures["faithfulness"]
    assert (found.mean, found.ci, found.n) == (None, None, 0)
    assert report.comparisons == ()
    row = next(line for line in report.to_markdown().split("\n") if line.startswith("| faithful"))
    assert row.split(" | ")[2:] == ["-", "- |"]
    assert report.to_dict()["systems"]["reranked"]["measures"]["faithfulness"]["mean"] is None
    assert type(report).from_dict(report.to_dict()).systems == report.systems
