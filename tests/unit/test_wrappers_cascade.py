"""The cascade: the small scorer narrows, the large one finishes, the order holds."""

from __future__ import annotations

import copy
import math
import pickle

import pytest

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.ranking import order
from langchain_rerank.scorers.contract import Passage, Scores
from langchain_rerank.testing import CountingScorer, WordOverlapScorer
from langchain_rerank.wrappers import CachedScorer, CascadeScorer


class TableScorer:
    """Looks scores up."""

    def __init__(self, table, **notes):
        self.table = table
        self.notes = notes

    def score(self, query, texts):
        return Scores([self.table[text] for text in texts], **self.notes)


SMALL = {"a": 0.9, "b": 0.8, "c": 0.3, "d": 0.2, "e": 0.1}
LARGE = {"a": -7.0, "b": -2.0, "c": 5.0, "d": 6.0, "e": 7.0}


def test_the_head_has_the_large_scores_and_the_tail_ranks_below_in_small_order():
    scorer = CascadeScorer(TableScorer(SMALL), TableScorer(LARGE), keep=2)
    assert scorer.score("q", ["e", "b", "d", "a", "c"]) == [-10.0, -2.0, -9.0, -7.0, -8.0]


def test_the_large_scorer_is_given_the_kept_texts_only():
    small, large = CountingScorer(TableScorer(SMALL)), CountingScorer(TableScorer(LARGE))
    CascadeScorer(small, large, keep=3).score("q", [*"edcba"])
    assert small.asked == [[("q", ("e", "d", "c", "b", "a"))]]
    assert large.asked == [[("q", ("a", "b", "c"))]]


def test_up_to_keep_texts_all_have_the_large_scores():
    scorer = CascadeScorer(TableScorer(SMALL), TableScorer(LARGE), keep=5)
    assert scorer.score("q", [*"edcba"]) == [LARGE[text] for text in "edcba"]


def test_several_requests_take_one_call_to_each_scorer():
    small, large = CountingScorer(TableScorer(SMALL)), CountingScorer(TableScorer(LARGE))
    scorer = CascadeScorer(small, large, keep=1)
    assert scorer.score_many([("q", ["a", "b"]), ("r", []), ("s", ["c", "a", "d"])]) == [
        [-7.0, -8.0],
        [],
        [-8.0, -7.0, -9.0],
    ]
    assert (small.calls, large.calls) == (1, 1)


async def test_async_gives_the_same():
    scorer = CascadeScorer(TableScorer(SMALL), TableScorer(LARGE), keep=2)
    assert await scorer.ascore("q", [*"edcba"]) == scorer.score("q", [*"edcba"])


def test_equal_texts_share_a_score_and_fill_one_place():
    large = CountingScorer(TableScorer(LARGE))
    scorer = CascadeScorer(TableScorer(SMALL), large, keep=2)
    assert scorer.score("q", ["a", "c", "a", "b", "c"]) == [-7.0, -8.0, -7.0, -2.0, -8.0]
    assert large.texts == ["a", "b"]


def test_ties_of_the_small_scorer_stay_ties_in_the_tail():
    scorer = CascadeScorer(
        TableScorer({"a": 1.0, "b": 0.5, "c": 0.5, "d": 0.0}), TableScorer(LARGE), keep=1
    )
    assert scorer.score("q", [*"abcd"]) == [-7.0, -8.0, -8.0, -9.0]


@pytest.mark.parametrize("lowest", [-1e300, -1e17, -1e-300, 0.0, 1e17, 1e300])
def test_the_tail_stays_finite_distinct_and_below_at_any_scale(lowest):
    texts = [f"{i:03}" for i in range(200)]
    small = TableScorer({text: -i * 1e-12 for i, text in enumerate(texts)})
    large = TableScorer({text: lowest if i else abs(lowest) for i, text in enumerate(texts)})
    scores = CascadeScorer(small, large, keep=2).score("q", texts)
    assert all(math.isfinite(score) for score in scores)
    assert len(set(scores[1:])) == 199
    assert order(scores) == list(range(200))


def test_truncation_and_passages_come_from_whoever_scored_the_text():
    head, tail = Passage("L", 0, 1), Passage("S", 2, 3)
    small = TableScorer(SMALL, truncated=2, best_passages=[tail] * 3)
    large = TableScorer(LARGE, truncated=1, best_passages=[head])
    scores = CascadeScorer(small, large, keep=1).score("q", ["c", "a", "b"])
    assert scores.best_passages == [tail, head, tail]
    assert scores.truncated == 2


def test_without_passages_none_are_reported():
    scores = CascadeScorer(TableScorer(SMALL), TableScorer(LARGE)).score("q", ["a"])
    assert scores.best_passages is None


def test_it_declares_itself_listwise():
    assert CascadeScorer(WordOverlapScorer(), WordOverlapScorer()).pointwise is False


def test_keep_below_one_is_refused():
    with pytest.raises(ConfigurationError, match="keep=0"):
        CascadeScorer(WordOverlapScorer(), WordOverlapScorer(), keep=0)


def test_identity_is_composed_or_absent():
    one = CascadeScorer(WordOverlapScorer(), WordOverlapScorer(), keep=1)
    two = CascadeScorer(WordOverlapScorer(), WordOverlapScorer(), keep=2)
    assert one.identity != two.identity
    assert CascadeScorer(WordOverlapScorer(), TableScorer({})).identity is None


def test_close_closes_both():
    small, large = CountingScorer(WordOverlapScorer()), CountingScorer(WordOverlapScorer())
    CascadeScorer(small, large).close()
    assert small.closed
    assert large.closed


def through_pickle(scorer):
    return pickle.loads(pickle.dumps(scorer))


@pytest.mark.parametrize("clone", [copy.deepcopy, through_pickle])
def test_a_stack_can_be_copied(clone):
    stack = CascadeScorer(CachedScorer(WordOverlapScorer()), WordOverlapScorer(), keep=1)
    texts = ["red fox", "fox", "hen"]
    assert clone(stack).score("red fox", texts) == stack.score("red fox", texts)
