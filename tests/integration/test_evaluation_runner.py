"""The one runner: nothing is lost, nothing is asked or timed twice, no run gets another's rows."""

import asyncio
import random
import re
import threading

import pytest
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from langchain_rerank.compressor import CrossEncoderReranker
from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.evaluation import (
    EvaluationChain,
    compare_models,
    compare_rerank,
    sweep,
    sweep_k,
    tune_first_stage_weight,
)
from langchain_rerank.evaluation.ragas import RagasEvaluation
from langchain_rerank.evaluation.run import journal, lines, stage
from langchain_rerank.evaluation.run.background import run
from langchain_rerank.first_stage import BM25Retriever
from langchain_rerank.retriever import CrossEncoderRerankRetriever
from langchain_rerank.testing import CountingScorer, WordOverlapScorer

TOPICS = ["adapters", "pruning", "caching", "batching", "routing", "sparsity", "tokens", "heads"]
CORPUS = [
    Document(f"{topic} {'and ' * n}note {n}", id=f"{topic}-{n}")
    for topic in TOPICS
    for n in range(5)
]
RECORDS = [
    {"id": f"q{n}", "question": f"{topic} note {n % 5}", "qrels": {f"{topic}-{n % 5}": 1}}
    for n, topic in enumerate(TOPICS)
]
KS = [2, 4]


def bm25(k=5):
    return BM25Retriever.from_documents(CORPUS, k=k)


class Clock:
    """Stands still but for what a test says; steps are exact in binary, so that sums are."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def goes(self, parts):
        self.now += parts / 1024


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(stage, "perf_counter", found)
    return found


class Timed(WordOverlapScorer):
    """Takes as long as its question and texts say."""

    def __init__(self, clock):
        self.clock = clock

    def score(self, query, texts):
        self.clock.goes(3 * len(query) + len(texts))
        return super().score(query, texts)


def retrieving(clock):
    base = bm25()

    def retrieve(question):
        clock.goes(len(question))
        return base.invoke(question)

    return retrieve


def swept(clock, path=None, **settings):
    return sweep_k(
        retrieving(clock),
        Timed(clock),
        RECORDS,
        KS,
        measures="nDCG@2",
        latency_queries=4,
        journal=path,
        progress=False,
        **settings,
    )


def compared(clock, path=None, **settings):
    return compare_rerank(
        retrieving(clock), Timed(clock), RECORDS, journal=path, progress=False, **settings
    )


def chained(clock, path=None, **settings):
    systems = {"first": retrieving(clock), "other": lambda question: bm25().invoke(question)[::-1]}
    return EvaluationChain(systems, journal=path, progress=False, **settings).invoke(RECORDS)


RUNS = [swept, compared, chained]


def told(report):
    """All that a report says but the time of day."""
    data = report.to_dict()
    del data["environment"]
    return data


class KilledError(BaseException):
    """Stands for a kill: nobody handles it."""


def killed_after(monkeypatch, writes, part):
    """Have the process die in a write of the journal, with only a part of it on disk."""
    real = lines.write
    left = [writes]

    def write(file, rows):
        left[0] -= 1
        if left[0] > 0:
            real(file, rows)
            return
        data = b"".join(map(lines.sealed, rows))
        file.write(data[: int(len(data) * part)])
        file.flush()
        raise KilledError

    monkeypatch.setattr(lines, "write", write)


@pytest.mark.parametrize("evaluated", RUNS)
def test_a_run_killed_at_any_moment_resumes_to_the_report_of_an_undisturbed_one(
    evaluated, clock, tmp_path, monkeypatch
):
    expected = told(evaluated(clock))
    chance = random.Random(evaluated.__name__)
    writes = len([1 for _ in _written(evaluated, clock, tmp_path / "count", monkeypatch)])
    for moment in range(4):
        path = tmp_path / f"{moment}.jsonl"
        with monkeypatch.context() as patched:
            killed_after(patched, chance.randint(2, writes), chance.random())
            with pytest.raises(KilledError):
                evaluated(clock, path)
        assert told(evaluated(clock, path, resume=True)) == expected


def _written(evaluated, clock, path, monkeypatch):
    found = []
    real = lines.write
    with monkeypatch.context() as patched:
        patched.setattr(lines, "write", lambda file, rows: found.append(1) or real(file, rows))
        evaluated(clock, path)
    return found


@pytest.mark.parametrize("evaluated", RUNS)
def test_a_finished_run_is_resumed_without_asking_anything_and_with_its_latency(
    evaluated, clock, tmp_path
):
    first = evaluated(clock, tmp_path / "j")
    before = clock.now
    second = evaluated(clock, tmp_path / "j", resume=True)
    assert clock.now == before
    assert told(second) == told(first)
    latencies = [one.latency["total"] for one in second.systems.values()]
    assert all(one.p50 > 0 for one in latencies if evaluated is not chained)


def test_timings_that_fail_are_missing_and_lose_no_sweep():
    asked = []

    def failing(question):
        asked.append(question)
        if len(asked) > 1 + len(RECORDS) + 5:  # the warm-up, and a sample at the smaller depth
            raise TimeoutError("away")
        return bm25().invoke(question)

    report = sweep_k(
        failing,
        WordOverlapScorer(),
        RECORDS,
        KS,
        latency_queries=2,
        measures="RR@2",
        progress=False,
    )
    assert report.counts["ok"] == len(RECORDS)
    assert {one.k: one.latency for one in report.sweep.points} == {0: {}, 2: {}, 4: {}}
    assert any("not measured" in one for one in report.warnings)


def test_one_timing_that_fails_is_missing_at_its_depth_only(clock, monkeypatch):
    scorer = Timed(clock)
    real = scorer.score

    def score(query, texts):
        if score.timing and len(texts) == 2:
            raise MemoryError("too long")
        return real(query, texts)

    score.timing = False
    scorer.score = score
    measured = sweep.measured

    async def timed(*args, **settings):
        score.timing = True
        return await measured(*args, **settings)

    monkeypatch.setattr(sweep, "measured", timed)
    report = sweep_k(
        lambda question: bm25().invoke(question),
        scorer,
        RECORDS,
        KS,
        latency_queries=3,
        measures="RR@2",
        progress=False,
    )
    found = {one.k: {stage: x.n for stage, x in one.latency.items()} for one in report.sweep.points}
    assert found[2] == {}
    assert found[0]["total"] == found[4]["total"] == 3


def test_progress_goes_on_while_depths_are_timed_and_ends_at_the_whole(monkeypatch):
    told, marks = [], []
    measured = sweep.measured

    async def timed(*args, **settings):
        marks.append(told[-1])
        found = await measured(*args, **settings)
        marks.append(told[-1])
        return found

    monkeypatch.setattr(sweep, "measured", timed)
    for queries in (len(RECORDS), 0):
        told.clear()
        marks.clear()
        sweep_k(
            lambda question: bm25().invoke(question),
            WordOverlapScorer(),
            RECORDS,
            KS,
            latency_queries=queries,
            measures="RR@2",
            progress=lambda now, total: told.append(now / total),
        )
        before, after = marks
        assert (before < 0.75 and after > before) if queries else before == after == 1.0
        assert told == sorted(told)
        assert told[-1] == 1.0


class Reversed(WordOverlapScorer):
    name = identity = "reversed"

    def score(self, query, texts):
        return [-one for one in super().score(query, texts)]


class Nameless:
    def score(self, query, texts):
        return WordOverlapScorer().score(query, texts)


class CrossEncoder(BaseModel, BaseCrossEncoder):
    """LangChain's cross-encoders say what they are in a setting."""

    model_name: str

    def score(self, text_pairs):
        return [WordOverlapScorer().score(query, [text])[0] for query, text in text_pairs]


def reranking(model, **settings):
    return CrossEncoderRerankRetriever(base_retriever=bm25(), model=model, top_n=2, **settings)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (reranking(WordOverlapScorer()), reranking(Reversed())),
        (reranking(WordOverlapScorer()), reranking(WordOverlapScorer(), first_stage_weight=0.5)),
        (reranking(CrossEncoder(model_name="one")), reranking(CrossEncoder(model_name="other"))),
        (bm25(k=5), bm25(k=3)),
        (bm25(), BM25Retriever.from_documents(CORPUS[1:], k=5)),
        (RunnableLambda(bm25().invoke), RunnableLambda(bm25(k=3).invoke)),
        (lambda question: CORPUS, lambda question: CORPUS[::-1]),
        (
            RunnableLambda(lambda question: question) | bm25(),
            RunnableLambda(lambda question: question) | bm25(k=2),
        ),
    ],
)
def test_results_of_one_system_are_never_taken_for_those_of_another(first, second, tmp_path):
    def evaluated(one, **settings):
        return EvaluationChain(
            {"system": one}, journal=tmp_path / "j", progress=False, **settings
        ).invoke(RECORDS)

    evaluated(first)
    evaluated(first, resume=True)
    with pytest.raises(ConfigurationError, match="cannot be resumed: systems differ"):
        evaluated(second, resume=True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (WordOverlapScorer(), Reversed()),
        (CrossEncoder(model_name="one"), CrossEncoder(model_name="other")),
    ],
)
def test_scores_of_one_model_are_never_taken_for_those_of_another(first, second, tmp_path):
    def evaluated(model, **settings):
        return compare_rerank(
            bm25(), model, RECORDS, journal=tmp_path / "j", progress=False, **settings
        )

    evaluated(first)
    evaluated(first, resume=True)
    with pytest.raises(ConfigurationError, match="cannot be resumed: models differ"):
        evaluated(second, resume=True)


def doors(path, **settings):
    settings = {"journal": path, "progress": False, **settings}
    model = Nameless()
    yield lambda: compare_rerank(bm25(), model, RECORDS, **settings)
    yield lambda: compare_models(bm25(), {"a": model}, RECORDS, **settings)
    yield lambda: sweep_k(bm25(), model, RECORDS, KS, latency_queries=0, **settings)
    yield lambda: tune_first_stage_weight(bm25(), model, RECORDS * 2, **settings)
    yield lambda: EvaluationChain({"a": reranking(model)}, **settings).invoke(RECORDS)
    yield lambda: RagasEvaluation(reranking(model), **settings).invoke(RECORDS)


@pytest.mark.parametrize("door", range(6))
def test_a_scorer_that_does_not_say_what_it_is_is_not_resumed_unless_somebody_says_it(
    door, tmp_path
):
    def evaluated(path, **settings):
        return list(doors(path, **settings))[door]()

    evaluated(tmp_path / "a")
    with pytest.raises(ConfigurationError, match=r"Nameless has no identity.*identity=") as caught:
        evaluated(tmp_path / "a", resume=True)
    assert "start anew without resume" in str(caught.value)
    evaluated(tmp_path / "b", identity="mine, version 2")
    evaluated(tmp_path / "b", identity="mine, version 2", resume=True)
    with pytest.raises(ConfigurationError, match="differ"):
        evaluated(tmp_path / "b", identity="mine, version 3", resume=True)


def test_a_second_run_on_the_same_journal_says_so_and_touches_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_LOCK_SECONDS", 0.1)
    begun, go_on = threading.Event(), threading.Event()

    def slow(question):
        begun.set()
        go_on.wait(30)
        return bm25().invoke(question)

    def evaluated(retriever, **settings):
        return compare_rerank(
            retriever, WordOverlapScorer(), RECORDS, journal=tmp_path / "j", **settings
        )

    found = []
    first = threading.Thread(target=lambda: found.append(evaluated(slow, progress=False)))
    first.start()
    assert begun.wait(30)
    before = (tmp_path / "j").read_bytes()
    for resume in (True, False):
        with pytest.raises(ConfigurationError, match="Another run is writing to the journal"):
            evaluated(bm25(), progress=False, resume=resume)
    assert (tmp_path / "j").read_bytes() == before
    assert not (tmp_path / "j.old").exists()
    go_on.set()
    first.join()
    assert found[0].counts["ok"] == len(RECORDS)
    assert evaluated(slow, progress=False, resume=True).counts["ok"] == len(RECORDS)


def damaged(data, chance):
    """Return a journal that something happened to."""
    place = chance.randrange(len(data))
    whole = data.splitlines(keepends=True)
    line = chance.randrange(len(whole))
    return chance.choice(
        [
            lambda: (
                data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]
            ),
            lambda: data[:place] + data[place + chance.randint(1, 40) :],
            lambda: data[:place] + bytes(chance.randrange(256) for _ in range(5)) + data[place:],
            lambda: b"".join(whole[:line] + whole[line + 1 :]),
            lambda: b"".join(whole[: line + 1] + whole[line:]),
            lambda: b"".join([*whole[:line], b"[1, 2]\n", *whole[line:]]),
            lambda: re.sub(rb"0\.\d", b"0.9", data, count=1),
            lambda: data[:place],
        ]
    )()


def test_of_two_hundred_damaged_journals_none_changes_a_score_or_raises_something_raw(tmp_path):
    def evaluated(path, **settings):
        return compare_rerank(
            lambda question: bm25().invoke(question),
            WordOverlapScorer(),
            RECORDS[:3],
            measures="nDCG@10",
            journal=path,
            progress=False,
            **settings,
        )

    expected = evaluated(tmp_path / "j")
    data, chance = (tmp_path / "j").read_bytes(), random.Random(14)
    refused = []
    for _ in range(200):
        (tmp_path / "j").write_bytes(damaged(data, chance))
        try:
            found = evaluated(tmp_path / "j", resume=True)
        except DataFileError as error:
            refused.append((str(error), error.line))
            continue
        assert [one.systems["reranked"].scores for one in found.queries] == [
            one.systems["reranked"].scores for one in expected.queries
        ]
        assert found.systems["reranked"].measures == expected.systems["reranked"].measures
    assert 50 < len(refused) < 190
    assert all("no line of a journal" in text and line for text, line in refused)


def test_rows_of_a_line_that_somebody_removed_are_done_again(tmp_path):
    path = tmp_path / "j"
    settings = {"first_stage_k": 3, "journal": path, "progress": False}
    first = compare_rerank(bm25(), WordOverlapScorer(), RECORDS, **settings)
    lines = path.read_text().splitlines(keepends=True)
    kept = [one for one in lines if '"document": "pruning-1"' not in one]
    assert len(kept) == len(lines) - 1
    path.write_text("".join(kept))
    scorer = CountingScorer(WordOverlapScorer())
    report = compare_rerank(bm25(), scorer, RECORDS, resume=True, **settings)
    assert report.systems["reranked"].measures == first.systems["reranked"].measures
    asked = {request[0][0] for request in scorer.asked}
    assert "pruning note 1" in asked
    assert len(asked) < len(RECORDS)


def test_two_journals_in_one_file_are_no_journal(tmp_path):
    for name, records in (("a", RECORDS[:2]), ("b", RECORDS[2:4])):
        compare_rerank(
            bm25(), WordOverlapScorer(), records, journal=tmp_path / name, progress=False
        )
    foreign = (tmp_path / "b").read_text().splitlines(True)[1:]
    (tmp_path / "a").write_text((tmp_path / "a").read_text() + "".join(foreign))
    with pytest.raises(DataFileError, match="no line of a journal"):
        compare_rerank(
            bm25(),
            WordOverlapScorer(),
            RECORDS[:2],
            journal=tmp_path / "a",
            resume=True,
            progress=False,
        )


class Compressor(BaseDocumentCompressor):
    """Makes documents anew, as some compressors do, and returns the three longest."""

    def compress_documents(self, documents, query, callbacks=None):
        best = sorted(documents, key=lambda one: -len(one.page_content))[:3]
        for one in best:
            one.metadata["seen"] = True
        return [
            Document(one.page_content, metadata={"relevance_score": float(len(one.page_content))})
            for one in best
        ]


def test_any_compressor_retriever_or_chain_of_langchain_is_a_system():
    chain = RunnableLambda(
        lambda question: {"answer": "?", "context": bm25().invoke(question), "input": question}
    )
    report = compare_models(
        bm25(),
        {
            "scorer": WordOverlapScorer(),
            "compressor": Compressor(),
            "ours": CrossEncoderReranker(model=WordOverlapScorer(), top_n=3),
            "retriever": reranking(WordOverlapScorer()),
            "chain": chain,
        },
        RECORDS,
        first_stage_k=5,
        measures="RR@3",
        progress=False,
    )
    assert report.counts["ok"] == len(RECORDS)
    for row in report.queries:
        assert set(row.systems["compressor"].ids) <= set(row.systems["first_stage"].ids)
        assert len(row.systems["compressor"].ids) == len(row.systems["ours"].ids) == 3
        assert row.systems["ours"].ids == row.systems["scorer"].ids[:3]
        assert row.systems["retriever"].ids == row.systems["scorer"].ids[:2]
        assert row.systems["chain"].ids == row.systems["first_stage"].ids
    assert {one.system for one in report.loss_split} == {"scorer", "compressor", "ours"}
    assert set(report.systems["retriever"].latency) == {"first_stage", "rerank", "total"}
    assert not any("seen" in one.metadata for one in CORPUS)


def test_a_compressor_is_swept_depth_by_depth_and_a_chain_has_no_depth():
    settings = {"measures": "RR@2", "latency_queries": 0, "progress": False}
    report = sweep_k(bm25(), Compressor(), RECORDS, KS, **settings)
    assert "Compressor is not pointwise" in report.sweep.checks[1]
    for point in report.sweep.points[1:]:
        alone = compare_rerank(
            bm25(), Compressor(), RECORDS, first_stage_k=point.k, measures="RR@2", progress=False
        )
        assert point.measures == alone.systems["reranked"].measures
    with pytest.raises(ConfigurationError, match="has no first-stage depth"):
        sweep_k(bm25(), bm25(), RECORDS, KS, **settings)
    with pytest.raises(ConfigurationError, match="gives no scores to mix"):
        tune_first_stage_weight(bm25(), Compressor(), RECORDS * 2, progress=False)


def test_a_chain_is_evaluated_by_the_documents_of_its_dictionary():
    chain = RunnableLambda(lambda asked: {"docs": bm25().invoke(asked["q"]), "text": "?"})
    from langchain_rerank.evaluation.ragas import ChainKeys

    report = EvaluationChain(
        {"bm25": bm25(), "chain": chain},
        chain_keys=ChainKeys(question="q", contexts="docs"),
        measures="RR@5",
        progress=False,
    ).invoke(RECORDS)
    assert report.systems["chain"].measures == report.systems["bm25"].measures


def test_progress_is_weighted_by_what_the_stages_cost():
    told_of = []
    compare_rerank(
        bm25(),
        WordOverlapScorer(),
        RECORDS,
        first_stage_k=50,
        progress=lambda done, total: told_of.append((done, total)),
    )
    # Retrieving is a 51st of the cost of a question, which is two steps.
    steps = 2 * len(RECORDS)
    assert told_of == [(done, steps) for done in range(2, steps + 1, 2)]


def test_it_works_inside_a_running_loop_and_out_of_a_coroutine_of_its_own():
    async def nested():
        return compare_rerank(bm25(), WordOverlapScorer(), RECORDS, progress=False)

    assert run(nested()).counts["ok"] == len(RECORDS)


@pytest.mark.parametrize("limit", [1, 3])
def test_a_progress_that_raises_stops_all_at_once(limit):
    asked = []

    async def found(question):
        asked.append(question)
        slow = limit > 1 and len(asked) == 2  # the first after the warm-up
        await asyncio.sleep(0.2 if slow else 0)
        return []

    def stop(now, total):
        if now:
            raise InterruptedError

    chain = EvaluationChain({"system": RunnableLambda(found)}, max_concurrency=limit, progress=stop)
    with pytest.raises(InterruptedError):
        chain.invoke(RECORDS)
    assert len(asked) <= limit + 1
