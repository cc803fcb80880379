"""Laws of reciprocal rank fusion."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.first_stage.fusion import (
    fused_documents,
    normalised_score_fusion,
    reciprocal_rank_fusion,
)

KEYS = st.sampled_from("abcdefgh")
RANKING = st.lists(KEYS, unique=True, max_size=8)
WEIGHT = st.floats(0.01, 10)
WEIGHTED = st.lists(st.tuples(RANKING, WEIGHT), min_size=1, max_size=4)

# Few ids and few texts, so that they meet in every combination.
DOCUMENT = st.builds(
    lambda text, id_, source: Document(text, id=id_, metadata={"source": source}),
    st.sampled_from("xyz"),
    st.none() | st.sampled_from(["1", "2", "3", "x"]),
    st.sampled_from(["a.md", "b.md"]),
)
DOCUMENT_RANKINGS = st.lists(
    st.tuples(st.lists(DOCUMENT, max_size=6), WEIGHT), min_size=1, max_size=3
)


def fuse(weighted, fuse_with=reciprocal_rank_fusion):
    rankings, weights = zip(*weighted, strict=True)
    return fuse_with(rankings, weights=weights)


@given(WEIGHTED, st.randoms())
def test_the_order_of_the_rankings_does_not_matter(weighted, random):
    shuffled = random.sample(weighted, len(weighted))
    assert fuse(shuffled) == fuse(weighted)


@given(WEIGHTED)
def test_every_key_comes_once_with_the_sum_of_the_paper(weighted):
    fused = fuse(weighted)
    assert {key for key, _ in fused} == {key for ranking, _ in weighted for key in ranking}
    assert len(dict(fused)) == len(fused)
    for key, score in fused:
        expected = sum(w / (60 + 1 + r.index(key)) for r, w in weighted if key in r)
        assert score == pytest.approx(expected)


@given(WEIGHTED)
def test_scores_fall(weighted):
    scores = [score for _, score in fuse(weighted)]
    assert scores == sorted(scores, reverse=True)


@given(RANKING, WEIGHT)
def test_one_ranking_alone_keeps_its_order(ranking, weight):
    assert [key for key, _ in fuse([(ranking, weight)])] == ranking


@given(WEIGHTED, KEYS)
def test_moving_up_in_one_ranking_never_lowers_a_key(weighted, key):
    (ranking, weight), *others = weighted
    if key not in ranking:
        ranking = [*ranking, key]
    before = fuse([(ranking, weight), *others])
    up = [key, *(other for other in ranking if other != key)]
    after = fuse([(up, weight), *others])
    assert dict(after)[key] >= dict(before)[key]

    def place(fused):
        return [name for name, _ in fused].index(key)

    assert place(after) <= place(before)


@given(WEIGHTED)
def test_a_second_occurrence_counts_for_nothing(weighted):
    doubled = [([*ranking, *ranking], weight) for ranking, weight in weighted]
    assert fuse(doubled) == fuse(weighted)


@given(WEIGHTED, st.sampled_from([0.5, 2.0, 4.0]))
def test_weights_count_relative_to_each_other(weighted, factor):
    scaled = [(ranking, weight * factor) for ranking, weight in weighted]
    assert [key for key, _ in fuse(scaled)] == [key for key, _ in fuse(weighted)]


@given(DOCUMENT_RANKINGS, st.randoms())
def test_documents_come_in_the_same_order_and_the_same_copies_whatever_the_stages(weighted, random):
    shuffled = random.sample(weighted, len(weighted))
    assert fuse(shuffled, fused_documents) == fuse(weighted, fused_documents)


@given(DOCUMENT_RANKINGS)
def test_every_id_comes_once_and_documents_without_one_once_per_text(weighted):
    before = copy.deepcopy(weighted)
    fused = fuse(weighted, fused_documents)
    found = [document for ranking, _ in weighted for document in ranking]

    ids = [document.id for document in fused if document.id is not None]
    assert len(ids) == len(set(ids))
    assert set(ids) == {document.id for document in found if document.id is not None}

    texts = [document.page_content for document in fused if document.id is None]
    assert len(texts) == len(set(texts))
    for document in found:
        if document.id is None and document.page_content not in texts:
            same = {one.id for one in found if one.page_content == document.page_content}
            assert len(same - {None}) == 1
    assert weighted == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weights": [1.0]}, "1 weights for 2 rankings"),
        ({"weights": [0.0, 0.0]}, "one of them above"),
        ({"weights": [1.0, float("nan")]}, "at least 0"),
        ({"weights": [1.0, -1.0]}, "at least 0"),
        ({"c": -1}, "c=-1"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        reciprocal_rank_fusion([["a"], ["b"]], **arguments)


SCORED = st.lists(
    st.tuples(
        st.dictionaries(KEYS, st.floats(allow_nan=False, allow_infinity=False), max_size=8).map(
            lambda scores: sorted(scores.items(), key=lambda one: -one[1])
        ),
        WEIGHT,
    ),
    min_size=1,
    max_size=4,
)


@given(SCORED, st.randoms())
def test_fused_scores_lie_between_0_and_1_and_the_order_of_the_rankings_does_not_matter(
    weighted, random
):
    fused = fuse(weighted, normalised_score_fusion)
    assert {key for key, _ in fused} == {key for ranking, _ in weighted for key, _ in ranking}
    assert all(-1e-9 <= score <= 1 + 1e-9 for _, score in fused)
    assert fuse(random.sample(weighted, len(weighted)), normalised_score_fusion) == fused


@given(WEIGHTED, RANKING)
def test_a_ranking_of_weight_0_changes_nothing(weighted, ranking):
    assert fuse([*weighted, (ranking, 0.0)]) == fuse(weighted)


def test_keys_of_several_types_are_ordered_all_the_same():
    one, other = [1, "a", (2,)], ["b", 1, None]
    assert reciprocal_rank_fusion([one, other]) == reciprocal_rank_fusion([other, one])
