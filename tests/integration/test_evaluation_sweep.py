import hashlib
import math
import random
import re
from dataclasses import replace

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_rerank.errors import ConfigurationError, EvaluationError, InputTypeError
from langchain_rerank.evaluation.compare import compare_rerank
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.report.rendering.view import view
from langchain_rerank.evaluation.sweep import sweep_k
from langchain_rerank.first_stage import BM25Retriever, DenseRetriever, hybrid_retriever
from langchain_rerank.retriever import CrossEncoderRerankRetriever
from langchain_rerank.testing import CountingScorer, WordOverlapScorer

WORDS = [f"w{n}" for n in range(40)]
KS = [10, 20, 30, 50, 75, 100]


class WordVectors(Embeddings):
    """A bag of words as a vector: exact, and the same in every process."""

    def embed_query(self, text):
        vector = [0.0] * 64
        for word in text.split():
            vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % 64] += 1.0
        norm = math.sqrt(sum(x * x for x in vector)) or 1.0
        return [x / norm for x in vector]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


def collection(queries=25, documents=200):
    chance = random.Random(3)
    corpus = [
        Document(" ".join(chance.choices(WORDS, k=8)), id=f"d{n}", metadata={"n": n})
        for n in range(documents)
    ]
    records = []
    for n in range(queries):
        target = corpus[n * 7 % documents]
        words = chance.sample(target.page_content.split(), 4)
        records.append({"question": " ".join(words), "qrels": {target.id: 1}})
    return corpus, records


def depths(report):
    """Return the points at which something is reranked."""
    assert report.sweep.points[0].k == 0
    return report.sweep.points[1:]


def first_stage(kind, corpus):
    if kind == "bm25":
        return BM25Retriever.from_documents(corpus, k=10)
    store = InMemoryVectorStore(WordVectors())
    store.add_documents(corpus)
    if kind == "dense":
        return DenseRetriever(vectorstore=store, k=10)
    if kind == "store":
        return store.as_retriever()
    return hybrid_retriever(corpus, WordVectors())


@pytest.mark.parametrize("kind", ["store", "bm25", "dense", "hybrid"])
def test_every_mean_equals_a_separate_evaluation_at_that_depth_for_a_third_more_pairs(kind):
    corpus, records = collection()
    scorer = CountingScorer(WordOverlapScorer())
    base = first_stage(kind, corpus)
    names = ["nDCG@10", "RR@10", "R@100"]
    report = sweep_k(base, scorer, records, KS, measures=names, progress=False)
    in_sweep = len(scorer.texts)
    for point in depths(report):
        scorer.asked.clear()
        alone = compare_rerank(
            base, scorer, records, first_stage_k=point.k, measures=names, progress=False
        )
        assert point.measures == alone.systems["reranked"].measures
        assert point.oracle == pytest.approx(alone.loss_split[0].oracle, abs=0.0)
    at_hundred = len(scorer.texts)
    assert in_sweep <= 1.3 * at_hundred
    assert in_sweep >= report.sweep.scored_pairs + report.sweep.latency_pairs


def test_the_systems_are_not_reranking_and_the_best_depth_that_reranks():
    corpus, records = collection()
    report = sweep_k(first_stage("bm25", corpus), WordOverlapScorer(), records, KS, progress=False)
    k = report.decision.compared_k
    assert k == (report.recommended_k or k) > 0
    point = next(one for one in report.sweep.points if one.k == k)
    assert report.systems["reranked"].measures == point.measures
    assert report.systems["first_stage"].measures == report.sweep.points[0].measures
    assert report.to_dict()["recommended_k"] == report.recommended_k
    assert all(len(row.systems["reranked"].ids) <= k for row in report.queries)
    assert report.loss_split[0].k == k
    for one in report.sweep.points:
        assert one.missed + one.misordered == pytest.approx(1.0 - one.measures["nDCG@10"].mean)


def test_what_no_ranking_can_reach_was_not_missed_at_any_depth():
    corpus, records = collection(8)
    settings = {"measures": "P@10", "latency_queries": 0, "progress": False}
    report = sweep_k(first_stage("bm25", corpus), WordOverlapScorer(), records, [5, 50], **settings)
    for one in report.sweep.points:
        assert one.missed == pytest.approx(0.1 - one.oracle)
        assert one.misordered == pytest.approx(one.oracle - one.measures["P@10"].mean)


def test_latency_is_measured_at_every_depth_and_a_budget_is_applied():
    corpus, records = collection()
    report = sweep_k(
        first_stage("bm25", corpus),
        WordOverlapScorer(),
        records,
        KS,
        latency_queries=10,
        budget_ms=1e9,
        progress=False,
    )
    for point in report.sweep.points:
        assert {stage: one.n for stage, one in point.latency.items()} == {
            "first_stage": 10,
            "rerank": 10,
            "total": 10,
        }
        assert point.within_budget is True
    assert 9 * sum(KS) < report.sweep.latency_pairs <= 10 * sum(KS)  # one has fewer matches
    tight = sweep_k(
        first_stage("bm25", corpus),
        WordOverlapScorer(),
        records,
        KS,
        latency_queries=10,
        budget_ms=1e-9,
        progress=False,
    )
    assert (tight.sweep.verdict, tight.recommended_k) == ("over_budget", 0)
    assert tight.decision.answer == "do_not_rerank"
    assert "Nothing that reranks is within the budget" in tight.sweep.reason


def test_a_budget_is_decided_by_at_least_ten_timed_questions_or_not_at_all():
    corpus, records = collection(queries=12)
    base, scorer = first_stage("bm25", corpus), WordOverlapScorer()
    report = sweep_k(base, scorer, records, KS, budget_ms=1e9, progress=False)
    assert {one.latency["total"].n for one in report.sweep.points} == {10}
    with pytest.raises(ConfigurationError, match="latency_queries=9 with budget_ms=5: a budget is"):
        sweep_k(base, scorer, records, KS, budget_ms=5, latency_queries=9, progress=False)
    few = sweep_k(base, scorer, records[:9], KS, budget_ms=1e-9, progress=False)
    assert {one.within_budget for one in few.sweep.points} == {None}
    assert few.sweep.verdict != "over_budget"
    assert [one for one in few.warnings if "budget of 1e-09 ms was not applied" in one]


@pytest.mark.parametrize(
    "settings",
    [
        {"latency_queries": -1},
        {"latency_queries": 1.5},
        {"latency_queries": True},
        {"budget_ms": float("nan")},
        {"budget_ms": "5"},
        {"margin": float("nan")},
        {"margin": "0.1"},
    ],
    ids=str,
)
def test_what_a_sweep_cannot_be_asked_is_refused_before_it_scores(settings):
    corpus, records = collection(queries=2)
    scorer = CountingScorer(WordOverlapScorer())
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        sweep_k(first_stage("bm25", corpus), scorer, records, KS, progress=False, **settings)
    assert scorer.calls == 0


@pytest.mark.parametrize("ks", [50, "50", [True], ["50"], [0]], ids=repr)
def test_depths_that_are_no_list_of_whole_numbers_are_refused(ks):
    corpus, records = collection(queries=2)
    with pytest.raises((ConfigurationError, InputTypeError), match="ks"):
        sweep_k(first_stage("bm25", corpus), WordOverlapScorer(), records, ks, progress=False)


def test_where_latency_would_cost_too_much_it_is_left_out_and_said():
    corpus, records = collection(queries=6)
    report = sweep_k(first_stage("bm25", corpus), WordOverlapScorer(), records, KS, progress=False)
    assert report.sweep.points[0].latency == {}
    assert any("latency_queries" in warning for warning in report.warnings)


def test_a_first_stage_that_is_not_prefix_consistent_is_asked_per_depth_and_pairs_scored_once():
    corpus, records = collection()
    base = first_stage("bm25", corpus)

    class Diverse(BM25Retriever):
        """The better half of the depth, and the worse half of twice the depth."""

        def _get_relevant_documents(self, query, *, run_manager, **kwargs):
            wide = base.invoke(query, k=2 * self.k)
            return wide[: self.k // 2] + wide[len(wide) - self.k // 2 :]

    diverse = Diverse(documents=base.documents, index=base.index, k=10)
    scorer = CountingScorer(WordOverlapScorer())
    ks = [10, 20, 40]
    report = sweep_k(diverse, scorer, records, ks, latency_queries=0, progress=False)
    assert not report.sweep.single_pass
    assert "not prefix-consistent" in report.sweep.checks[0]
    pairs = [(query, text) for asked in scorer.asked for query, texts in asked for text in texts]
    by_query = report.sweep.scored_pairs
    assert len(pairs) <= by_query + 4  # and the warm-up
    for point in depths(report):
        alone = compare_rerank(
            diverse, WordOverlapScorer(), records, first_stage_k=point.k, progress=False
        )
        assert point.measures == alone.systems["reranked"].measures


class Relative(WordOverlapScorer):
    """Ranks the texts against each other: no score stands by itself."""

    def score(self, query, texts):
        scores = super().score(query, texts)
        mean = sum(scores) / max(1, len(scores))
        return [-abs(score - mean) for score in scores]


class Declared(Relative):
    pointwise = False


@pytest.mark.parametrize("scorer", [Relative(), Declared()])
def test_a_scorer_that_is_not_pointwise_is_asked_per_depth_whether_it_says_so_or_not(scorer):
    corpus, records = collection()
    base = first_stage("bm25", corpus)
    report = sweep_k(base, scorer, records, [10, 40], latency_queries=0, progress=False)
    assert not report.sweep.single_pass
    assert "is not pointwise" in report.sweep.checks[1]
    for point in depths(report):
        alone = compare_rerank(base, scorer, records, first_stage_k=point.k, progress=False)
        assert point.measures == alone.systems["reranked"].measures


def test_quality_that_falls_with_depth_is_a_warning():
    corpus, records = collection()

    class Reversed(WordOverlapScorer):
        def score(self, query, texts):
            return [-score for score in super().score(query, texts)]

    report = sweep_k(
        first_stage("bm25", corpus), Reversed(), records, [10, 100], measures="RR", progress=False
    )
    assert report.recommended_k == 0
    assert report.decision.answer == "do_not_rerank"
    assert any("Quality falls beyond K=0" in warning for warning in report.warnings)


def test_bad_records_are_kept_apart_and_the_rest_is_swept():
    corpus, records = collection()
    base = first_stage("bm25", corpus)

    def flaky(question):
        if question == "raise":
            raise TimeoutError("away")
        return base.invoke(question, k=40)

    records += [
        {"id": "empty", "question": ""},
        {"id": "raises", "question": "raise", "qrels": {"d1": 1}},
        {"id": "open", "question": "w1 w2"},
    ]
    report = sweep_k(flaky, WordOverlapScorer(), records, [10, 40], progress=False)
    assert report.counts == {"ok": 25, "failed": 1, "unlabelled": 1, "invalid": 1}
    assert report.sweep.points[0].measures["nDCG@10"].n == 26
    assert report.sweep.single_pass


def test_no_label_at_all_is_an_error_that_says_where_labels_come_from():
    corpus, _ = collection()
    with pytest.raises(EvaluationError, match="judge_relevance"):
        sweep_k(
            first_stage("bm25", corpus), WordOverlapScorer(), [{"question": "w1"}], progress=False
        )


def test_a_finished_sweep_resumes_without_scoring(tmp_path):
    corpus, records = collection()
    base, path = first_stage("bm25", corpus), tmp_path / "journal.jsonl"
    settings = {"journal": path, "latency_queries": 0, "progress": False}
    one = sweep_k(base, WordOverlapScorer(), records, KS, **settings)
    scorer = CountingScorer(WordOverlapScorer())
    two = sweep_k(base, scorer, records, KS, resume=True, **settings)
    assert two.sweep == one.sweep
    assert len(scorer.texts) <= 2 * KS[0]  # the check that the scorer is pointwise


def test_a_journal_of_a_comparison_at_the_largest_depth_is_taken_over(tmp_path):
    corpus, records = collection()
    base, path = first_stage("bm25", corpus), tmp_path / "journal.jsonl"
    compare_rerank(
        base, WordOverlapScorer(), records, first_stage_k=40, journal=path, progress=False
    )
    scorer = CountingScorer(WordOverlapScorer())
    settings = {"journal": path, "resume": True, "latency_queries": 0, "progress": False}
    for ks in ([10, 40], [10, 20, 40]):
        sweep_k(base, scorer, records, ks, **settings)
    assert len(scorer.texts) <= 2 * 2 * 10  # the checks that the scorer is pointwise


def test_the_choice_is_applied_to_a_copy():
    corpus, records = collection()
    base = first_stage("bm25", corpus)
    report = sweep_k(base, WordOverlapScorer(), records, [20, 40], progress=False)
    reranking = CrossEncoderRerankRetriever(base_retriever=base, model=WordOverlapScorer(), top_n=7)
    chosen = replace(report, sweep=replace(report.sweep, recommended_k=20))
    assert chosen.apply(reranking).first_stage_k == 20
    assert reranking.first_stage_k == 50
    assert chosen.apply(base).k == 20
    none = replace(report, sweep=replace(report.sweep, recommended_k=0))
    assert len(none.apply(reranking).invoke("w1 w2 w3")) == 7
    assert isinstance(none.apply(reranking), BM25Retriever)
    assert none.apply(base) is base
    plain = compare_rerank(base, WordOverlapScorer(), records, progress=False)
    with pytest.raises(ConfigurationError, match="no report of sweep_k"):
        plain.apply(reranking)


@pytest.mark.parametrize(
    "settings", [{"ks": []}, {"ks": [0]}, {"margin": -0.1}, {"margin": 1.0}, {"budget_ms": 0}]
)
def test_impossible_settings_are_refused(settings):
    corpus, records = collection(queries=2)
    with pytest.raises(ConfigurationError):
        sweep_k(
            first_stage("bm25", corpus), WordOverlapScorer(), records, progress=False, **settings
        )


class Oracle:
    """Puts first what it is told to, and the rest in reverse."""

    name = "oracle"

    def __init__(self, wanted):
        self.wanted = wanted

    def score(self, query, texts):
        return [
            1000.0 if one == self.wanted.get(query) else float(n) for n, one in enumerate(texts)
        ]


def ranked(questions, documents=100, hit_at=lambda n: 0):
    """Return a first stage with one relevant document per question at a known rank, and labels."""
    found, records = {}, []
    for n in range(questions):
        question = f"question {n}"
        found[question] = [
            Document(f"text {n} {d}", id=f"{n}-{d}", metadata={"source": "one"})
            for d in range(documents)
        ]
        records.append({"question": question, "qrels": {f"{n}-{hit_at(n)}": 1}})
    return (lambda question: found[question]), records


def test_a_perfect_first_stage_and_a_bad_reranker_are_told_not_to_rerank():
    retriever, records = ranked(100)
    report = sweep_k(retriever, Oracle({}), records, [10, 50], latency_queries=0, progress=False)
    assert (report.recommended_k, report.sweep.verdict) == (0, "recommended")
    assert report.decision.answer == "do_not_rerank"
    first = report.to_markdown().split("\n\n")[1]
    assert first.startswith(
        "Do not rerank: the best that does, with K = 10, takes nDCG@10 from 1.000"
    )
    assert "Use K" not in report.to_markdown()
    assert [point.pareto for point in report.sweep.points] == [True, False, False]


def test_ten_questions_that_the_first_stage_answers_perfectly_choose_no_depth():
    retriever, records = ranked(10)
    best = {f"question {n}": f"text {n} 0" for n in range(10)}
    report = sweep_k(retriever, Oracle(best), records, [10, 50], latency_queries=0, progress=False)
    assert (report.recommended_k, report.sweep.verdict) == (0, "inconclusive")
    assert report.decision.answer == "undecided"
    assert report.sweep.queries_needed == 322
    assert "at least about 322 questions would settle it" in report.to_markdown()


def test_a_reranker_that_finds_what_lies_deep_is_recommended_with_its_depth():
    retriever, records = ranked(100, hit_at=lambda _: 30)
    best = {f"question {n}": f"text {n} 30" for n in range(100)}
    report = sweep_k(
        retriever, Oracle(best), records, [5, 50, 100], latency_queries=12, progress=False
    )
    assert (report.recommended_k, report.sweep.verdict) == (50, "recommended")
    assert report.decision.answer == "rerank"
    first = report.to_markdown().split("\n\n")[1]
    assert first.startswith("Rerank with K = 50: that takes nDCG@10 from 0.000 to 1.000 (+1.000")
    assert "ms a query at the median" in first
    assert report.decision.added_ms == pytest.approx(
        report.sweep.points[2].latency["total"].p50 - report.sweep.points[0].latency["total"].p50
    )
    assert report.to_markdown().count("with K = 5 that is fewer than nDCG@10 looks at") == 1


@pytest.mark.parametrize(
    "relevance",
    [
        Relevance(rule=lambda record, document: int(document.id.endswith("-60"))),
        Relevance(rule="expected_source", chunks="chunk"),
    ],
    ids=["a callable rule", "chunks by themselves"],
)
def test_every_depth_is_judged_against_what_all_depths_found(relevance):
    # One relevant document at rank 61; or 100 chunks of the source that is wanted.
    retriever, records = ranked(12)
    records = [{"question": one["question"], "expected_source": "one"} for one in records]
    best = {f"question {n}": f"text {n} 60" for n in range(12)}
    report = sweep_k(
        retriever,
        Oracle(best),
        records,
        [10, 50, 100],
        measures=["R@100"],
        relevance=relevance,
        latency_queries=0,
        progress=False,
    )
    means = [point.measures["R@100"].mean for point in depths(report)]
    callable_rule = callable(relevance.rule)
    assert means == pytest.approx([0.0, 0.0, 1.0] if callable_rule else [0.1, 0.5, 1.0])
    assert {len(row.qrels) for row in report.queries} == {100}


def test_each_record_is_judged_once_whatever_the_number_of_depths():
    retriever, records = ranked(6)
    asked = []

    def rule(record, document):
        asked.append((record.id, document.id))
        return int(document.id.endswith("-3"))

    sweep_k(
        retriever,
        Oracle({}),
        records,
        [10, 50, 100],
        relevance=Relevance(rule=rule),
        latency_queries=0,
        progress=False,
    )
    assert len(asked) == len(set(asked)) == 600


def test_not_reranking_shows_as_many_documents_as_are_looked_at():
    retriever, records = ranked(8, hit_at=lambda _: 7)
    settings = {"latency_queries": 0, "progress": False}
    report = sweep_k(retriever, Oracle({}), records, [5], **settings)
    zero, five = report.sweep.points
    assert zero.measures["Success@1"].mean == five.measures["Success@1"].mean == 0.0
    assert zero.measures["RR@10"].mean == pytest.approx(1 / 8)
    assert five.measures["RR@10"].mean == 0.0
    assert report.sweep.scored_pairs - 2 * 5 <= 8 * 5
    retriever, records = ranked(8, hit_at=lambda _: 4)
    for top_n, shown in ((3, 0.0), (5, 1 / 5)):
        cut = sweep_k(retriever, Oracle({}), records, [5], top_n=top_n, **settings)
        assert cut.sweep.points[0].measures["RR@10"].mean == pytest.approx(shown)


def test_nothing_is_said_twice():
    corpus, records = collection(queries=12)
    report = sweep_k(first_stage("bm25", corpus), WordOverlapScorer(), records, KS, progress=False)
    shown = view(report)
    said = [*shown.headlines, *shown.warnings, *(one.note or "" for one in shown.tables)]
    sentences = [part for one in said for part in re.split(r"(?<=[.!?]) (?=[A-Z])", one) if part]
    assert len(sentences) > 10
    assert len(sentences) == len(set(sentences))
    assert sum("would settle it" in one for one in sentences) == 1
    assert sum(report.sweep.reason in one for one in said) == 1
