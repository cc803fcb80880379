import numpy as np
import pytest
from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError, EvaluationError
from langchain_rerank.evaluation.compare import compare_rerank
from langchain_rerank.evaluation.threshold import tune_threshold
from langchain_rerank.evaluation.tune import choose_weight, tune_first_stage_weight
from langchain_rerank.first_stage import BM25Retriever
from langchain_rerank.retriever import CrossEncoderRerankRetriever
from langchain_rerank.testing import CountingScorer, WordOverlapScorer

WEIGHTS = [0.0, 0.25, 0.5, 0.75, 1.0]


def simulated(queries, first_stage_skill, reranker_skill, seed=0):
    """A first stage with scores and a reranker, each with its own noise about the one hit."""
    generator = np.random.default_rng(seed)
    documents, scores, records = {}, {}, []
    for n in range(queries):
        hit = int(generator.integers(20))
        first = generator.normal(0.0, 1.0, 20)
        second = generator.normal(0.0, 1.0, 20)
        first[hit] += first_stage_skill
        second[hit] += reranker_skill
        question = f"question {n}"
        documents[question] = [
            Document(
                f"text {n} {d}", id=f"{n}-{d}", metadata={"first_stage_score": float(first[d])}
            )
            for d in np.argsort(-first)
        ]
        scores |= {(question, f"text {n} {d}"): float(second[d]) for d in range(20)}
        records.append({"question": question, "qrels": {f"{n}-{hit}": 1}})

    class Scores:
        name = "simulated"

        def score(self, query, texts):
            return [scores[query, text] for text in texts]

    return (lambda question: documents[question]), Scores(), records


def test_two_independent_opinions_are_mixed_and_the_gain_is_shown():
    retriever, scorer, records = simulated(150, 1.5, 1.5)
    found = tune_first_stage_weight(retriever, scorer, records, progress=False)
    assert found.has_gain
    assert 0.3 <= found.weight <= 0.7
    assert 0.0 < found.ci[0] <= found.gain <= found.ci[1]
    assert "helps" in found.reason


def test_where_the_first_stage_knows_nothing_no_gain_is_claimed():
    claimed = 0
    for seed in range(20):
        retriever, scorer, records = simulated(40, 0.0, 2.0, seed)
        found = tune_first_stage_weight(retriever, scorer, records, weights=WEIGHTS, progress=False)
        claimed += found.has_gain
        if not found.has_gain:
            assert found.weight == 0.0
            assert "No gain is shown" in found.reason
    assert claimed <= 2


def test_a_reranker_that_knows_nothing_is_told_so():
    retriever, scorer, records = simulated(100, 4.0, -6.0)
    found = tune_first_stage_weight(retriever, scorer, records, weights=WEIGHTS, progress=False)
    assert (found.weight, found.has_gain) == (1.0, True)
    assert "adds nothing" in found.reason


def test_every_pair_is_scored_once_whatever_the_number_of_weights():
    retriever, scorer, records = simulated(12, 1.0, 1.0)
    counting = CountingScorer(scorer)
    tune_first_stage_weight(retriever, counting, records, progress=False)
    assert len(counting.texts) == 4 + 12 * 20


def test_the_ends_of_the_curve_are_the_reranker_and_the_first_stage():
    retriever, scorer, records = simulated(30, 1.0, 2.0)
    found = tune_first_stage_weight(retriever, scorer, records, weights=WEIGHTS, progress=False)
    report = compare_rerank(retriever, scorer, records, measures="nDCG@10", progress=False)
    ends = {point.weight: point.mean for point in found.points}
    for weight, system in ((0.0, "reranked"), (1.0, "first_stage")):
        assert ends[weight] == pytest.approx(report.systems[system].measures["nDCG@10"].mean)


def test_a_weight_means_what_it_means_to_the_retriever():
    corpus = [Document(f"word{n % 7} word{n % 5} text {n}", id=str(n)) for n in range(30)]
    records = [
        {"question": f"word{n % 7} word{n % 5} {n}", "qrels": {str(n): 1}} for n in range(12)
    ]
    base = BM25Retriever.from_documents(corpus, k=20)
    found = tune_first_stage_weight(
        base, WordOverlapScorer(), records, first_stage_k=20, weights=[0.4], progress=False
    )
    retriever = CrossEncoderRerankRetriever(
        base_retriever=base,
        model=WordOverlapScorer(),
        first_stage_k=20,
        top_n=None,
        first_stage_weight=0.4,
    )
    alone = compare_rerank(  # the retriever's own order, as a first stage
        retriever, WordOverlapScorer(), records, first_stage_k=20, progress=False
    )
    point = next(point for point in found.points if point.weight == 0.4)
    assert point.mean == pytest.approx(alone.systems["first_stage"].measures["nDCG@10"].mean)


def test_no_query_chooses_its_own_weight():
    # One query gains everything at weight 1 and alone would choose it; all others lose a little.
    values = np.array([[0.0, 1.0], *[[0.5, 0.45]] * 19])
    found = choose_weight(values, [0.0, 1.0], folds=20)
    assert found.best_weight == 1.0
    assert found.fold_weights.count(0.0) == 1
    assert found.gain < 0.0
    assert found.weight == 0.0


def test_a_journal_of_a_comparison_is_taken_over(tmp_path):
    retriever, scorer, records = simulated(12, 1.0, 1.0)
    path = tmp_path / "journal.jsonl"
    compare_rerank(retriever, scorer, records, journal=path, progress=False)
    counting = CountingScorer(scorer)
    tune_first_stage_weight(retriever, counting, records, journal=path, resume=True, progress=False)
    assert counting.texts == []


def test_the_weight_is_applied_to_a_copy():
    retriever, scorer, records = simulated(60, 1.5, 1.5)
    found = tune_first_stage_weight(retriever, scorer, records, progress=False)
    made = CrossEncoderRerankRetriever(base_retriever=retriever, model=scorer)
    assert found.apply(made).first_stage_weight == found.weight > 0.0
    assert made.first_stage_weight == 0.0
    with pytest.raises(ConfigurationError, match="has no first_stage_weight"):
        found.apply(scorer)


def test_four_of_ten_that_gain_and_none_that_loses_show_no_gain():
    values = np.zeros((10, 2))
    values[:4, 1] = 1.0
    found = choose_weight(values, [0.0, 0.5])
    assert found.ci[0] < 0.0 < found.gain
    assert (found.weight, found.has_gain) == (0.0, False)
    assert found.queries_needed > 10
    assert f"At least about {found.queries_needed} queries would show such a gain" in found.reason


def test_too_few_labelled_questions_are_refused():
    retriever, scorer, records = simulated(9, 1.0, 1.0)
    with pytest.raises(EvaluationError, match="9 labelled questions are too few"):
        tune_first_stage_weight(retriever, scorer, records, progress=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"weights": [1.5]},
        {"weights": []},
        {"weights": [-0.5]},
        {"weights": [True]},
        {"weights": ["high"]},
        {"weights": [float("nan")]},
        {"folds": 1},
    ],
)
def test_impossible_settings_are_refused(settings):
    retriever, scorer, records = simulated(10, 1.0, 1.0)
    with pytest.raises(ConfigurationError):
        tune_first_stage_weight(retriever, scorer, records, progress=False, **settings)


@pytest.mark.parametrize("tune", [tune_first_stage_weight, tune_threshold])
def test_questions_that_failed_and_labels_that_match_nothing_are_named(tune):
    retriever, scorer, records = simulated(20, 1.0, 1.0)

    class Failing:
        name = "failing"

        def score(self, query, texts):
            if query.endswith(("3", "7")):
                raise TimeoutError("the server is away")
            return scorer.score(query, texts)

    records[0]["qrels"]["nowhere"] = 1
    found = tune(retriever, Failing(), [*records, {"question": ""}], progress=False)
    invalid, unmatched, failed = found.warnings
    assert "the question is empty" in invalid
    assert "'nowhere'" in unmatched
    assert "4 of 20 labelled questions failed, and count 0" in failed
    assert "'4': TimeoutError: the server is away" in failed
    assert found.queries == 20
    assert tune(retriever, scorer, records[1:], progress=False).warnings == ()
