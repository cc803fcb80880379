import threading
import time

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableLambda

from langchain_rerank.errors import ConfigurationError, EvaluationError
from langchain_rerank.evaluation.chain import EvaluationChain
from langchain_rerank.evaluation.compare import compare_rerank
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.first_stage import BM25Retriever
from langchain_rerank.retriever import CrossEncoderRerankRetriever
from langchain_rerank.testing import WordOverlapScorer

TOPICS = ["adapters", "quantisation", "pruning", "distillation", "caching", "batching", "routing"]
CORPUS = [
    Document(f"{topic} note {n} {'filler ' * n}", id=f"{topic}-{n}", metadata={"source": topic})
    for topic in TOPICS
    for n in range(3)
]
RECORDS = [
    {"id": f"q{n}", "question": f"{topic} note {n % 3}", "qrels": {f"{topic}-{n % 3}": 1}}
    for n, topic in enumerate(TOPICS)
]


def bm25():
    return BM25Retriever.from_documents(CORPUS, k=10)


def reranking():
    return CrossEncoderRerankRetriever(
        base_retriever=bm25(), model=WordOverlapScorer(), first_stage_k=10, top_n=5
    )


def backwards(question):
    return bm25().invoke(question)[::-1]


def chain(**settings):
    systems = {"bm25": bm25(), "reranked": reranking(), "backwards": backwards}
    return EvaluationChain(systems, measures="RR@10,R@10", **{"progress": False, **settings})


def test_retrievers_and_callables_are_compared_with_the_baseline():
    report = chain().invoke(RECORDS)
    assert report.baseline == "bm25"
    assert [(c.system, c.measure) for c in report.comparisons] == [
        ("reranked", "RR@10"),
        ("backwards", "RR@10"),
        ("reranked", "R@10"),
        ("backwards", "R@10"),
    ]
    backwards_c = report.comparisons[1]
    assert backwards_c.losses == len(TOPICS)
    assert backwards_c.p_sign_flip == 2 / 2**7
    assert backwards_c.p_value < 0.05
    assert backwards_c.p_holm == pytest.approx(4 * backwards_c.p_value)  # of four comparisons
    assert report.counts["ok"] == len(TOPICS)


def test_the_chain_agrees_with_compare_rerank():
    report = chain().invoke(RECORDS)
    other = compare_rerank(
        bm25(), WordOverlapScorer(), RECORDS, first_stage_k=10, measures="RR@10", progress=False
    )
    ours, theirs = report.systems["reranked"].measures, other.systems["reranked"].measures
    assert ours["RR@10"].mean == theirs["RR@10"].mean


def test_a_reranking_retriever_reports_its_time_by_stage():
    report = chain().invoke(RECORDS)
    assert set(report.systems["reranked"].latency) == {"first_stage", "rerank", "total"}
    assert set(report.systems["bm25"].latency) == {"total"}
    assert report.systems["bm25"].latency["total"].n == len(TOPICS)


async def test_async_and_streams_give_the_rows_of_invoke():
    report = chain().invoke(RECORDS)

    def plain(rows):
        return [(r.query_id, {n: (s.ids, s.measures) for n, s in r.systems.items()}) for r in rows]

    expected = plain(report.queries)
    assert plain(chain().stream(RECORDS)) == expected
    assert plain([row async for row in chain().astream(RECORDS)]) == expected
    areport = await chain(max_concurrency=3).ainvoke(RECORDS)
    assert plain(areport.queries) == expected
    assert {n: s.measures for n, s in areport.systems.items()} == {
        n: s.measures for n, s in report.systems.items()
    }


def test_rows_are_streamed_while_the_rest_still_runs():
    release = threading.Event()

    def slow(question):
        if "routing" in question:
            release.wait(30)
        return CORPUS

    stream = EvaluationChain({"slow": slow}, measures="RR", progress=False).stream(RECORDS)
    first = next(stream)
    assert first.query_id == "q0"
    release.set()
    assert len(list(stream)) == len(TOPICS) - 1


@pytest.mark.parametrize("where", ["constructor", "config"])
def test_concurrency_is_bounded(where):
    now, most, lock = [0], [0], threading.Lock()

    def system(_question):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return CORPUS

    settings = {"max_concurrency": 3} if where == "constructor" else {}
    config = {"max_concurrency": 3} if where == "config" else {}
    made = EvaluationChain({"s": system}, measures="RR", progress=False, **settings)
    made.invoke(RECORDS * 3, config)
    assert 1 < most[0] <= 3


async def test_async_concurrency_is_bounded():
    import asyncio

    now, most = [0], [0]

    async def system(_question):
        now[0] += 1
        most[0] = max(most[0], now[0])
        await asyncio.sleep(0.01)
        now[0] -= 1
        return CORPUS

    made = EvaluationChain({"s": system}, measures="RR", progress=False, max_concurrency=2)
    report = await made.ainvoke(RECORDS)
    assert most[0] == 2
    assert report.counts["ok"] == len(TOPICS)


class Watch(BaseCallbackHandler):
    def __init__(self):
        self.retrievers, self.chains = [], []

    def on_retriever_start(self, serialized, query, *, parent_run_id=None, tags=None, **kwargs):
        self.retrievers.append((query, parent_run_id, tags))

    def on_chain_start(self, serialized, inputs, *, run_id, parent_run_id=None, **kwargs):
        self.chains.append((run_id, parent_run_id))


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_callbacks_and_tags_reach_the_systems_as_children_of_the_chain(asynchronous):
    watch = Watch()
    config = {"callbacks": [watch], "tags": ["nightly"]}
    made = EvaluationChain({"bm25": bm25()}, measures="RR", progress=False)
    if asynchronous:
        await made.ainvoke(RECORDS, config)
    else:
        made.invoke(RECORDS, config)
    root = next(run_id for run_id, parent in watch.chains if parent is None)
    assert len(watch.retrievers) == len(TOPICS)  # the warm-up is nobody's business
    assert {parent for _, parent, _ in watch.retrievers} == {root}
    assert all("nightly" in tags for _, _, tags in watch.retrievers)


def test_one_failed_question_keeps_all_others_and_counts_zero():
    def flaky(question):
        if "pruning" in question:
            raise TimeoutError("away")
        return bm25().invoke(question)

    report = EvaluationChain(
        {"bm25": bm25(), "flaky": flaky}, measures="R@10", progress=False
    ).invoke([*RECORDS, {"id": "empty", "question": ""}])
    assert report.counts == {"ok": 6, "failed": 1, "unlabelled": 0, "invalid": 1}
    assert report.systems["flaky"].failed == 1
    assert report.systems["flaky"].measures["R@10"].mean == pytest.approx(6 / 7)
    row = next(row for row in report.queries if row.status == "failed")
    assert row.error == "flaky: TimeoutError: away"
    assert row.systems["bm25"].measures["R@10"] == 1.0


def test_a_system_that_always_fails_is_an_error_that_tells_why():
    def away(_question):
        raise ConnectionError("refused")

    with pytest.raises(EvaluationError, match="ConnectionError: refused"):
        EvaluationChain({"a": bm25(), "b": away}, measures="RR", progress=False).invoke(RECORDS)


def test_an_output_that_is_no_list_of_documents_is_named():
    with pytest.raises(EvaluationError, match="text must return a list of documents, got str"):
        EvaluationChain({"text": lambda _: "an answer"}, progress=False).invoke(RECORDS)


def test_a_system_may_return_any_series_of_documents():
    systems = {"list": bm25(), "generator": lambda asked: (one for one in bm25().invoke(asked))}
    rows = EvaluationChain(systems, measures="RR@10", progress=False).invoke(RECORDS).queries
    assert all(row.systems["generator"].ids == row.systems["list"].ids for row in rows)
    assert any(row.systems["list"].ids for row in rows)


def test_a_finished_run_resumes_without_asking_again(tmp_path):
    asked = []

    def counting(question):
        asked.append(question)
        return bm25().invoke(question)

    settings = {"measures": "RR@10", "progress": False, "journal": tmp_path / "journal.jsonl"}
    one = EvaluationChain({"s": counting}, **settings).invoke(RECORDS)
    assert len(asked) == len(TOPICS) + 1  # and the warm-up
    asked.clear()
    two = EvaluationChain({"s": counting}, resume=True, **settings).invoke(RECORDS)
    assert asked == []
    assert two.systems["s"].measures == one.systems["s"].measures
    assert two.systems["s"].latency == one.systems["s"].latency  # as it was recorded
    assert two.texts == one.texts
    with pytest.raises(ConfigurationError, match="cannot be resumed: id_key differ"):
        EvaluationChain(
            {"s": counting}, resume=True, relevance=Relevance(id_key="pk"), **settings
        ).invoke(RECORDS)


@pytest.mark.parametrize("key", ["first_stage_score", "relevance_score"])
@pytest.mark.parametrize("score", [float("nan"), float("-inf")])
def test_scores_that_are_no_finite_numbers_are_left_out_and_lose_no_report(tmp_path, key, score):
    found = [
        Document("a", id="a", metadata={key: 1.0}),
        Document("b", id="b", metadata={key: score}),
    ]
    chain = EvaluationChain({"s": lambda _: found}, measures="RR", progress=False)
    report = chain.invoke([{"question": "?", "qrels": {"b": 1}}])
    assert report.queries[0].systems["s"].scores == ()
    report.save(tmp_path)
    assert Report.load(tmp_path).systems["s"].measures["RR"].mean == 0.5


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_first_question_is_asked_once_more_to_warm_up(asynchronous):
    asked = []

    def counting(question):
        asked.append(question)
        return CORPUS

    made = EvaluationChain({"s": counting}, measures="RR", progress=False)
    if asynchronous:
        await made.ainvoke(RECORDS)
    else:
        made.invoke(RECORDS)
    assert asked == [RECORDS[0]["question"], *(one["question"] for one in RECORDS)]


HIT = "LoRA trains two small matrices."
OF_TEXTS = [{"question": "What is LoRA?", "expected_passage": HIT}]


def test_systems_that_call_other_chunks_by_the_same_ids_are_each_judged_by_their_own_texts():
    coarse = [Document("Nothing of it.", id="0"), Document(HIT, id="1")]
    fine = [Document(HIT, id="0"), Document("Nothing of it.", id="1")]
    compared = EvaluationChain(
        {"coarse": lambda _: coarse, "fine": lambda _: fine}, measures="RR", progress=False
    )
    for records in (OF_TEXTS, [{"question": "What is LoRA?", "reference_contexts": [HIT]}]):
        systems = compared.invoke(records).systems
        assert [systems[one].measures["RR"].mean for one in ("coarse", "fine")] == [0.5, 1.0]
    # Labels by id name a document by either of its texts.
    systems = compared.invoke([{"question": "q", "qrels": {"0": 1}}]).systems
    assert [systems[one].measures["RR"].mean for one in ("coarse", "fine")] == [1.0, 1.0]


def test_two_chunks_of_one_id_keep_their_ranks():
    found = [Document("x", id="0"), Document("y", id="0"), Document("z", id="1")]
    compared = EvaluationChain({"chunks": lambda _: found}, measures="RR", progress=False)
    report = compared.invoke([{"question": "q", "qrels": {"1": 1}}])
    assert report.systems["chunks"].measures["RR"].mean == pytest.approx(1 / 3)


class Extracting(BaseDocumentCompressor):
    """Keeps the first word of each document, as those that extract keep a part."""

    def compress_documents(self, documents, query, callbacks=None):
        return [one.model_copy(update={"page_content": "Trains."}) for one in documents]


@pytest.mark.parametrize(
    ("labels", "after"), [({"expected_passage": HIT}, 0.0), ({"qrels": {"1": 1}}, 0.5)]
)
def test_a_part_of_a_document_is_judged_by_its_own_text_and_by_the_id_that_it_kept(
    labels, after, tmp_path
):
    found = [Document("Nothing of it.", id="0"), Document(HIT, id="1")]
    for resume in (False, True):
        report = compare_rerank(
            lambda _: found,
            Extracting(),
            [{"question": "What is LoRA?", **labels}],
            measures="RR",
            progress=False,
            journal=tmp_path / "journal.jsonl",
            resume=resume,
        )
        means = [one.measures["RR"].mean for one in report.systems.values()]
        assert means == [0.5, after]


def test_it_composes_with_other_runnables():
    composed = chain() | RunnableLambda(lambda report: report.systems["bm25"].measures["R@10"].mean)
    assert composed.invoke(RECORDS) == 1.0


def test_progress_is_told_of_every_record():
    told = []
    chain(progress=lambda done, total: told.append((done, total))).invoke(RECORDS)
    assert told == [(n, len(TOPICS)) for n in range(1, len(TOPICS) + 1)]


@pytest.mark.parametrize(
    "settings",
    [
        {"systems": {}},
        {"systems": {"a": bm25()}, "baseline": "b"},
        {"systems": {"a": "not a system"}},
        {"systems": {"a": bm25()}, "max_concurrency": 0},
        {"systems": {"a": bm25()}, "top_n": 0},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigurationError):
        EvaluationChain(**settings)
