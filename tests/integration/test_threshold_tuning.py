"""`tune_threshold` end to end, on a simulated reranker and real doors."""

import json
import sys

import pytest
from langchain_core.documents import Document

from langchain_rerank import CrossEncoderReranker, CrossEncoderRerankRetriever
from langchain_rerank.errors import ConfigurationError, EvaluationError
from langchain_rerank.evaluation import compare_rerank, tune_threshold
from langchain_rerank.testing import CountingScorer

TEXTS = [f"text {n}" for n in range(5)]


class Scores:
    """Knows odd questions: their first text is right and scores high, that of others low."""

    name = "simulated"

    def score(self, query, texts):
        number = int(query.split()[-1])
        high = 0.9 if number % 2 else 0.2
        return [high - 0.01 * (number % 7) - 0.1 * TEXTS.index(text) for text in texts]


def records(n):
    return [
        {"question": f"question {q}", "qrels": {"0": 1} if q % 2 else {"0": 0}} for q in range(n)
    ]


def retriever(_query):
    return [Document(text, id=str(n)) for n, text in enumerate(TEXTS)]


@pytest.fixture(scope="module")
def tuned():
    return tune_threshold(retriever, Scores(), records(60), progress=False)


def test_the_threshold_parts_what_the_model_knows_from_what_it_does_not(tuned):
    assert 0.2 < tuned.threshold <= 0.84
    point = next(one for one in tuned.points if one.threshold == tuned.threshold)
    assert (point.answered, point.right) == (30, 30)
    # Questions whose labels name nothing relevant: every answer to them is wrong.
    assert (tuned.points[0].answered, tuned.points[0].right) == (60, 30)
    assert (tuned.model, tuned.queries) == ("simulated", 60)


def test_a_retriever_with_that_threshold_returns_what_the_table_says(tuned):
    made = CrossEncoderRerankRetriever(base_retriever=retriever, model=Scores(), top_n=None)
    applied = tuned.apply(made)
    assert (applied.score_threshold, made.score_threshold) == (tuned.threshold, None)
    for point in tuned.points:
        found = [
            made.invoke(one["question"], score_threshold=point.threshold) for one in records(60)
        ]
        assert sum(bool(one) for one in found) == point.answered
    with pytest.raises(ConfigurationError, match="has no score_threshold"):
        tuned.apply(object())
    assert tuned.apply(CrossEncoderReranker(model=Scores())).score_threshold == tuned.threshold


def test_it_shows_itself_in_every_form(tuned, tmp_path, capsys):
    frame = tuned.to_frame()
    assert list(frame["answered"]) == [one.answered for one in tuned.points]
    assert {"threshold", "answered_ci_low", "right_share", "right_ci_high"} <= {*frame.columns}
    assert json.loads(tuned.to_json())["points"][0]["answered"] == 60
    words = f"score_threshold={tuned.threshold}"
    tuned.print()
    assert words in capsys.readouterr().out
    assert words in tuned.to_markdown().replace("\\", "")
    page = tuned.to_html()
    assert words in page
    assert "data:image/svg+xml" in page
    assert "http" not in page.partition("</style>")[2].replace("data:image", "")[:4000]
    assert words in tuned._repr_html_()
    assert tuned.plot().figure.axes
    saved = tuned.save(tmp_path / "out")
    assert sorted(one.suffix for one in saved.iterdir()) == [
        ".csv", ".html", ".json", ".md", ".png",
    ]  # fmt: skip
    assert words in (saved / "threshold.html").read_text("utf-8")
    assert (saved / "threshold.json").read_text("utf-8") == tuned.to_json()


def test_the_reason_gives_the_rule_and_both_shares(tuned):
    for part in ("95 % interval", "no answer 0.5", "50% of the questions, 100% of those right"):
        assert part in tuned.reason
    assert "without a threshold: 100% of the questions, 50% of those right" in tuned.reason


def test_where_no_gain_is_shown_no_threshold_is_recommended():
    found = tune_threshold(
        retriever, Scores(), [{"question": f"question {q}", "qrels": {"0": 1}} for q in range(20)],
        progress=False,
    )  # fmt: skip
    assert found.threshold is None
    assert "No gain is shown over no threshold" in found.reason
    assert "score_threshold=None" in found.to_markdown().replace("\\", "")


def test_few_labels_are_an_error_that_says_how_many():
    scorer = CountingScorer(Scores())
    with pytest.raises(EvaluationError, match="9 labelled questions are too few"):
        tune_threshold(retriever, scorer, records(9), progress=False)
    assert scorer.calls == 0  # before anything is scored


def test_questions_without_labels_are_left_out():
    unlabelled = [{"question": f"question {q}"} for q in range(100, 105)]
    found = tune_threshold(retriever, Scores(), records(12) + unlabelled, progress=False)
    assert found.queries == 12


def test_thresholds_of_ones_own_are_tried_as_they_are():
    found = tune_threshold(
        retriever, Scores(), records(20), thresholds=[0.8, 0.1, 0.8, -1], progress=False
    )
    assert [one.threshold for one in found.points] == [None, -1.0, 0.1, 0.8]


def test_a_journal_of_a_comparison_is_taken_over(tmp_path):
    scorer = CountingScorer(Scores())
    shared = {"journal": tmp_path / "journal.jsonl", "progress": False}
    compare_rerank(retriever, scorer, records(12), **shared)
    scored = len(scorer.texts)
    tune_threshold(retriever, scorer, records(12), resume=True, **shared)
    assert len(scorer.texts) == scored


def test_it_is_saved_without_pandas_and_belongs_to_the_report_beside_it(
    tuned, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pandas", None)
    report = compare_rerank(retriever, Scores(), records(12), progress=False)
    folder = report.save(tmp_path / "out", also=tuned.save)
    lines = (folder / "threshold.csv").read_text().splitlines()
    assert len(lines) == len(tuned.points) + 1
    assert "threshold.json" in json.loads((folder / "report.json").read_text())["files"]
    report.save(folder)
    assert not list(folder.glob("threshold.*"))  # that of another report


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"thresholds": []}, "at least one number"),
        ({"thresholds": ["high"]}, "high"),
        ({"folds": 1}, "folds=1"),
        ({"folds": True}, "folds=True"),
        ({"folds": "3"}, "folds='3'"),
        ({"no_answer": 2}, "no_answer=2"),
        ({"no_answer": "half"}, "no_answer='half'"),
        ({"first_stage_weight": 2}, "first_stage_weight"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    class Unasked(Scores):
        def score(self, query, texts):
            raise AssertionError("scored before the settings were looked at")

    with pytest.raises(ConfigurationError, match=words):
        tune_threshold(retriever, Unasked(), records(12), progress=False, **settings)


def test_what_gives_no_scores_has_no_threshold():
    with pytest.raises(ConfigurationError, match="gives no scores to set a threshold on"):
        tune_threshold(retriever, CrossEncoderReranker(model=Scores()), records(12), progress=False)
