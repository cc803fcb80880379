"""Batches and shares: the pure part of the engine."""

from langchain_rerank.scorers.engine.plan import plan_batches, share_out


def test_the_longest_texts_come_first_and_neighbours_are_alike():
    assert plan_batches([5, 50, 7, 48], 100, padded=True) == [[1, 3], [2, 0]]


def test_a_padded_batch_pays_for_its_longest_row():
    lengths = [100, 10, 10, 10]
    assert plan_batches(lengths, 130, padded=False) == [[0, 1, 2, 3]]
    assert plan_batches(lengths, 130, padded=True) == [[0], [1, 2, 3]]


def test_a_text_above_the_budget_gets_a_batch_of_its_own():
    assert plan_batches([900, 3], 100, padded=False) == [[0], [1]]


def test_no_texts_make_no_batches():
    assert plan_batches([], 100, padded=False) == []
    assert share_out([], 100) == []


def test_a_small_request_is_served_whole_beside_a_large_one():
    assert share_out([10_000, 5], 256) == [(0, 251), (1, 5)]


def test_the_oldest_request_keeps_half_of_the_room():
    assert share_out([1000, 1000, 3], 100) == [(0, 50), (1, 47), (2, 3)]
