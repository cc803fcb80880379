import time

import ir_measures
import pytest
from ir_measures import AP, RR, R, nDCG
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from langchain_rerank.errors import ConfigurationError, EvaluationError, ModelLoadError
from langchain_rerank.evaluation.compare import compare_models, compare_rerank
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.data.trec import write_qrels, write_run
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.score.statistics import holm
from langchain_rerank.first_stage import BM25Retriever
from langchain_rerank.testing import CountingScorer, WordOverlapScorer

TOPICS = ["adapters", "quantisation", "pruning", "distillation", "caching", "batching", "routing"]


def corpus():
    return [
        Document(
            f"{topic} {'and '.join(other for other in TOPICS[: n % 5])} note {n}",
            id=f"{topic}-{n}",
            metadata={"source": f"{topic}.md"},
        )
        for topic in TOPICS
        for n in range(4)
    ]


def bm25(k=10):
    return BM25Retriever.from_documents(corpus(), k=k)


def questions():
    return [
        {"id": f"q{n}", "question": f"{topic} note {n % 4}", "qrels": {f"{topic}-{n % 4}": 2}}
        for n, topic in enumerate(TOPICS)
    ]


def test_both_orders_are_judged_on_the_same_candidates_scored_once():
    scorer = CountingScorer(WordOverlapScorer())
    report = compare_rerank(bm25(), scorer, questions(), first_stage_k=10, progress=False)
    for row in report.queries:
        first, second = row.systems["first_stage"], row.systems["reranked"]
        assert sorted(first.ids) == sorted(second.ids)
        assert list(second.scores) == sorted(second.scores, reverse=True)
    warm_up = 4
    assert len(scorer.texts) == warm_up + sum(
        len(row.systems["reranked"].ids) for row in report.queries
    )
    assert list(report.systems) == ["first_stage", "reranked"]
    assert report.systems["reranked"].latency["total"].n == len(questions())


def test_the_means_are_what_ir_measures_computes_from_the_written_files(tmp_path):
    records = [*questions(), {"id": "nothing", "question": "zzz", "qrels": {"adapters-0": 1}}]
    measures = [nDCG @ 10, RR @ 10, R @ 5, AP @ 10]
    names = list(map(str, measures))
    report = compare_rerank(bm25(), WordOverlapScorer(), records, measures=names, progress=False)
    write_qrels(tmp_path / "qrels", {row.query_id: row.qrels for row in report.queries})
    qrels = list(ir_measures.read_trec_qrels(str(tmp_path / "qrels")))
    for system, summary in report.systems.items():
        rows = {row.query_id: row.systems[system] for row in report.queries}
        write_run(tmp_path / "run", {q: (row.ids, row.scores) for q, row in rows.items()})
        run = list(ir_measures.read_trec_run(str(tmp_path / "run")))
        for measure, name in zip(measures, names, strict=True):
            values = {
                found.query_id: found.value
                for found in ir_measures.iter_calc([measure], qrels, run)
            }
            assert {q: row.measures[name] for q, row in rows.items()} == values
            theirs = ir_measures.calc_aggregate([measure], qrels, run)[measure]
            assert summary.measures[name].mean == pytest.approx(theirs, abs=1e-15)
            assert summary.measures[name].n == len(records)


def twenty():
    """Twenty records, seven of them troublesome."""
    sources = [
        {"id": f"ok{n}", "question": f"{topic} note 1", "expected_source": f"{topic}.md"}
        for n, topic in enumerate(TOPICS + TOPICS[:5])
    ]
    return [
        {"id": "empty", "question": " "},
        {"id": "raises", "question": "raise now", "expected_source": "adapters.md"},
        {"id": "unlabelled", "question": "pruning"},
        {"id": "two", "question": "routing", "expected_source": ["routing.md", "adapters.md"]},
        {"id": "twin", "question": "caching", "expected_source": "caching.md"},
        {"id": "twin", "question": "batching", "expected_source": "batching.md"},
        {"id": "unknown", "question": "pruning", "expected_sorce": "pruning.md"},
        {"id": "absent", "question": "pruning", "expected_source": "prunin.md"},
        *sources,
    ]


class Retrieving:
    """A first stage that raises for one question."""

    def __init__(self):
        self.asked = []
        self.base = bm25()

    def __call__(self, question):
        self.asked.append(question)
        if "raise" in question:
            raise TimeoutError("the index is away")
        return self.base.invoke(question)


def test_twenty_records_with_seven_bad_ones_lose_nothing_else():
    assert len(twenty()) == 20
    report = compare_rerank(Retrieving(), WordOverlapScorer(), twenty(), progress=False)
    rows = {row.query_id: row for row in report.queries}
    assert len(rows) == 20
    assert report.counts == {"ok": 16, "failed": 1, "unlabelled": 1, "invalid": 2}
    assert rows["empty"].status == rows["unknown"].status == "invalid"
    assert "'expected_sorce'; the nearest known key is 'expected_source'" in rows["unknown"].error
    assert rows["raises"].status == "failed"
    assert "TimeoutError: the index is away" in rows["raises"].error
    assert set(rows["raises"].systems["reranked"].measures.values()) == {0.0}
    assert rows["unlabelled"].status == "unlabelled"
    assert rows["unlabelled"].systems["reranked"].measures == {}
    assert rows["unlabelled"].systems["reranked"].ids != ()
    assert rows["two"].qrels == {"routing.md": 1, "adapters.md": 1}
    assert rows["twin#2"].question == "batching"
    messages = "\n".join(report.warnings)
    for name in ("'empty'", "'unknown'", "'twin'", "'absent'"):
        assert name in messages
    assert "'prunin.md'" in messages
    assert "nearest that was seen is 'pruning.md'" in messages
    # 20 less two invalid and one unlabelled; the failed and the absent one count, with 0.
    assert report.systems["reranked"].measures["nDCG@10"].n == 17
    assert report.systems["reranked"].failed == 1


def test_a_scorer_that_fails_on_one_query_fails_that_query_only():
    class Failing(WordOverlapScorer):
        def score(self, query, texts):
            if "pruning" in query:
                raise MemoryError("too long")
            return super().score(query, texts)

    report = compare_rerank(bm25(), Failing(), questions(), progress=False)
    row = next(row for row in report.queries if "pruning" in row.question)
    assert row.status == "failed"
    assert "MemoryError: too long" in row.systems["reranked"].error
    assert row.systems["first_stage"].measures["R@10"] == 1.0
    assert row.systems["reranked"].measures["R@10"] == 0.0
    assert report.counts["ok"] == len(TOPICS) - 1


def test_an_outage_is_an_error_not_a_report_of_zeros():
    def away(_question):
        raise ConnectionError("refused")

    with pytest.raises(EvaluationError, match="ConnectionError: refused"):
        compare_rerank(away, WordOverlapScorer(), questions(), progress=False)


def test_labels_that_no_document_can_meet_stop_the_run_before_anything_is_scored():
    scorer = CountingScorer(WordOverlapScorer())
    with pytest.raises(ConfigurationError, match=r"metadata\['origin'\].*source"):
        compare_rerank(
            bm25(),
            scorer,
            [{"question": "pruning", "expected_source": "pruning.md"}],
            relevance=Relevance(source_key="origin"),
            progress=False,
        )
    assert len(scorer.texts) <= 4  # the warm-up


def test_a_failed_retrieval_is_not_scored_and_nothing_is_invented():
    def other(_question):
        return ["a text"]

    with pytest.raises(EvaluationError, match="must return a list of documents"):
        compare_rerank(other, WordOverlapScorer(), questions(), progress=False)


def test_top_n_cuts_both_orders_and_the_oracle():
    report = compare_rerank(
        bm25(), WordOverlapScorer(), questions(), top_n=1, measures="R@10,nDCG@10", progress=False
    )
    assert all(len(system.ids) == 1 for row in report.queries for system in row.systems.values())
    split = report.loss_split[0]
    assert split.oracle == 1.0
    assert split.missed + split.misordered == pytest.approx(split.attainable - split.actual)


def test_the_loss_split_tells_the_retriever_from_the_reranker():
    documents = {d.id: d for d in corpus()}
    found = {"a": ["adapters-1", "adapters-0"], "b": ["pruning-1", "pruning-2"]}
    records = [
        {"question": "a", "qrels": {"adapters-0": 1}},
        {"question": "b", "qrels": {"routing-0": 1}},
    ]

    class Keeps:
        def score(self, query, texts):
            return [0.0] * len(texts)

    report = compare_rerank(
        lambda question: [documents[one] for one in found[question]],
        Keeps(),
        records,
        measures=["RR@10"],
        progress=False,
    )
    split = report.loss_split[0]
    assert (split.oracle, split.actual) == (0.5, 0.25)
    assert (split.missed, split.misordered) == (0.5, 0.25)
    assert report.comparisons[0].difference == 0.0  # ties keep the first stage's order
    assert "too few queries" in report.comparisons[0].note


def test_what_no_ranking_can_reach_is_neither_missed_nor_misordered():
    """Three documents answer; all are found and stand on top, and R@1 is a third at most."""
    documents = [Document(one, id=one) for one in "abcd"]
    records = [{"question": "?", "qrels": {"a": 1, "b": 1, "c": 1}}]

    class Keeps:
        def score(self, query, texts):
            return [0.0] * len(texts)

    def split(first_stage_k, measures=("R@1", "P@10", "nDCG@10"), **settings):
        report = compare_rerank(
            lambda question: documents,
            Keeps(),
            records,
            first_stage_k=first_stage_k,
            measures=measures,
            progress=False,
            **settings,
        )
        return [(one.attainable, one.missed, one.misordered) for one in report.loss_split], report

    whole, report = split(4)
    assert whole == [(pytest.approx(one), 0.0, 0.0) for one in (1 / 3, 0.3, 1.0)]
    assert "0.667 is out of reach of any ranking" in report.to_markdown()
    assert "more to gain" not in report.to_markdown()
    part, _ = split(2)
    assert part[1] == (pytest.approx(0.3), pytest.approx(0.1), 0.0)
    odd, _ = split(4, measures=["Accuracy@10"])  # which has no value without an irrelevant one
    assert odd == [(1.0, 0.0, 0.0)]
    cut, _ = split(4, top_n=2)
    assert cut[1] == (pytest.approx(0.2), 0.0, 0.0)


def test_several_models_are_compared_with_the_first_stage_and_with_the_first():
    class Reversed(WordOverlapScorer):
        name = "reversed"

        def score(self, query, texts):
            return [-score for score in super().score(query, texts)]

    report = compare_models(
        bm25(), [WordOverlapScorer(), Reversed()], questions(), measures=["nDCG@10"], progress=False
    )
    assert list(report.systems) == ["first_stage", "word-overlap", "reversed"]
    pairs = [(one.system, one.baseline) for one in report.comparisons]
    assert pairs == [
        ("word-overlap", "first_stage"),
        ("reversed", "first_stage"),
        ("reversed", "word-overlap"),
    ]
    assert report.comparisons[2].difference < 0
    assert [one.query_id for one in report.comparisons[2].lost]


@pytest.mark.parametrize(
    "models", [[], {}, [WordOverlapScorer(), WordOverlapScorer()], {"first_stage": None}]
)
def test_models_need_distinct_names(models):
    with pytest.raises(ConfigurationError):
        compare_models(bm25(), models, questions(), progress=False)


@pytest.mark.parametrize(
    "settings", [{"top_n": 0}, {"first_stage_k": 0}, {"measures": "nope@3"}, {"device": "cpu"}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigurationError):
        compare_rerank(bm25(), WordOverlapScorer(), questions(), progress=False, **settings)


def test_callbacks_see_every_retrieval_and_progress_is_told():
    class Watch(BaseCallbackHandler):
        starts = 0

        def on_retriever_start(self, *args, **kwargs):
            Watch.starts += 1

    told = []
    compare_rerank(
        bm25(),
        WordOverlapScorer(),
        questions(),
        config={"callbacks": [Watch()]},
        progress=lambda done, total: told.append((done, total)),
    )
    assert Watch.starts == len(TOPICS)  # the warm-up is nobody's business
    assert told[-1] == (2 * len(TOPICS), 2 * len(TOPICS))
    assert told == sorted(told)


def test_the_report_says_how_it_was_made_and_holds_the_texts():
    report = compare_rerank(
        RunnableLambda(lambda question: bm25().invoke(question)),
        WordOverlapScorer(),
        questions(),
        settings={"corpus": "topics"},
        seed=3,
        progress=False,
    )
    assert report.settings["first_stage"] == "RunnableLambda"
    assert report.settings["models"]["reranked"]["name"] == "word-overlap"
    assert (report.settings["seed"], report.settings["corpus"]) == (3, "topics")
    assert report.environment["packages"]["numpy"]
    assert report.texts["adapters-0"].startswith("adapters")


def test_two_runs_give_the_same_figures():
    one, two = (
        compare_rerank(bm25(), WordOverlapScorer(), questions(), progress=False) for _ in range(2)
    )
    for system in one.systems:
        assert one.systems[system].measures == two.systems[system].measures
    assert [c.p_value for c in one.comparisons] == [c.p_value for c in two.comparisons]
    assert [c.ci for c in one.comparisons] == [c.ci for c in two.comparisons]


def test_a_model_that_cannot_be_loaded_stops_before_the_first_question(tmp_path):
    asked = []

    def retriever(question):
        asked.append(question)
        return [Document("text", id="d")]

    records = [{"question": f"question {n}", "qrels": {"d": 1}} for n in range(5)]
    with pytest.raises(ModelLoadError, match="missing"):
        compare_rerank(retriever, str(tmp_path / "missing"), records, progress=False)
    assert len(asked) == 1  # the warm-up


class Odd:
    """A measure that has no number for some queries."""

    def __init__(self, gives):
        self.gives = gives

    def __str__(self):
        return "odd"

    def __call__(self, ids, qrels):
        if "pruning-2" in qrels:
            return self.gives()
        return 1.0


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda: float("nan"), "gave nan"),
        (lambda: float("inf"), "gave inf"),
        (lambda: 1 / 0, "raised ZeroDivisionError: division by zero"),
        (lambda: None, "raised TypeError: "),
    ],
)
def test_a_measure_that_gives_no_number_counts_zero_is_named_and_loses_no_report(
    gives, said, tmp_path
):
    report = compare_rerank(
        bm25(), WordOverlapScorer(), questions(), measures=[Odd(gives), "RR"], progress=False
    )
    assert report.systems["reranked"].measures["odd"].mean == pytest.approx(6 / 7)
    (line,) = [one for one in report.warnings if one.startswith("odd")]
    assert line.startswith(f"odd {said}")
    assert line.endswith("for 1 of 7 queries (q2), which count 0.")
    report.save(tmp_path)
    assert Report.load(tmp_path).queries == report.queries


class Told:
    """Scores as it is told: the wanted text 1, or the first stage's order upside down."""

    def __init__(self, name, wanted=None):
        self.name, self.wanted = name, wanted

    def score(self, query, texts):
        if self.wanted is None:
            return [float(n) for n, _ in enumerate(texts)]
        return [float(one == self.wanted(query)) for one in texts]


def staged(questions, rank):
    """Return a first stage with the one relevant document at a rank, and the questions."""
    records = [
        {"question": f"question {n}", "qrels": {f"{n}-{rank - 1}": 1}} for n in range(questions)
    ]

    def retrieve(question):
        n = question.split()[1]
        return [Document(f"text {n} {d}", id=f"{n}-{d}") for d in range(20)]

    return retrieve, records


def test_a_comparison_begins_with_whether_to_rerank():
    retriever, records = staged(12, rank=6)
    good = Told("good", lambda query: f"text {query.split()[1]} 5")
    report = compare_rerank(retriever, good, records, first_stage_k=20, progress=False)
    assert (report.decision.answer, report.decision.k) == ("rerank", 20)
    assert (
        report.to_markdown().split("\n\n")[1].startswith("Rerank with K = 20: that takes nDCG@10")
    )
    retriever, records = staged(30, rank=1)
    report = compare_rerank(retriever, Told("bad"), records, first_stage_k=20, progress=False)
    assert (report.decision.answer, report.decision.k) == ("do_not_rerank", 0)
    few = compare_rerank(retriever, Told("bad"), records[:4], first_stage_k=20, progress=False)
    assert few.decision.answer == "undecided"
    assert few.decision.queries_needed > 4
    assert Report.from_dict(few.to_dict()).decision == few.decision


def test_of_several_models_the_one_to_take_is_the_fastest_that_is_as_good_as_any():
    retriever, records = staged(80, rank=6)

    def wanted(query):
        return f"text {query.split()[1]} 5"

    class Quick(Told):
        seconds = 0.01  # The bad one is quicker: the rule stops at what is not shown to be good.

        def score(self, query, texts):
            time.sleep(self.seconds)
            return super().score(query, texts)

    class Slow(Quick):
        seconds = 0.04  # More than a busy machine adds to a few calls.

    models = {"slow": Slow("slow", wanted), "quick": Quick("quick", wanted), "bad": Told("bad")}
    report = compare_models(retriever, models, records, first_stage_k=20, progress=False)
    assert (report.decision.answer, report.decision.system) == ("rerank", "quick")
    assert "Rerank with quick at K = 20" in report.to_markdown()


def test_p_values_are_adjusted_for_every_comparison_that_the_report_shows():
    retriever, records = staged(20, rank=6)
    models = {"one": Told("one", lambda query: "nothing"), "two": Told("two")}
    report = compare_models(retriever, models, records, first_stage_k=20, progress=False)
    raw = [one.p_value for one in report.comparisons]
    assert len(raw) == 3 * len(report.measures)
    assert [one.p_holm for one in report.comparisons] == holm(raw)
