import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from langchain_rerank.evaluation.score.statistics import (
    bootstrap_means,
    holm,
    interval,
    mean,
    paired,
    sign_flip_p,
    too_few_queries,
)

GENERATOR = np.random.default_rng(7)


def test_the_exact_p_value_equals_scipys_exhaustive_permutation_test():
    differences = GENERATOR.normal(0.2, 1.0, 11)
    theirs = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip_p(differences) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_the_sampled_p_value_is_close_to_the_t_test_on_normal_data():
    differences = GENERATOR.normal(0.15, 1.0, 200)
    assert sign_flip_p(differences) == pytest.approx(
        stats.ttest_1samp(differences, 0.0).pvalue, abs=0.02
    )


def test_exact_and_sampled_agree_where_both_apply():
    differences = list(GENERATOR.normal(0.4, 1.0, 13))
    exact = sign_flip_p(differences)
    # One more pair with a negligible difference sends it to the random patterns.
    assert sign_flip_p([*differences, 1e-12]) == pytest.approx(exact, abs=0.02)


def test_identical_systems_differ_by_zero_with_p_one_and_no_nan():
    found = paired({"a": ([0.5] * 40, [0.5] * 40)})["a"]
    assert (found.difference, found.ci, found.p_value) == (0.0, (0.0, 0.0), 1.0)
    assert (found.wins, found.ties, found.losses) == (0, 40, 0)


def test_five_queries_are_too_few_and_six_are_not():
    assert sign_flip_p([1.0] * 5) is None
    assert sign_flip_p([1.0] * 6) == 2 / 2**6
    assert "too few queries" in too_few_queries(5)
    assert too_few_queries(6) is None


def test_no_queries_give_zero_and_no_p_value():
    found = paired({"a": ([], [])})["a"]
    assert (found.difference, found.p_value, found.wins) == (0.0, None, 0)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        values = np.random.default_rng(seed).normal(0.3, 1.0, 60)
        low, high = interval(bootstrap_means(values[:, None], samples=800, seed=seed)[:, 0])
        covered += low <= 0.3 <= high
    assert 0.90 <= covered / 200 <= 0.985


def test_resamples_are_shared_by_the_columns_and_fixed_by_the_seed():
    values = GENERATOR.normal(size=(30, 1))
    means = bootstrap_means(np.hstack([values, values + 1.0]), samples=50, seed=3)
    assert np.allclose(means[:, 1] - means[:, 0], 1.0)
    assert np.array_equal(
        means, bootstrap_means(np.hstack([values, values + 1.0]), samples=50, seed=3)
    )
    assert not np.array_equal(means[:, 0], bootstrap_means(values, samples=50, seed=4)[:, 0])


def test_blocks_of_resampling_cover_every_sample():
    means = bootstrap_means(GENERATOR.normal(5.0, 1.0, (5000, 1)), samples=2000)
    assert means.shape == (2000, 1)
    assert np.all(np.abs(means - 5.0) < 0.2)


def test_holm_multiplies_the_sorted_p_values_and_never_goes_down():
    # Holm 1979: multiply the sorted values by 4, 3, 2, 1 and never go down.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([None, 0.5]) == [None, 0.5]


@given(st.lists(st.floats(min_value=0.0, max_value=1.0), max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p_values):
    corrected = holm(p_values)
    assert all(1.0 >= new >= old for new, old in zip(corrected, p_values, strict=True))
    pairs = sorted(zip(p_values, corrected, strict=True))
    assert all(a[1] <= b[1] for a, b in itertools.pairwise(pairs))


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 1.0])] * 2), min_size=6, max_size=20))
@settings(max_examples=30, deadline=None)
def test_swapping_the_systems_negates_the_difference_and_keeps_p(pairs):
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    one = paired({"a": (a, b)}, samples=200)["a"]
    other = paired({"b": (b, a)}, samples=200)["b"]
    assert one.difference == -other.difference
    assert one.p_value == pytest.approx(other.p_value, abs=0.03)
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)


def test_the_mean_is_summed_in_order():
    assert mean([0.1] * 10) == sum_in_order([0.1] * 10)
    assert mean([]) == 0.0


def sum_in_order(values):
    total = 0.0
    for value in values:
        total += value
    return total / len(values)
