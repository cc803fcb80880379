import logging

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from langchain_rerank.errors import ConfigurationError, EvaluationError
from langchain_rerank.evaluation.compare import compare_rerank
from langchain_rerank.evaluation.data.datasets import from_records
from langchain_rerank.evaluation.judge.judge import Judge
from langchain_rerank.evaluation.judge.judging import ajudge_relevance, judge_relevance
from langchain_rerank.first_stage import BM25Retriever
from langchain_rerank.testing import WordOverlapScorer

CORPUS = [
    Document("LoRA adds low-rank adapters to a frozen model.", id="lora"),
    Document("QLoRA trains adapters on a quantised model.", id="qlora"),
    Document("Cats sleep on a warm model railway.", id="cats"),
]
RECORDS = [
    {"id": "a", "question": "What does LoRA add to a model?"},
    {"id": "b", "question": "What model do cats sleep on?"},
]


class Reader(BaseChatModel):
    """Grades by how many of the question's words the passage has; answers as models do."""

    asked: list = Field(default_factory=list)
    reply: str = 'Sure! ```json\n{{"grade": {grade}}}\n```'

    @property
    def _llm_type(self):
        return "reader"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        prompt = messages[-1].text
        self.asked.append(prompt)
        question = prompt.split("<question>\n")[1].split("\n</question>")[0]
        passage = prompt.split("<passage>\n")[1].split("\n</passage>")[0]
        words = {word.strip("?.").casefold() for word in question.split()}
        shared = len(words & {word.strip("?.").casefold() for word in passage.split()})
        text = self.reply.format(grade=min(2, shared // 2))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


def bm25():
    return BM25Retriever.from_documents(CORPUS, k=3)


def judged(model, retrievers=None, records=RECORDS, **settings):
    return judge_relevance(model, retrievers or bm25(), records, progress=False, **settings)


def test_every_distinct_pair_gets_one_verdict_and_the_result_feeds_an_evaluation():
    model = Reader()
    found = judged(model)
    assert found.pairs == found.calls == len(model.asked) == len(set(model.asked)) == 6
    assert found.qrels["a"]["lora"] == 2
    assert found.qrels["b"]["cats"] == 2
    data = from_records(RECORDS).with_qrels(found.qrels)
    report = compare_rerank(
        bm25(), WordOverlapScorer(), data, measures="RR(rel=2)@10,Judged@3", progress=False
    )
    assert report.counts["ok"] == 2
    assert report.systems["first_stage"].measures["Judged@3"].mean == 1.0
    assert report.systems["reranked"].measures["RR(rel=2)@10"].mean == 1.0


def test_several_systems_are_pooled_and_shared_pairs_judged_once():
    model = Reader()
    found = judged(model, [lambda _: CORPUS[:2], lambda _: CORPUS[1:]])
    assert len(model.asked) == 6
    assert set(found.qrels["a"]) == {"lora", "qlora", "cats"}


def test_the_same_question_and_text_is_judged_once_whatever_the_record_or_document():
    model = Reader()
    twins = [Document("One text.", id="x"), Document("One text.", id="y")]
    found = judged(model, lambda _: twins, [{"question": "q"}, {"question": "q"}])
    assert len(model.asked) == 1
    assert found.qrels == {"1": {"x": 0, "y": 0}, "2": {"x": 0, "y": 0}}


def test_the_number_of_calls_is_announced_before_the_first(caplog):
    model, said = Reader(), []
    judged(model, announce=lambda text: said.append((text, len(model.asked))))
    assert said[0][1] == 0
    assert "6 calls for 6 pairs" in said[0][0]
    with caplog.at_level(logging.WARNING):
        judged(model)
    assert "6 calls for 6 pairs" in caplog.text


def test_more_calls_than_allowed_are_refused_before_the_first():
    model = Reader()
    with pytest.raises(ConfigurationError, match=r"6 calls.*more than max_calls=5"):
        judged(model, max_calls=5)
    assert model.asked == []


def test_verdicts_are_kept_on_disk_by_judge(tmp_path):
    cache = tmp_path / "verdicts.jsonl"
    first = judged(Judge(Reader(), name="one"), cache=cache)
    again = Reader()
    second = judged(Judge(again, name="one"), cache=cache)
    assert (second.calls, again.asked) == (0, [])
    assert second.qrels == first.qrels
    other = judged(Judge(Reader(), name="another"), cache=cache)
    assert other.calls == 6


def test_an_answer_that_cannot_be_read_is_asked_again_and_then_left_out():
    class Sometimes(Reader):
        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            if "Cats" in messages[-1].text:
                return ChatResult(generations=[ChatGeneration(message=AIMessage('{"grade": 7}'))])
            return super()._generate(messages)

    found = judged(Judge(Sometimes(), max_attempts=2, backoff=0.0))
    assert set(found.qrels["a"]) == {"lora", "qlora"}
    assert "2 of 6 pairs have no grade" in found.warnings[0]
    assert "cannot be read" in found.warnings[0]


def test_a_judge_that_answers_nothing_or_is_away_is_an_error():
    with pytest.raises(EvaluationError, match="graded none of 6 pairs"):
        judged(Judge(Reader(reply="No."), max_attempts=1))

    class Away(Reader):
        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            self.asked.append(1)
            raise ConnectionError("refused")

    away = Away()
    with pytest.raises(EvaluationError, match="cannot be reached"):
        judged(Judge(away, max_attempts=1), max_concurrency=1)
    assert len(away.asked) <= 2  # the next had begun


def test_a_question_that_cannot_be_retrieved_is_a_warning_and_an_outage_an_error():
    def flaky(question):
        if "cats" in question:
            raise TimeoutError("away")
        return CORPUS

    found = judged(Reader(), flaky)
    assert set(found.qrels) == {"a"}
    assert found.warnings == ("Record 'b' was not retrieved: TimeoutError: away",)
    with pytest.raises(EvaluationError, match="Nothing was retrieved"):
        judged(Reader(), lambda _: [])


def test_documents_without_ids_can_be_judged_and_evaluated():
    corpus = [Document(one.page_content) for one in CORPUS]
    found = judged(Reader(), lambda _: corpus)
    data = from_records(RECORDS).with_qrels(found.qrels)
    report = compare_rerank(
        lambda _: corpus, WordOverlapScorer(), data, measures="Judged@3", progress=False
    )
    assert report.systems["first_stage"].measures["Judged@3"].mean == 1.0


async def test_it_works_inside_a_running_loop_and_async():
    expected = judged(Reader()).qrels
    found = await ajudge_relevance(Reader(), bm25(), RECORDS, progress=False)
    assert found.qrels == expected


@pytest.mark.parametrize("settings", [{"k": 0}, {"max_concurrency": 0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigurationError):
        judged(Reader(), **settings)


def test_something_that_is_no_model_is_refused():
    with pytest.raises(ConfigurationError, match="A judge is a LangChain chat model"):
        judged("gpt")


class Slow(Reader):
    """Takes too long over one passage."""

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        if "Cats" in messages[-1].text:
            raise TimeoutError
        return super()._generate(messages)


@pytest.mark.parametrize("order", [CORPUS, CORPUS[::-1]])
def test_one_answer_that_takes_too_long_keeps_all_others_also_where_it_is_the_first(order):
    found = judged(Judge(Slow(), max_attempts=1), lambda _: order, max_concurrency=1)
    assert set(found.qrels["a"]) == set(found.qrels["b"]) == {"lora", "qlora"}
    assert "2 of 6 pairs have no grade" in found.warnings[0]
    assert "did not answer within 60 s" in found.warnings[0]


def test_a_judge_that_dies_on_the_way_is_left_alone_and_what_it_said_is_returned():
    class Dies(Reader):
        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            if len(self.asked) < 5:
                return super()._generate(messages)
            self.asked.append("")
            raise ConnectionError("refused")

    model = Dies()
    records = [{"question": f"What model is number {n}?"} for n in range(20)]
    found = judged(Judge(model, max_attempts=1), records=records, max_concurrency=1)
    assert sum(map(len, found.qrels.values())) == 5
    assert len(model.asked) == 5 + 10
    assert "55 of 60 pairs have no grade; the first: " in found.warnings[0]
