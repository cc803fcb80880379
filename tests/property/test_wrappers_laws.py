"""Laws that hold for any input: splitting is exact, wrappers keep what they wrap."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from langchain_rerank.ranking import order
from langchain_rerank.testing import CountingScorer, WordOverlapScorer
from langchain_rerank.wrappers import CachedScorer, CascadeScorer, LongDocumentScorer
from langchain_rerank.wrappers.passages import split_passages

words = st.sampled_from(["red", "fox", "hen", "日本", "x" * 70, "Äpfel", "a,b"])
texts = st.lists(
    st.one_of(
        st.lists(words, max_size=12).map(" ".join), st.text(max_size=40), st.just(" \n red\tfox ")
    ),
    max_size=8,
)
queries = st.lists(words, min_size=1, max_size=3).map(" ".join)
sizes = st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1)))


@given(st.one_of(st.text(max_size=200), texts.map("\n".join)), sizes)
def test_passages_are_slices_in_order_that_leave_nothing_but_space_out(text, size):
    passages = split_passages(text, *size)
    assert all(p.text == text[p.start : p.end] for p in passages)
    starts, ends = [p.start for p in passages], [p.end for p in passages]
    assert starts == sorted(set(starts))
    assert ends == sorted(set(ends))
    between = [text[left.end : right.start] for left, right in pairwise(passages)]
    assert "".join([text[: starts[0]], *between, text[ends[-1] :]]).strip() == ""


@given(texts.map("\n".join), sizes)
def test_no_passage_is_longer_than_asked_and_neighbours_share_the_overlap(text, size):
    passage_words, overlap_words = size
    passages = split_passages(text, passage_words, overlap_words)
    for p in passages:
        assert len(split_passages(p.text, passage_words, 0)) == 1
    for left, right in pairwise(passages):
        shared = text[right.start : left.end]
        one_word_each = split_passages(shared, 1, 0) if shared else []
        assert len(one_word_each) == overlap_words


@given(queries, texts, sizes)
def test_the_maximum_of_the_passages_is_the_score_of_the_best_one(query, texts, size):
    scores = LongDocumentScorer(
        WordOverlapScorer(), passage_words=size[0], overlap_words=size[1]
    ).score(query, texts)
    best = [p.text for p in scores.best_passages or []]
    assert WordOverlapScorer().score(query, best) == scores


@given(st.lists(st.tuples(queries, texts), max_size=4))
def test_a_cache_changes_no_score_and_asks_nothing_twice(requests):
    counting = CountingScorer(WordOverlapScorer())
    cached = CachedScorer(counting)
    plain = [WordOverlapScorer().score(query, texts) for query, texts in requests]
    assert cached.score_many(requests) == plain
    assert [cached.score(query, texts) for query, texts in requests] == plain
    pairs = [(query, text) for asks in counting.asked for query, asked in asks for text in asked]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == {(query, text) for query, texts in requests for text in texts}


@given(queries, texts, st.integers(1, 9), st.randoms())
def test_a_cascade_ranks_head_then_tail_whatever_the_order_of_the_texts(query, texts, keep, random):
    small, large = WordOverlapScorer(), CountingScorer(LengthScorer())
    cascade = CascadeScorer(small, large, keep=keep)
    scores = cascade.score(query, texts)
    finished = set(large.texts)
    assert len(finished) == min(keep, len(set(texts)))
    by_text = dict(zip(texts, scores, strict=True))
    assert all(by_text[text] == -len(text) for text in finished)
    cut = [text for text in texts if text not in finished]
    assert all(by_text[text] < -len(kept) for text in cut for kept in finished)
    assert order([by_text[text] for text in cut]) == order(small.score(query, cut))
    shuffled = random.sample(texts, len(texts))
    assert cascade.score(query, shuffled) == [by_text[text] for text in shuffled]


class LengthScorer:
    def score(self, query, texts):
        return [-float(len(text)) for text in texts]
