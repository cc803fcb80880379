import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from langchain_rerank.evaluation.score.statistics import (
    DIFFERENCES,
    MEANS,
    covered,
    draws,
    holm,
    mean,
    paired,
    queries_needed,
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


def test_identical_systems_differ_by_zero_and_may_still_differ_where_nobody_looked():
    found = paired({"a": ([0.5] * 40, [0.5] * 40)})["a"]
    assert (found.difference, found.p_value, found.p_sign_flip) == (0.0, 1.0, 1.0)
    assert found.ci == pytest.approx((-0.088, 0.088), abs=0.001)  # 1 - .025 ** (1 / 40)
    assert (found.wins, found.ties, found.losses) == (0, 40, 0)


def test_five_queries_are_too_few_and_six_are_not():
    assert sign_flip_p([1.0] * 5) is None
    assert sign_flip_p([1.0] * 6) == 2 / 2**6
    assert "too few queries" in too_few_queries(5)
    assert too_few_queries(6) is None


@pytest.mark.parametrize(("n", "hits"), [(10, 3), (20, 0), (50, 5), (50, 50)])
def test_on_hits_and_misses_the_interval_is_clopper_and_pearsons(n, hits):
    values = np.zeros((n, 1))
    values[:hits] = 1.0
    theirs = stats.binomtest(hits, n).proportion_ci()
    assert draws(values).interval(0, MEANS) == pytest.approx(tuple(theirs), abs=0.01)


@pytest.mark.parametrize("n", [10, 60, 300])
def test_where_no_query_loses_a_share_of_three_by_n_may(n):
    drawn = draws(np.zeros((n, 2)))
    assert drawn.upper(0, 1) == pytest.approx(1 - 0.05 ** (1 / n), abs=0.0005)


@pytest.mark.parametrize("seed", range(20))
def test_p_is_below_the_error_exactly_where_the_interval_excludes_zero(seed):
    generator = np.random.default_rng(seed)
    values = np.clip(generator.normal(0.12, 0.2, (30, 1)), -1, 1)
    drawn = draws(values, samples=1000, seed=seed)
    for tail in (0.005, 0.025, 0.1):
        low, high = drawn.interval(0, DIFFERENCES, tail)
        assert (drawn.p_value(0) < 2 * tail) == (low > 0 or high < 0)


def test_rare_large_losses_are_not_called_a_gain_though_signs_flip():
    # Where 2 % lose 1 and the others win .02, one sample of 50 in three holds no loser.
    found = paired({"a": ([0.52] * 50, [0.5] * 50)})["a"]
    assert found.p_sign_flip < 0.001
    assert found.p_value > 0.05
    assert found.ci[0] < 0 < found.ci[1]


def test_values_beyond_the_range_of_a_measure_have_no_interval():
    found = paired({"a": ([3.0] * 20, [1.0] * 20)})["a"]
    assert (found.difference, found.ci, found.p_value, found.wins) == (2.0, None, None, 20)
    assert covered([0.0, 1.0 + 1e-12], MEANS)
    assert not covered([0.0, 1.1], MEANS)


def test_the_queries_needed_are_those_of_equal_losses_where_nothing_varies():
    assert queries_needed(0.0, 0.0, 0.01) == 322
    assert queries_needed(-0.5, 0.0, 0.0, tail=0.025) == 10
    assert [queries_needed(0.0, 0.1, margin) for margin in (0.05, 0.02)] == [87, 292]
    assert queries_needed(0.01, 0.1, 0.01) is None
    assert queries_needed(-1e-9, 0.3, 0.0) is None


def test_weights_are_shared_by_the_columns_and_fixed_by_the_seed():
    values = GENERATOR.uniform(size=(30, 1))
    both = np.hstack([values, values + 1.0])
    one = draws(both, samples=50, seed=3)
    assert np.allclose(one.means[:, 1] - one.means[:, 0] + one.extra, 1.0)
    again = draws(both, samples=50, seed=3)
    assert np.array_equal(one.means, again.means)
    assert not np.array_equal(one.means, draws(both, samples=50, seed=4).means)


def test_blocks_of_weights_cover_every_draw():
    drawn = draws(GENERATOR.normal(0.5, 0.1, (5000, 1)), samples=2000)
    assert drawn.means.shape == (2000, 1)
    assert np.all(np.abs(drawn.means - 0.5) < 0.02)


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
    assert one.p_value == pytest.approx(other.p_value, abs=1e-9)
    assert one.ci == pytest.approx((-other.ci[1], -other.ci[0]))
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)


def test_the_mean_is_summed_in_order():
    assert mean([0.1] * 10) == sum_in_order([0.1] * 10)
    with pytest.raises(ValueError, match="a mean of nothing is no number"):
        mean([])


def sum_in_order(values):
    total = 0.0
    for value in values:
        total += value
    return total / len(values)
