"""The scorers that tests and documentation lean on."""

from __future__ import annotations

import copy
import pickle

import pytest

from langchain_rerank.errors import InputTypeError
from langchain_rerank.testing import CountingScorer, WordOverlapScorer


def test_word_overlap_is_the_share_of_the_querys_words():
    scores = WordOverlapScorer().score("the red FOX", ["a fox, red", "the fox the red", "dog", ""])
    assert scores == [2 / 3, 1.0, 0.0, 0.0]


def test_word_overlap_of_a_query_without_words_is_zero():
    assert WordOverlapScorer().score("...", ["...", "a"]) == [0.0, 0.0]


def test_word_overlap_refuses_what_is_not_a_string():
    with pytest.raises(InputTypeError, match="Text 1 must be a string, got NoneType"):
        WordOverlapScorer().score("q", ["a", None])


async def test_counting_keeps_every_call_and_its_texts():
    scorer = CountingScorer(WordOverlapScorer())
    scorer.score("q", ["a", "b"])
    await scorer.ascore("r", ["c"])
    scorer.score_many([("q", ["d"]), ("r", ["e", "a"])])
    assert scorer.calls == 3
    assert scorer.texts == ["a", "b", "c", "d", "e", "a"]
    assert scorer.asked[2] == [("q", ("d",)), ("r", ("e", "a"))]


def test_counting_passes_on_name_identity_pointwise_and_close():
    inner = CountingScorer(WordOverlapScorer())
    outer = CountingScorer(inner)
    outer.close()
    assert (outer.name, outer.identity, outer.pointwise) == ("word-overlap", "word-overlap", True)
    assert inner.closed


def through_pickle(scorer):
    return pickle.loads(pickle.dumps(scorer))


@pytest.mark.parametrize("clone", [copy.deepcopy, through_pickle])
def test_fakes_can_be_copied(clone):
    scorer = CountingScorer(WordOverlapScorer())
    scorer.score("a", ["a"])
    copied = clone(scorer)
    copied.score("a", ["b"])
    assert (scorer.calls, copied.calls) == (1, 2)
