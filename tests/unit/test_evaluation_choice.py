import numpy as np
import pytest

from langchain_rerank.evaluation.score.choice import choose, knee, margin_of
from langchain_rerank.evaluation.score.decision import Option, decide

KS = [0, 10, 20, 30, 50, 75, 100]


def population(kind, generator, n=20_000):
    """The values of n queries at every depth: one relevant document at some first-stage rank, and a
    reranker that puts it below each distractor that looks better."""
    depth = {"saturating": 15, "deep": 60, "flat": 3, "hump": 8}[kind]
    skill = {"saturating": 2.5, "deep": 3.0, "flat": 2.5, "hump": 1.2}[kind]
    first_stage_rank = np.ceil(generator.exponential(depth, n))
    strength = generator.normal(skill, 1.0, n)
    above = np.cumsum(generator.normal(0.0, 1.0, (n, 100)) > strength[:, None], axis=1)
    values = np.zeros((n, len(KS)))
    for column, k in enumerate(KS):
        rank = 1 + above[:, k - 2] if k else first_stage_rank
        seen = (first_stage_rank <= (k or 10)) & (rank <= 10)
        values[seen, column] = 1.0 / np.log2(rank[seen] + 1.0)
    return values


@pytest.mark.parametrize("kind", ["saturating", "deep", "flat", "hump"])
@pytest.mark.parametrize(("queries", "allowed_loss"), [(25, 0.02), (100, 0.015)])
def test_on_curves_with_known_truth_the_mean_true_loss_is_small(kind, queries, allowed_loss):
    generator = np.random.default_rng(11)
    everyone = population(kind, generator)
    truth = everyone.mean(axis=0)
    losses = []
    for seed in range(60):
        sample = everyone[generator.choice(len(everyone), queries, replace=False)]
        found = choose(sample, seed=seed, samples=1000)
        losses.append(truth.max() - truth[found.position])
    assert np.mean(losses) < allowed_loss


def test_few_queries_are_not_enough_and_are_told_how_many_would_be():
    everyone = population("saturating", np.random.default_rng(2))
    few = choose(everyone[:59])
    assert not few.recommended
    assert few.queries_needed > 59
    many = choose(everyone, samples=300)
    assert (many.recommended, many.queries_needed) == (True, None)
    assert KS[many.position] == 50
    assert many.upper[many.position] <= many.margin == 0.01


def test_the_margin_is_what_so_many_queries_allow_and_never_less_than_asked():
    generator = np.random.default_rng(0)
    base = generator.uniform(0.4, 0.8, 400)
    values = np.stack([base - 0.1, base - 0.004, base], axis=1)
    found = choose(values, margin=0.02)
    assert (found.position, found.best, found.margin) == (1, 2, 0.02)
    assert found.losses[1] == pytest.approx(0.004)
    assert choose(values, margin=0.2).position == 0
    assert choose(values[:100], margin=0.001).margin == margin_of(0.001, 100) == 0.03


def test_a_budget_limits_what_is_compared():
    base = np.random.default_rng(0).uniform(0.4, 0.8, 200)
    values = np.stack([base - 0.1, base - 0.05, base], axis=1)
    found = choose(values, allowed=[True, True, False])
    assert (found.position, found.recommended, found.best) == (1, True, 2)
    near = np.stack([base - 0.0501, base - 0.05, base], axis=1)
    smaller = choose(near, allowed=[True, True, False])
    assert (smaller.position, smaller.best) == (0, 2)
    only = choose(values[:3], allowed=[False, True, False])
    assert (only.position, only.recommended) == (1, True)


def test_a_fall_beyond_the_best_is_found_and_noise_is_not():
    generator = np.random.default_rng(0)
    base = generator.uniform(0.4, 0.8, 300)
    fall = choose(np.stack([base, base - 0.05], axis=1))
    assert fall.falls == (1,)
    noise = np.stack([base, np.clip(base + generator.normal(0.0, 0.3, 300), 0, 1)], axis=1)
    assert choose(noise).falls == ()


def test_the_shares_of_the_resamples_sum_to_one_and_favour_the_best_mean():
    everyone = population("hump", np.random.default_rng(5))
    found = choose(everyone[:300])
    assert sum(found.shares) == pytest.approx(1.0)
    assert found.shares[found.best] == max(found.shares)


def test_equal_values_choose_the_cheapest_and_claim_it_from_sixty_queries_on():
    assert choose(np.array([[0.5]])).position == 0
    for n in (1, 10, 59):
        found = choose(np.ones((n, 3)))
        assert (found.position, found.recommended) == (0, False)
        assert found.upper[0] == pytest.approx(1 - 0.05 ** (1 / n), abs=0.001)
    assert choose(np.ones((60, 3))).recommended


def test_the_run_down_from_the_best_mean_is_not_broken():
    # The first passes by itself, but the second does not, and stands between it and the best.
    base = np.random.default_rng(0).uniform(0.2, 0.8, 400)
    found = choose(np.stack([base, base - 0.05, base], axis=1))
    assert found.upper[0] <= found.margin < found.upper[1]
    assert found.position == 2


def test_rare_losses_that_a_sample_does_not_hold_are_not_ruled_out():
    # 5 % of the queries lose .6 with the cheaper one, none of them among these.
    found = choose(np.ones((30, 2)))
    assert not found.recommended
    assert found.upper[0] > 0.05 * 0.6


def test_values_without_bounds_get_no_bound():
    found = choose(np.array([[1.0, 40.0]] * 100))
    assert (found.position, found.recommended, found.upper) == (1, False, (None, None))


def decided(values, **settings):
    values = np.asarray(values, dtype=float)
    options = [Option("first_stage", 0, "not reranking", 1.0)]
    options += [Option("reranked", k, f"K = {k}", 1.0 + k) for k in range(1, values.shape[1])]
    found = choose(values, allowed=settings.get("allowed"))
    return decide(options, values, found, measure="RR", **settings)


def test_a_gain_that_is_shown_is_worth_reranking_for():
    found = decided([[0.2, 0.6]] * 20)
    assert (found.answer, found.system, found.k, found.added_ms) == ("rerank", "reranked", 1, 1.0)
    assert found.ci[0] > 0.0
    assert found.queries_needed is None


def test_a_loss_that_is_shown_or_a_gain_that_is_shown_to_be_small_is_not():
    assert decided([[0.8, 0.2]] * 12).answer == "do_not_rerank"
    equal = decided([[0.8, 0.8]] * 100)
    assert (equal.answer, equal.k, equal.compared_k) == ("do_not_rerank", 0, 1)
    assert decided([[0.8, 0.8]] * 20).answer == "undecided"


def test_a_gain_that_may_be_chance_is_undecided_with_the_number_that_would_settle_it():
    generator = np.random.default_rng(1)
    before = generator.uniform(0.2, 0.7, 80)
    values = np.stack([before, np.clip(before + generator.normal(0.05, 0.25, 80), 0, 1)], axis=1)
    found = decided(values)
    assert found.gain > 0
    assert (found.answer, found.system) == ("undecided", "reranked")
    assert found.ci[0] < 0 < found.ci[1]
    assert found.queries_needed > 80


def test_what_else_is_compared_makes_a_gain_harder_to_show():
    values = [[0.0, 1.0]] * 7
    assert decided(values).answer == "rerank"
    beside = decided(values, beside=[0.5] * 9)
    assert (beside.answer, beside.queries_needed) == ("undecided", 9)
    assert "Adjusted for all that this report compares, that is not shown" in beside.reason
    worse = decided([[1.0, 0.0]] * 7, beside=[0.5] * 9)
    assert (worse.answer, worse.queries_needed) == ("undecided", 9)


@pytest.mark.parametrize(
    ("ks", "means", "expected"),
    [
        ([10, 20], [0.1, 0.9], None),
        ([10, 20, 30], [0.9, 0.5, 0.1], None),
        ([10, 20, 30], [0.1, 0.2, 0.3], None),
        ([10, 20, 30, 100], [0.1, 0.6, 0.65, 0.7], 1),
    ],
)
def test_the_knee_is_the_point_farthest_above_the_chord(ks, means, expected):
    assert knee(ks, means) == expected
