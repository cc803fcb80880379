"""A judge that fails costs its own cells, each with its reason; a second start does the rest."""

import asyncio
import re

import pytest
from langchain_core.runnables import RunnableLambda

from langchain_rerank import CrossEncoderRerankRetriever
from langchain_rerank.errors import ConfigurationError, EvaluationError
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.ragas import ChainKeys, Judge, RagasEvaluation
from langchain_rerank.testing import WordOverlapScorer

METRIC = "context_recall"


class HTTPError(Exception):
    def __init__(self, status):
        super().__init__("slow down" if status == 429 else "no")
        self.status_code = status


def about(topic):
    """Whether a prompt asks about a topic (beyond the examples that RAGAS puts into each)."""
    return lambda prompt: topic in prompt[prompt.rindex("\ninput: ") :]


async def garbage(_):
    return "I would rather not say."


async def silence(_):
    await asyncio.sleep(60)


async def refusal(_):
    raise HTTPError(429)


async def outage(_):
    raise ConnectionError("connection refused")


def faulty(fault, when):
    async def answer(prompt):
        return await fault(prompt) if when(prompt) else None

    return answer


@pytest.fixture
def start(retriever, judge, corpus, tmp_path):
    """Start an evaluation with a file of verdicts, as the first or as a later process."""

    def start(questions, metrics=METRIC, **settings):
        return RagasEvaluation(
            retriever,
            judge=Judge(judge, timeout=0.2, backoff=0.0, max_attempts=2),
            metrics=metrics,
            corpus=corpus,
            verdicts=tmp_path / "verdicts.jsonl",
            **settings,
        ).invoke(questions)

    return start


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (garbage, "cannot be read: it holds no JSON object; it begins with 'I would rather"),
        (silence, r"did not answer within 0\.2 s"),
        (refusal, "refused with HTTP 429: slow down"),
        (outage, "failed with ConnectionError: connection refused"),
    ],
)
def test_a_fault_costs_its_own_cells_and_a_second_start_finishes_the_rest(
    start, judge, questions, fault, reason
):
    judge.fault = faulty(fault, about("tokens"))
    report = start(questions)
    failed = [one for one in report.cells if one.status == "failed"]
    assert {(one.system, one.query_id) for one in failed} == {
        ("first_stage", "tokens"),
        ("reranked", "tokens"),
    }
    assert all(one.value is None for one in failed)
    assert all(re.search(reason + r".*\(2 attempts\)", one.reason) for one in failed)
    assert report.systems["reranked"].measures[METRIC].n == len(questions) - 2
    assert report.to_dict()["systems"]["reranked"]["measures"][METRIC]["failed"] == 1
    assert any(f"{METRIC}: 2 of 16 cells failed" in one for one in report.warnings)

    answered = set(judge.asked)
    judge.fault, judge.asked = None, []
    second = start(questions)
    assert all(about("tokens")(prompt) for prompt in judge.asked)
    assert len(judge.asked) == 2
    assert not answered & {one for one in judge.asked if not about("tokens")(one)}
    assert second.systems["reranked"].measures[METRIC].n == len(questions) - 1
    assert {one.status for one in second.cells} == {"ok", "empty", "not_applicable"}


def test_a_judge_that_dies_halfway_keeps_what_it_said_and_is_soon_left_alone(
    start, judge, questions
):
    metrics = "context_precision,context_recall,context_relevance"

    async def dies(_):
        if len(judge.asked) > 12:
            raise ConnectionError("connection refused")

    judge.fault = dies
    first = start(questions, metrics)
    kept = judge.asked[:12]
    # Ten questions in a row failed, twice each; nothing more was asked.
    assert len(judge.asked) <= 12 + 2 * (10 + 4)
    reasons = [one.reason for one in first.cells if one.status == "failed"]
    assert reasons
    assert all("connection refused" in one for one in reasons)
    assert any(one.startswith("not asked: the judge failed") for one in reasons)

    judge.fault, judge.asked = None, []
    second = start(questions, metrics)
    assert not set(judge.asked) & set(kept)
    assert len(judge.asked) == len(set(judge.asked))
    assert {one.status for one in second.cells} == {"ok", "empty", "not_applicable"}

    judge.asked = []
    third = start(questions, metrics)
    assert judge.asked == []
    assert third.systems == second.systems


def test_context_relevance_does_not_make_do_with_half_an_answer(start, judge, questions):
    # RAGAS swallows the error of one of its two verdicts and returns the other.
    judge.fault = faulty(refusal, lambda prompt: "As a specially designed expert" in prompt)
    report = start(questions, "context_relevance")
    failed = [one for one in report.cells if one.status == "failed"]
    assert len(failed) == 2 * (len(questions) - 1)
    assert all("HTTP 429" in one.reason for one in failed)


def test_a_verdict_that_ragas_would_calculate_with_blindly_is_garbage(start, judge, questions):
    async def seven(_):
        return '{"reason": "", "verdict": 7}'

    judge.fault = seven
    report = start(questions, "context_precision")
    failed = [one for one in report.cells if one.status == "failed"]
    assert len(failed) == 2 * 6
    assert all("verdict is 7, none of (0, 1)" in one.reason for one in failed)


def test_what_ragas_has_no_number_for_is_not_applicable_and_not_nan(start, judge, questions):
    async def nothing(_):
        return '{"classifications": []}'

    judge.fault = nothing
    report = start(questions)
    cells = [one for one in report.cells if one.query_id == "lora"]
    assert {one.status for one in cells} == {"not_applicable"}
    assert all("RAGAS has no number" in one.reason for one in cells)
    assert report.systems["reranked"].measures[METRIC].n == 1  # where nothing was retrieved


def test_another_judge_does_not_get_the_verdicts_of_the_first(start, judge, questions, tmp_path):
    start(questions)
    other = type(judge)()
    RagasEvaluation(
        judge=Judge(other, name="other"), metrics=METRIC, verdicts=tmp_path / "verdicts.jsonl"
    ).invoke(start(questions).rows)
    assert len(other.asked) == 12


def test_a_system_that_fails_counts_as_worst_and_keeps_the_others(judge, corpus, questions):
    def search(question):
        if "tokens" in question:
            raise OSError("index is gone")
        return corpus[:2]

    systems = {"first_stage": lambda _: corpus[:2], "other": search}
    report = RagasEvaluation(systems, judge=judge, metrics=METRIC, corpus=corpus).invoke(questions)
    (cell,) = [one for one in report.cells if (one.system, one.query_id) == ("other", "tokens")]
    assert (cell.status, cell.value) == ("error", 0.0)
    assert "index is gone" in cell.reason
    assert report.systems["other"].failed == 1
    assert report.counts["failed"] == 1
    # Both systems show the judge the same: one prompt for each question with a reference.
    assert len(judge.asked) == 7


def test_a_scorer_that_fails_leaves_the_first_stage_its_values(corpus, questions):
    class Broken(WordOverlapScorer):
        def score(self, query, texts):
            if "tokens" in query:
                raise RuntimeError("out of luck")
            return super().score(query, texts)

    retriever = CrossEncoderRerankRetriever(
        base_retriever=RunnableLambda(lambda _: corpus[:4]), model=Broken(), top_n=2
    )
    report = RagasEvaluation(retriever, metrics="id_based_context_recall").invoke(questions)
    cells = {one.system: one for one in report.cells if one.query_id == "tokens"}
    assert (cells["first_stage"].status, cells["reranked"].status) == ("ok", "error")


def test_systems_that_fail_on_every_question_are_no_evaluation(questions):
    def gone(_):
        raise OSError("no route to host")

    with pytest.raises(EvaluationError, match="no route to host"):
        RagasEvaluation({"first_stage": gone}).invoke(questions)


def test_a_chain_runs_once_where_its_journal_is_resumed(
    retriever, judge, make_chain, corpus, questions, tmp_path
):
    runs = []

    def counted(found):
        inner = make_chain(found)

        def answer(asked):
            runs.append(asked["input"])
            return inner.invoke(asked)

        return RunnableLambda(answer)

    def start(*, resume, **more):
        return RagasEvaluation(
            retriever,
            judge=judge,
            metrics="faithfulness",
            chain=counted,
            chain_keys=ChainKeys(question="input"),
            journal=tmp_path / "journal.jsonl",
            resume=resume,
            **more,
        ).invoke(questions)

    first = start(resume=False)
    assert len(runs) == 2 * len(questions)
    second = start(resume=True)
    assert len(runs) == 2 * len(questions)
    assert second.systems == first.systems
    with pytest.raises(ConfigurationError, match="cannot be resumed"):
        start(resume=True, settings={"index": "new"})
    with pytest.raises(ConfigurationError, match="cannot be resumed: id_key differ"):
        start(resume=True, relevance=Relevance(id_key="pk"))


def test_a_chain_without_its_answer_says_which_keys_it_gave(judge, questions):
    chain = RunnableLambda(lambda _: {"result": "x", "context": []})
    with pytest.raises(EvaluationError, match="no 'answer', only result, context"):
        RagasEvaluation({"first_stage": chain}, judge=judge, metrics="faithfulness").invoke(
            questions
        )
