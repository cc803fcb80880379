"""Which threshold: the pure rule, on rankings."""

import io
import itertools
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import beta

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.report.threshold import ThresholdTuning
from langchain_rerank.evaluation.score.thresholds import (
    MOST_TRIED,
    choose_threshold,
    thresholds_between,
)

RANKINGS = st.lists(
    st.one_of(
        st.none(),
        st.lists(st.tuples(st.floats(-20, 20, allow_nan=False), st.booleans()), max_size=4),
    ),
    min_size=10,
    max_size=30,
)


def drawn(n, seed, informative=True):
    """Questions of which half have a right first document, whose score says so or does not."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        right = bool(generator.integers(2))
        score = generator.normal(1.5 if right and informative else 0.0, 1.0)
        found.append([(float(score), right), (float(score) - 1.0, not right)])
    return found


def clopper_pearson(hits, n):
    low = beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0
    return low, high


@settings(max_examples=60, deadline=None)
@given(RANKINGS, st.floats(0.1, 0.9))
def test_whatever_the_rankings_every_figure_is_one(rankings, no_answer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = choose_threshold(rankings, no_answer=no_answer)
    assert found.points[0].threshold is None
    assert found.threshold in [one.threshold for one in found.points]
    assert found.has_gain == (found.threshold is not None)
    assert -1.0 <= found.ci[0] <= found.gain <= found.ci[1] <= 1.0
    for before, after in itertools.pairwise(found.points):
        assert after.answered <= before.answered
    for one in found.points:
        assert one.right <= one.answered <= sum(bool(ranking) for ranking in rankings)
        assert (one.right_share is None) == (one.answered == 0)
        figures = [one.answered_share, *one.answered_ci, one.worth, *(one.right_ci or ())]
        assert all(math.isfinite(value) for value in figures)
    shown = ThresholdTuning(**vars(found), model="m", queries=len(rankings), no_answer=no_answer)
    assert json.loads(shown.to_json())["threshold"] == found.threshold
    assert shown.to_markdown()


def test_a_tuned_threshold_shows_what_to_know_about_its_questions():
    rankings = [[(0.9, True)], [(0.2, False)]] * 6
    said = "2 of 12 labelled questions failed."
    found = ThresholdTuning(
        **vars(choose_threshold(rankings)), model="m", queries=12, no_answer=0.5, warnings=(said,)
    )
    assert said in found.to_markdown()
    assert said in found._repr_html_()
    console = Console(file=io.StringIO(), width=80)
    console.print(found)
    assert f"Warning: {said}" in console.file.getvalue()


@settings(max_examples=60, deadline=None)
@given(RANKINGS)
def test_every_threshold_tried_parts_the_questions_that_are_answered(rankings):
    tried = thresholds_between(rankings)
    assert tried == sorted(set(tried))
    assert len(tried) <= MOST_TRIED
    counts = [
        sum(any(score >= one for score, _ in ranking) for ranking in rankings if ranking)
        for one in tried
    ]
    assert all(count >= 1 for count in counts)
    assert counts == sorted(set(counts), reverse=True)


def test_a_point_counts_what_a_retriever_would_return():
    rankings = [
        [(0.9, True), (0.8, False)],
        [(0.6, False), (0.5, True)],
        [(0.3, True)],
        [],
        None,
        # Mixed with the first stage: the order is not that of the scores.
        [(0.2, True), (0.7, False)],
        [(0.1, False)],
        [(0.9, True)],
        [(0.9, True)],
        [(0.9, True)],
    ]
    without, low, high = choose_threshold(rankings, [0.25, 0.7]).points
    assert (without.answered, without.right) == (8, 6)
    assert (low.answered, low.right) == (7, 5)
    assert (high.answered, high.right) == (5, 4)
    # The failed question is worth 0, the ones without an answer .5.
    assert without.worth == pytest.approx((6 + 0.5) / 10)
    assert high.worth == pytest.approx((4 + 4 * 0.5) / 10)


def test_a_score_that_equals_the_threshold_is_returned():
    rankings = [[(0.5, True)], [(0.25, False)]] * 6
    assert [one.answered for one in choose_threshold(rankings, [0.25, 0.5]).points] == [12, 12, 6]


def test_questions_that_all_score_the_same_leave_nothing_to_try():
    found = choose_threshold([[(0.5, True)]] * 6 + [[(0.5, False)]] * 6)
    assert (found.threshold, found.has_gain, len(found.points)) == (None, False, 1)


@pytest.mark.parametrize("n", [10, 25, 60])
def test_the_intervals_are_clopper_pearsons_over_the_questions_they_are_of(n):
    rankings = drawn(n, seed=3)
    for one in choose_threshold(rankings).points:
        for hits, total, ci in (
            (one.answered, n, one.answered_ci),
            (one.right, one.answered, one.right_ci),
        ):
            assert ci == pytest.approx(clopper_pearson(hits, total), abs=0.02)


def test_a_threshold_is_recommended_where_scores_tell_right_from_wrong():
    found = choose_threshold(drawn(200, seed=1))
    assert found.has_gain
    assert 0.2 < found.threshold < 1.3
    assert found.ci[0] > 0.0
    chosen = next(one for one in found.points if one.threshold == found.threshold)
    assert chosen.right_share > found.points[0].right_share
    assert len(found.fold_thresholds) == 5


def test_scores_that_tell_nothing_are_mostly_found_out():
    wrong = sum(choose_threshold(drawn(20, seed, informative=False)).has_gain for seed in range(60))
    assert wrong <= 3  # 2.5 % are allowed: 1.5 of 60


def test_a_few_lucky_questions_recommend_nothing():
    rankings = [[(0.9, True)]] * 7 + [[(0.1, False)]] * 3
    found = choose_threshold(rankings)
    assert found.best_threshold == 0.5
    assert (found.threshold, found.has_gain) == (None, False)
    assert found.queries_needed > 10


def test_the_dearer_a_wrong_answer_the_higher_the_threshold():
    rankings = drawn(400, seed=5)
    best = [choose_threshold(rankings, no_answer=worth).best_threshold for worth in (0.3, 0.5, 0.8)]
    assert best[1] < best[2]
    assert best[0] is None or best[0] < best[1]


def test_questions_that_failed_choose_nothing():
    found = choose_threshold([None] * 12)
    assert (found.threshold, found.gain, found.points[0].worth) == (None, 0.0, 0.0)


@pytest.mark.parametrize("worth", [0.0, 1.0, -1, 2, float("nan")])
def test_a_worth_beyond_right_and_wrong_is_refused(worth):
    with pytest.raises(ConfigurationError, match="no_answer="):
        choose_threshold(drawn(12, 0), no_answer=worth)
