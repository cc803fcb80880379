"""Long documents: scored by passages, with the best one reported."""

from __future__ import annotations

import pytest

from langchain_rerank.errors import ConfigurationError, InputTypeError
from langchain_rerank.scorers.contract import Passage, Scores
from langchain_rerank.testing import CountingScorer, WordOverlapScorer
from langchain_rerank.wrappers import LongDocumentScorer
from langchain_rerank.wrappers.passages import split_passages

LONG = "zero one two three four five six seven eight nine"


def wrapped(**settings):
    counting = CountingScorer(WordOverlapScorer())
    return LongDocumentScorer(counting, **settings), counting


def test_passages_overlap_and_end_with_the_text():
    passages = split_passages(LONG, 4, 1)
    assert [p.text for p in passages] == [
        "zero one two three",
        "three four five six",
        "six seven eight nine",
    ]


def test_the_last_passage_is_short_where_the_words_run_out():
    assert [p.text for p in split_passages(LONG, 6, 1)] == [
        "zero one two three four five",
        "five six seven eight nine",
    ]


@pytest.mark.parametrize("text", ["", "  \n", " short text "])
def test_a_short_text_is_one_passage_with_its_spaces(text):
    assert split_passages(text, 2, 1) == [Passage(text, 0, len(text))]


def test_scripts_without_spaces_are_cut_between_characters():
    passages = split_passages("深層学習による文書検索", 4, 1)
    assert [p.text for p in passages] == ["深層学習", "習による", "る文書検", "検索"]


def test_a_run_without_end_is_cut():
    passages = split_passages("x" * 100, 1, 0)
    assert [len(p.text) for p in passages] == [32, 32, 32, 4]


def test_max_takes_the_best_passage_and_reports_it():
    scorer, _ = wrapped(passage_words=4, overlap_words=1)
    scores = scorer.score("seven eight", [LONG, "eight", "none"])
    assert scores == [1.0, 0.5, 0.0]
    assert [p.text for p in scores.best_passages] == ["six seven eight nine", "eight", "none"]
    best = scores.best_passages[0]
    assert LONG[best.start : best.end] == best.text


def test_equal_passages_report_the_first():
    scorer, _ = wrapped(passage_words=1, overlap_words=0)
    assert scorer.score("fox", ["fox fox"]).best_passages == [Passage("fox", 0, 3)]


def test_first_scores_the_first_passage_only():
    scorer, counting = wrapped(passage_words=4, overlap_words=0, aggregate="first")
    scores = scorer.score("seven three", [LONG])
    assert scores == [0.5]
    assert counting.texts == ["zero one two three"]
    assert scores.best_passages == [Passage("zero one two three", 0, 18)]


def test_mean_averages_and_reports_the_best():
    scorer, _ = wrapped(passage_words=5, overlap_words=0, aggregate="mean")
    scores = scorer.score("seven eight", [LONG])
    assert scores == [0.5]
    assert scores.best_passages[0].text == "five six seven eight nine"


def test_all_passages_of_all_requests_go_in_one_call():
    scorer, counting = wrapped(passage_words=5, overlap_words=0)
    answers = scorer.score_many([("one", [LONG, "a"]), ("two", []), ("nine", [LONG])])
    assert answers == [[1.0, 0.0], [], [1.0]]
    assert counting.calls == 1
    assert len(counting.texts) == 5


async def test_async_gives_the_same_with_the_passages():
    scorer, _ = wrapped(passage_words=3, overlap_words=1)
    sync = scorer.score("seven", [LONG, ""])
    native = await scorer.ascore("seven", [LONG, ""])
    assert (native, native.best_passages) == (sync, sync.best_passages)


def test_truncated_never_counts_more_than_the_texts():
    class CutsAll(WordOverlapScorer):
        def score(self, query, texts):
            return Scores(super().score(query, texts), truncated=len(texts))

    scorer = LongDocumentScorer(CutsAll(), passage_words=2, overlap_words=0)
    assert scorer.score("q", [LONG, "a"]).truncated == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"passage_words": 0}, "passage_words=0"),
        ({"passage_words": 5, "overlap_words": 5}, "must be from 0 to 4"),
        ({"overlap_words": -1}, "overlap_words=-1"),
        ({"aggregate": "best"}, "aggregate is 'best'; it must be one of max, first, mean"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        LongDocumentScorer(WordOverlapScorer(), **settings)


def test_what_is_not_a_string_is_refused_before_splitting():
    scorer, counting = wrapped()
    with pytest.raises(InputTypeError, match="Text 1"):
        scorer.score("q", ["a", 3])
    assert counting.calls == 0


def test_identity_holds_every_setting_that_changes_scores():
    identities = [
        LongDocumentScorer(WordOverlapScorer(), **settings).identity
        for settings in (
            {},
            {"passage_words": 100},
            {"overlap_words": 10},
            {"aggregate": "mean"},
        )
    ]
    assert all(identities[0] != other for other in identities[1:])
    assert identities[0] == LongDocumentScorer(WordOverlapScorer()).identity


def test_name_says_what_is_underneath():
    assert LongDocumentScorer(WordOverlapScorer()).name == "long-documents(word-overlap)"
