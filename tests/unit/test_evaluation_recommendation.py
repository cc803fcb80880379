import numpy as np
import pytest

from langchain_rerank.evaluation.score.recommendation import knee, recommend

KS = [10, 20, 30, 50, 75, 100]


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
        rank = 1 + above[:, k - 2]
        seen = (first_stage_rank <= k) & (rank <= 10)
        values[seen, column] = 1.0 / np.log2(rank[seen] + 1.0)
    return values


@pytest.mark.parametrize("kind", ["saturating", "deep", "flat", "hump"])
@pytest.mark.parametrize(("queries", "allowed_loss"), [(25, 0.02), (100, 0.01)])
def test_on_curves_with_known_truth_the_mean_true_loss_is_small(kind, queries, allowed_loss):
    generator = np.random.default_rng(11)
    everyone = population(kind, generator)
    truth = everyone.mean(axis=0)
    losses = []
    for seed in range(120):
        sample = everyone[generator.choice(len(everyone), queries, replace=False)]
        found = recommend(sample, KS, margin=0.01, seed=seed, samples=1000)
        losses.append(truth.max() - truth[found.position])
    assert np.mean(losses) < allowed_loss


def test_few_queries_are_called_inconclusive_with_a_number_that_would_settle_it():
    everyone = population("saturating", np.random.default_rng(2))
    few = recommend(everyone[:20], KS, margin=0.01)
    assert few.verdict == "inconclusive"
    assert few.queries_needed > 20
    assert str(few.queries_needed) in few.reason
    many = recommend(everyone, KS, margin=0.01, samples=300)
    assert (many.verdict, many.queries_needed) == ("recommended", None)
    assert KS[many.position] == 50


def test_the_smallest_depth_within_the_margin_is_chosen_and_not_the_best():
    generator = np.random.default_rng(0)
    base = generator.uniform(0.4, 0.8, 400)
    values = np.stack([base - 0.1, base - 0.004, base], axis=1)
    found = recommend(values, [10, 50, 100], margin=0.01)
    assert (found.position, found.argmax) == (1, 2)
    assert found.losses[1] == pytest.approx(0.004)
    assert recommend(values, [10, 50, 100], margin=0.001).position == 2
    assert recommend(values, [10, 50, 100], margin=0.2).position == 0


def test_a_budget_limits_the_choice_and_the_reason_says_what_it_costs():
    base = np.random.default_rng(0).uniform(0.4, 0.8, 200)
    values = np.stack([base - 0.1, base - 0.05, base], axis=1)
    found = recommend(values, [10, 50, 100], allowed=[True, True, False])
    assert (found.position, found.verdict) == (1, "recommended")
    assert "best mean that the budget allows" in found.reason
    assert "Without a budget K=100 would gain 0.050" in found.reason
    near = np.stack([base - 0.054, base - 0.05, base], axis=1)
    smaller = recommend(near, [10, 50, 100], allowed=[True, True, False])
    assert (smaller.position, smaller.argmax) == (0, 2)
    assert "of the best that the budget allows, K=50: it loses 0.004" in smaller.reason
    none = recommend(values, [10, 50, 100], allowed=[False, False, False])
    assert (none.position, none.verdict) == (0, "over_budget")
    assert none.selected == (1.0, 0.0, 0.0)


def test_a_fall_beyond_the_best_is_found_and_noise_is_not():
    generator = np.random.default_rng(0)
    base = generator.uniform(0.4, 0.8, 300)
    fall = recommend(np.stack([base, base - 0.05], axis=1), [10, 100])
    assert fall.falls == (1,)
    noise = np.stack([base, base + generator.normal(-0.0001, 0.3, 300)], axis=1)
    assert recommend(noise, [10, 100]).falls == ()


def test_the_shares_of_the_resamples_sum_to_one_and_favour_the_choice():
    everyone = population("hump", np.random.default_rng(5))
    found = recommend(everyone[:300], KS)
    assert sum(found.selected) == pytest.approx(1.0)
    assert found.selected[found.position] == max(found.selected)


def test_one_depth_and_one_query_have_an_answer_that_does_not_claim_much():
    assert recommend(np.array([[0.5]]), [10]).position == 0
    found = recommend(np.array([[0.5, 0.7]]), [10, 20])
    assert (found.position, found.verdict, found.queries_needed) == (1, "inconclusive", 20)


def test_too_few_queries_are_not_said_to_show_less_than_their_bound_says():
    few = recommend(np.ones((5, 3)), [10, 50, 100])
    assert "5 queries are too few to rely on the bound (0.000); 20 are needed." in few.reason
    assert "do not show" not in few.reason
    apart = recommend(np.array([[0.5, 0.7]] * 3 + [[0.7, 0.5]] * 3), [10, 20])
    assert "6 queries do not show that it is within 0.01" in apart.reason


def test_having_no_data_is_never_rewarded_with_certainty():
    same = recommend(np.ones((15, 3)), [10, 50, 100])
    assert (same.position, same.verdict) == (0, "inconclusive")
    assert recommend(np.ones((20, 3)), [10, 50, 100]).verdict == "recommended"


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
