"""`RagasEvaluation` without a judge: what it takes, what it returns, what it refuses."""

import asyncio
import json

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda

from langchain_rerank import CrossEncoderRerankRetriever
from langchain_rerank.errors import (
    ConfigurationError,
    DataFileError,
    RegressionError,
    RerankWarning,
)
from langchain_rerank.evaluation.ragas import WITHOUT_JUDGE, RagasEvaluation, RagasReport, RagasRow
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.run.background import run
from langchain_rerank.testing import CountingScorer, WordOverlapScorer

CORPUS = [
    Document("A note on cats.", id="d0"),
    Document("A note on dogs.", id="d1"),
    Document("Low rank adapters.", id="d2"),
]
QUESTIONS = [
    {"id": "q1", "question": "low rank adapters", "reference_context_ids": ["d2"]},
    {"id": "q2", "question": "note cats", "reference_context_ids": ["d0"]},
    {"id": "q3", "question": "  "},
]


@pytest.fixture
def retriever():
    return CrossEncoderRerankRetriever(
        base_retriever=RunnableLambda(lambda _: list(CORPUS)),
        model=CountingScorer(WordOverlapScorer()),
        first_stage_k=3,
        top_n=1,
    )


@pytest.fixture
def report(retriever):
    return RagasEvaluation(retriever, corpus=CORPUS).invoke(QUESTIONS)


def test_a_reranking_retriever_is_judged_before_and_after(report):
    before, after = report.systems["first_stage"], report.systems["reranked"]
    assert before.measures["id_based_context_recall"].mean == 0.5
    assert after.measures["id_based_context_recall"].mean == 1.0
    assert set(report.measures) == set(WITHOUT_JUDGE)
    assert report.baseline == "first_stage"


def test_every_question_is_retrieved_once_and_scored_once(retriever, report):
    assert retriever.scorer.calls == 2


def test_the_layout_is_that_of_every_report(report, tmp_path):
    report.save(tmp_path)
    data = json.loads((tmp_path / "report.json").read_text())
    one = data["systems"]["reranked"]["measures"]["id_based_context_precision"]
    assert set(one) == {"mean", "ci", "n", "failed", "not_applicable"}
    assert (one["mean"], one["n"], one["failed"], one["not_applicable"]) == (1.0, 2, 0, 0)
    assert isinstance(report, Report)
    assert RagasReport.load(tmp_path).systems == report.systems


def test_a_record_that_cannot_be_used_is_named_and_not_judged(report):
    assert report.counts["invalid"] == 1
    assert "q3" not in {one.query_id for one in report.cells}


def test_systems_stand_side_by_side_a_metric_a_line(report):
    text = report.to_markdown()
    assert "| Metric | First stage | Reranked | Difference |" in text
    assert "| id\\_based\\_context\\_recall | 0.500" in text
    assert "Reranked" in report._repr_html_()
    assert "0.500" in report.to_html()


def test_a_metric_that_applies_nowhere_is_left_out_and_said(retriever):
    report = RagasEvaluation(retriever).invoke(QUESTIONS)
    assert report.measures == ("id_based_context_precision", "id_based_context_recall")
    (line, _) = [one for one in report.warnings if "not applicable" in one]
    assert line == (
        "non_llm_context_precision_with_reference: 4 of 4 cells not applicable (First stage 2, "
        "Reranked 2) and in no mean: 4 x the row has no reference_contexts."
    )


def test_a_label_is_suspicious_only_where_the_corpus_has_not_its_document():
    questions = [
        {"question": "low", "reference_context_ids": ["d1"]},
        {"question": "rank", "reference_context_ids": ["d9"]},
    ]
    evaluation = RagasEvaluation({"one": lambda _: CORPUS[:1]}, corpus=CORPUS)
    (line,) = [one for one in evaluation.invoke(questions).warnings if "belongs to no" in one]
    assert "'d9'" in line


def test_systems_of_any_kind_are_compared_with_the_first():
    systems = {
        "nothing": RunnableLambda(lambda _: []),
        "all": lambda _: list(CORPUS),
        "one": RunnableLambda(lambda _: CORPUS[2:]),
    }
    report = RagasEvaluation(systems, metrics="id_based_context_recall", top_n=2).invoke(QUESTIONS)
    means = [one.measures["id_based_context_recall"].mean for one in report.systems.values()]
    assert means == [0.0, 0.5, 0.5]
    assert [(one.system, one.baseline) for one in report.comparisons] == [
        ("all", "nothing"),
        ("one", "nothing"),
    ]


def test_top_n_of_the_evaluation_comes_before_that_of_the_retriever(retriever):
    with pytest.warns(RerankWarning, match="first_stage_k=3 is not more than top_n=3"):
        evaluation = RagasEvaluation(retriever, top_n=3)
    report = evaluation.invoke(QUESTIONS)
    assert {len(one.retrieved_contexts) for one in report.rows["reranked"]} == {3}
    assert retriever.top_n == 1


def test_a_fall_beyond_the_margin_is_a_regression(report):
    worse = RagasEvaluation(metrics="id_based_context_recall").invoke(
        {"good": report.rows["reranked"], "bad": report.rows["first_stage"]}
    )
    with pytest.raises(RegressionError, match="id_based_context_recall fell"):
        worse.assert_no_regression()
    report.assert_no_regression()
    with pytest.raises(ConfigurationError, match="lower"):
        report.assert_no_regression("noise_sensitivity")


def test_rows_of_other_questions_are_not_compared():
    rows = {"a": [RagasRow("one?")], "b": [RagasRow("two?")]}
    with pytest.raises(ConfigurationError, match="same questions in the same order; got a 1, b 1"):
        RagasEvaluation().invoke(rows)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": "faithfulness"}, "faithfulness asks a language model: give judge="),
        (
            {"metrics": "answer_relevancy", "judge": FakeListChatModel(responses=["x"])},
            "give embeddings=",
        ),
        ({"max_concurrency": 0}, "at least 1"),
        ({"top_n": 0}, "top_n=0"),
        ({"systems": {}}, "no system to evaluate"),
        ({"systems": 3}, "must be a LangChain retriever or a Runnable"),
    ],
)
def test_what_cannot_work_is_refused_at_once(settings, message):
    if "judge" in settings:
        pytest.importorskip("ragas", reason="the extra 'ragas'")
    with pytest.raises(ConfigurationError, match=message):
        RagasEvaluation(**settings)


def test_a_data_set_needs_systems():
    with pytest.raises(ConfigurationError, match="no system to ask"):
        RagasEvaluation().invoke(QUESTIONS)


def test_it_is_a_runnable_that_composes(retriever):
    chain = RagasEvaluation(retriever) | (lambda report: sorted(report.systems))
    assert chain.invoke(QUESTIONS) == ["first_stage", "reranked"]


async def test_sync_and_async_find_the_same_inside_a_running_loop(retriever):
    evaluation = RagasEvaluation(retriever, corpus=CORPUS)
    assert evaluation.invoke(QUESTIONS).systems == (await evaluation.ainvoke(QUESTIONS)).systems


def test_a_dry_run_without_a_judge_costs_nothing(retriever):
    estimate = RagasEvaluation(retriever).dry_run(QUESTIONS)
    assert (estimate.total_calls, str(estimate)) == (0, "The judge has nothing to answer.")


def test_a_stopped_run_stops_what_it_started():
    started, stopped = [], []

    async def wait():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(True)
            raise

    async def fails():
        from langchain_rerank.evaluation.run.bounded import each

        async def work(item):
            started.append(item)
            if item == 1:
                raise OSError("disk full")
            await wait()

        await each([0, 1], work, limit=2, advance=lambda *_: None)

    with pytest.raises(OSError, match="disk full"):
        run(fails())
    run(asyncio.sleep(0))
    assert (started, stopped) == ([0, 1], [True])


def test_the_page_shows_the_systems_side_by_side_as_every_other_form_does(report, tmp_path):
    report.save(tmp_path)
    for page in (report.to_html(), (tmp_path / "report.html").read_text()):
        assert "<caption>RAGAS metrics</caption>" in page
        assert "<caption>Systems</caption>" not in page


def test_a_report_that_is_loaded_and_saved_again_loses_nothing(retriever, tmp_path):
    report = RagasEvaluation(retriever).invoke(QUESTIONS)
    assert report.counts_of("reranked", "non_llm_context_recall")["not_applicable"] == 2
    report.save(tmp_path / "one")
    loaded = RagasReport.load(tmp_path / "one")
    assert (loaded.cells, loaded.rows) == (report.cells, report.rows)
    assert loaded.to_dict() == report.to_dict()
    loaded.save(tmp_path / "two")
    for path in (tmp_path / "one").rglob("*.json*"):
        again = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert again.read_text() == path.read_text()
    assert RagasReport.load(tmp_path / "two").texts == report.texts


def test_a_report_read_from_its_json_alone_keeps_what_is_in_no_mean(retriever, tmp_path):
    report = RagasEvaluation(retriever).invoke(QUESTIONS)
    (tmp_path / "report.json").write_text(report.to_json())
    loaded = RagasReport.load(tmp_path)
    assert loaded.to_dict() == report.to_dict()
    loaded.save(tmp_path / "again")
    data = json.loads((tmp_path / "again" / "report.json").read_text())
    measure = data["systems"]["reranked"]["measures"]["id_based_context_recall"]
    assert (measure["failed"], measure["not_applicable"]) == (0, 0)
    assert not (tmp_path / "again" / "cells.jsonl").exists()


def test_cells_that_cannot_be_read_are_an_error_with_their_line(report, tmp_path):
    report.save(tmp_path)
    (tmp_path / "cells.jsonl").write_text('{"system": "a", "query_id": 3}\n')
    with pytest.raises(DataFileError, match=r"Cell cannot be read"):
        RagasReport.load(tmp_path)
