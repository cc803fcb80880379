"""Every metric of RAGAS by a scripted chat model, before and after reranking."""

import asyncio

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.embeddings import DeterministicFakeEmbedding

from langchain_rerank.evaluation.ragas import (
    METRICS,
    ChainKeys,
    Judge,
    RagasEvaluation,
    RagasReport,
    RagasRow,
    ragas_embeddings,
    ragas_llm,
    to_evaluation_dataset,
    to_samples,
)


@pytest.fixture
def evaluation(retriever, judge, corpus, make_chain):
    def make(**settings):
        return RagasEvaluation(
            retriever,
            judge=Judge(judge, backoff=0.0),
            embeddings=DeterministicFakeEmbedding(size=8),
            chain=make_chain,
            chain_keys=ChainKeys(question="input"),
            corpus=corpus,
            **settings,
        )

    return make


def test_every_metric_runs_before_and_after_reranking(evaluation, questions, judge):
    report = evaluation().invoke(questions)
    assert list(report.systems) == ["first_stage", "reranked"]
    assert report.measures == tuple(METRICS)
    for system in report.systems:
        for metric in METRICS:
            counts = report.counts_of(system, metric)
            # The one question without labels has no reference of any kind.
            missing = int(any(need.startswith("reference") for need in METRICS[metric].needs))
            assert counts["failed"] == 0, (metric, counts)
            assert counts["not_applicable"] == missing, (metric, counts)
            assert report.systems[system].measures[metric].n == len(questions) - missing


def test_the_values_are_those_of_the_rules_that_the_judge_goes_by(evaluation, questions):
    report = evaluation(metrics="context_precision,context_recall,id_based_context_recall").invoke(
        questions
    )
    first, reranked = report.systems.values()
    # Two of a topic's three notes are handed over: the right one, last of them, only reranked.
    assert first.measures["id_based_context_recall"].mean == 0.0
    assert reranked.measures["id_based_context_recall"].mean == pytest.approx(6 / 7)
    # Every note of a topic holds the word that the judge looks for; of nothing retrieved, none.
    assert reranked.measures["context_precision"].mean == pytest.approx(6 / 7)
    assert reranked.measures["context_recall"].mean == pytest.approx(6 / 7)


def test_differences_have_intervals_and_a_test(evaluation, questions):
    report = evaluation(metrics="id_based_context_recall").invoke(questions)
    (compared,) = report.comparisons
    assert (compared.wins, compared.ties, compared.losses) == (6, 1, 0)
    assert compared.p_sign_flip == 0.03125


def test_a_question_without_any_hit_counts_zero_and_is_never_nan(evaluation, questions):
    report = evaluation().invoke(questions)
    cells = [one for one in report.cells if one.query_id == "nothing"]
    judged = [one for one in cells if one.metric != "answer_relevancy"]
    assert {one.status for one in judged} == {"empty"}
    assert {one.value for one in judged} == {0.0}
    assert report.systems["reranked"].empty == 1


def test_the_same_is_never_asked_twice_by_two_systems_or_two_runs(evaluation, questions, judge):
    running = evaluation(metrics="context_precision,context_recall")
    running.invoke(questions)
    assert len(judge.asked) == len(set(judge.asked))
    # Six questions: three contexts in all of both orders, and two recalls.
    assert len(judge.asked) == 6 * (3 + 2)
    running.invoke(questions)
    assert len(judge.asked) == 30


def test_a_dry_run_counts_the_calls_of_the_real_one_and_asks_nobody(
    retriever, judge, corpus, questions
):
    evaluation = RagasEvaluation(retriever, judge=judge, corpus=corpus)
    estimate = evaluation.dry_run(questions)
    assert judge.asked == []
    evaluation.invoke(questions)
    assert estimate.total_calls == len(judge.asked) > 0
    assert estimate.input_tokens == pytest.approx(sum(map(len, judge.asked)) / 4, rel=0.01)
    assert evaluation.dry_run(questions).total_calls == 0


def test_a_dry_run_runs_no_chain(evaluation, questions, judge):
    estimate = evaluation().dry_run(questions)
    assert judge.asked == []
    assert estimate.chain_runs == 2 * len(questions)
    assert "runs of chains" in str(estimate)
    assert set(estimate.calls) == {name for name, one in METRICS.items() if one.needs_judge}


def test_the_estimate_is_shown_before_anything_is_asked_and_can_stop_the_run(
    evaluation, questions, judge
):
    def too_much(estimate):
        raise KeyError(estimate.total_calls)

    with pytest.raises(KeyError):
        evaluation(on_estimate=too_much).invoke(questions)
    assert judge.asked == []


async def test_it_runs_inside_a_running_event_loop_without_patching_it(evaluation, questions):
    running = asyncio.get_running_loop()
    plain = (asyncio.run, type(running).run_until_complete)
    report = evaluation(metrics="faithfulness").invoke(questions)
    awaited = await evaluation(metrics="faithfulness").ainvoke(questions)
    assert report.systems == awaited.systems
    assert (asyncio.run, type(running).run_until_complete) == plain
    assert not hasattr(asyncio, "_nest_patched")


class Seen(BaseCallbackHandler):
    def __init__(self):
        self.names = []

    def on_chat_model_start(self, serialized, messages, **kwargs):
        self.names.append(kwargs.get("name"))

    def on_retriever_start(self, serialized, query, **kwargs):
        self.names.append("retriever")


def test_callbacks_see_what_the_judge_is_asked(retriever, judge, corpus, questions):
    seen = Seen()
    RagasEvaluation(retriever, judge=judge, metrics="context_recall", corpus=corpus).invoke(
        questions, {"callbacks": [seen]}
    )
    assert seen.names.count("ragas context_recall") == len(judge.asked) == 12


def test_max_concurrency_bounds_what_is_asked_at_once(retriever, judge, corpus, questions):
    running, most = 0, []

    async def slow(_):
        nonlocal running
        running += 1
        most.append(running)
        await asyncio.sleep(0.005)
        running -= 1

    judge.fault = slow
    evaluation = RagasEvaluation(retriever, judge=judge, metrics="context_recall", corpus=corpus)
    evaluation.invoke(questions, {"max_concurrency": 2})
    assert max(most) == 2


def test_progress_counts_every_step(retriever, judge, corpus, questions):
    steps = []
    RagasEvaluation(
        retriever,
        judge=judge,
        metrics="context_recall",
        corpus=corpus,
        progress=lambda done, total: steps.append((done, total)),
    ).invoke(questions)
    assert steps[-1] == (8, 8)
    assert len(steps) == 16


def test_rows_that_were_made_elsewhere_are_judged(judge):
    row = RagasRow("lora?", retrieved_contexts=("lora is here",), reference="lora")
    other = RagasRow("lora?", retrieved_contexts=("nothing",), reference="lora")
    report = RagasEvaluation(judge=judge, metrics="context_recall").invoke(
        {"before": [other], "after": [row]}
    )
    assert report.systems["before"].measures["context_recall"].mean == 0.0
    assert report.systems["after"].measures["context_recall"].mean == 1.0


def test_a_report_is_saved_with_cells_and_rows_and_read_again(evaluation, questions, tmp_path):
    report = evaluation().invoke(questions)
    report.save(tmp_path)
    loaded = RagasReport.load(tmp_path)
    assert loaded.systems == report.systems
    assert loaded.to_dict()["counts"] == report.to_dict()["counts"]
    assert len((tmp_path / "cells.jsonl").read_text().splitlines()) == len(report.cells)
    rows = (tmp_path / "rows" / "reranked.jsonl").read_text().splitlines()
    assert len(rows) == len(questions)


def test_rows_become_samples_of_ragas_with_every_field():
    row = RagasRow("?", ("a",), ("1",), "r", ("a",), ("1",), "answer", "q")
    (sample,) = to_samples([row])
    expected = row.to_dict()
    del expected["query_id"]
    assert sample.to_dict() == expected
    assert [one.user_input for one in to_evaluation_dataset([row, row])] == ["?", "?"]


def test_rows_in_a_file_are_what_ragas_reads(tmp_path):
    from langchain_rerank.evaluation.ragas import import_ragas, read_rows, write_jsonl

    row = RagasRow("?", ("a",), ("1",), "r", ("a",), ("1",), "answer")
    write_jsonl([row], tmp_path / "rows.jsonl")
    read = import_ragas().EvaluationDataset.from_jsonl(str(tmp_path / "rows.jsonl"))
    assert read[0].to_dict() == row.to_dict()
    read.to_jsonl(str(tmp_path / "theirs.jsonl"))
    assert read_rows(tmp_path / "theirs.jsonl") == [row]


def test_a_chat_model_and_embeddings_of_langchain_serve_ragas_itself(judge):
    from langchain_rerank.evaluation.ragas import import_ragas

    metric = import_ragas("ragas.metrics.collections").AnswerRelevancy(
        llm=ragas_llm(judge),
        embeddings=ragas_embeddings(DeterministicFakeEmbedding(size=8)),
    )
    value = metric.score(user_input="lora?", response="lora is here.").value
    assert -1.0 <= value <= 1.0
    assert len(judge.asked) == 3
