"""The benchmark's parts: requests, rounds, rows; nothing here asserts on a clock."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from langchain_rerank.bench import machine, rounds, systems
from langchain_rerank.bench.rounds import Requests, Round, Scenario, Timing
from langchain_rerank.bench.summary import Spread, Work, rows, spearman, spread
from langchain_rerank.bench.systems import REFERENCE, Skipped, System
from langchain_rerank.bench.workload import (
    Lengths,
    Sizes,
    Workload,
    guides,
    padding_share,
    pair_tokens,
)
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.testing import CountingScorer, WordOverlapScorer
from langchain_rerank.testing.tiny_models import build_tiny_model


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    import sentence_transformers

    folder = build_tiny_model("bert", tmp_path_factory.mktemp("bert"))
    return sentence_transformers.CrossEncoder(str(folder), device="cpu", max_length=512)


@pytest.fixture(scope="module")
def workload(cross_encoder):
    return Workload(cross_encoder.tokenizer, guides())


def test_passages_have_the_lengths_asked_for(cross_encoder, workload):
    requests = workload.requests(Sizes(3, 40, 20, 60), seed=0)
    assert [len(texts) for _, texts in requests] == [40] * 3
    encode = cross_encoder.tokenizer
    lengths = [
        len(encode(text, add_special_tokens=False)["input_ids"])
        for _, texts in requests
        for text in texts
    ]
    # A stretch that starts inside a word reads as another piece: a few tokens more or less.
    assert min(lengths) >= 17
    assert max(lengths) <= 66
    assert len(set(lengths)) > 25


def test_lengths_spread_by_their_logarithm_are_mostly_short(cross_encoder, workload):
    tokens = {
        lengths: pair_tokens(
            cross_encoder.tokenizer,
            workload.requests(Sizes(1, 200, 20, 400, lengths), seed=0),
            512,
        )
        for lengths in Lengths
    }
    middle = {lengths: np.median(of) for lengths, of in tokens.items()}
    assert 190 < middle[Lengths.even] < 250
    assert 75 < middle[Lengths.log] < 125  # around sqrt(20 * 400), with the query
    assert all(min(of) > 20 and max(of) > 350 for of in tokens.values())
    assert padding_share(tokens[Lengths.log], 32) > padding_share(tokens[Lengths.even], 32)


def test_the_same_seed_asks_the_same_and_another_one_does_not(workload):
    sizes = Sizes(2, 5)
    assert workload.requests(sizes, 1) == workload.requests(sizes, 1)
    first = {text for _, texts in workload.requests(sizes, 1) for text in texts}
    second = {text for _, texts in workload.requests(sizes, 2) for text in texts}
    assert first.isdisjoint(second)


@pytest.mark.parametrize("bounds", [(0, 10), (11, 10)])
def test_impossible_lengths_are_refused(bounds):
    with pytest.raises(ConfigurationError, match="are impossible"):
        Sizes(1, 1, *bounds)


def test_pair_tokens_count_special_tokens_and_stop_at_the_limit(cross_encoder):
    requests = [("fox", ["dog", "fox " * 600]), ("fox", [])]
    assert pair_tokens(cross_encoder.tokenizer, requests, 512) == [5, 512]


def test_padding_is_what_stands_behind_the_shorter_pairs_of_a_batch():
    assert padding_share([5, 5, 5], 2) == 0
    assert padding_share([1, 4, 2], 2) == pytest.approx(1 - 7 / 9)
    assert padding_share([1, 4, 2], 3) == pytest.approx(1 - 7 / 12)


def test_flops_are_two_per_weight_and_token_plus_attention(cross_encoder):
    hidden, feed, layers = 32, 64, 2
    weights = layers * (4 * hidden * hidden + 2 * hidden * feed)
    pooler = hidden * hidden
    expected = 2 * (weights + pooler) * 10 + 4 * layers * hidden * 10**2
    assert machine.flops(cross_encoder.model, [10]) == expected
    assert machine.flops(cross_encoder.model, [10, 10]) == 2 * expected


def test_the_ceiling_is_measured_in_the_precision_asked_for():
    assert machine.matrix_ceiling("cpu", "float32") > 1e8


def test_peak_memory_sees_what_was_allocated_and_freed():
    memory = machine.PeakMemory("cpu")
    memory.start()
    block = np.ones(25_000_000)  # 200 MB
    del block
    peak = memory.stop()
    if peak is None:
        pytest.skip("this platform does not tell the peak of a process")
    assert peak > 150
    memory.start()
    assert memory.stop() < 100


def fake(name, **settings):
    scorer = CountingScorer(WordOverlapScorer())
    return System(name, "float32", scorer.score, scorer.score_many, **settings), scorer


def test_every_system_is_asked_the_same_in_each_round_and_starts_in_turn(monkeypatch):
    started = []
    monkeypatch.setattr(machine.PeakMemory, "start", lambda self: None)
    first, first_scorer = fake("first")
    second, second_scorer = fake("second")
    asked = [Requests(alone=[(f"q{i}", ["a", "b"])]) for i in range(3)]
    measured = {}
    memory = machine.PeakMemory("cpu")
    for system, scenario in rounds.measure([first, second], asked, memory, measured):
        started.append((system.name, scenario))
    turns = ["first", "second", "second", "first", "first", "second"]
    assert started == [(name, Scenario.one) for name in turns]
    assert first_scorer.asked == second_scorer.asked == [[(f"q{i}", ("a", "b"))] for i in range(3)]
    assert [r.number for r in measured["first", Scenario.one]] == [0, 1, 2]
    assert all(len(r.timing.latencies) == 1 for r in measured["second", Scenario.one])


def test_what_a_system_can_do_decides_what_is_measured():
    requests = Requests(alone=[("q", ["a"])], bulk=[("r", ["b"])], callers=[("s", ["c"])])
    engine, _ = fake("engine", concurrent=True, keeps_documents=True)
    assert rounds.scenarios(engine, requests) == {
        Scenario.one: [("q", ["a"])],
        Scenario.seen: [("q", ["a"])],
        Scenario.bulk: [("r", ["b"])],
        Scenario.callers: [("s", ["c"])],
    }
    plain = System("plain", "float32", lambda query, texts: [0.0] * len(texts))
    assert set(rounds.scenarios(plain, requests)) == {Scenario.one}
    assert set(rounds.scenarios(engine, Requests(alone=[]))) == {Scenario.one, Scenario.seen}


def test_concurrent_callers_are_inside_at_the_same_time():
    together = threading.Barrier(5)

    def score(query, texts):
        together.wait(timeout=30)  # breaks unless all five callers are here
        return [0.0] * len(texts)

    system = System("meeting", "float32", score)
    timing = rounds.from_many_threads(system, [(f"q{i}", ["a"]) for i in range(5)])
    assert len(timing.latencies) == 5
    assert timing.seconds == max(timing.latencies)


def test_an_error_in_a_system_is_not_swallowed():
    def score(query, texts):
        raise ZeroDivisionError

    system = System("broken", "float32", score)
    with pytest.raises(ZeroDivisionError):
        rounds.from_many_threads(system, [("q", ["a"]), ("r", ["a"])])
    with pytest.raises(TypeError, match="no call for several"):
        rounds.all_at_once(system, [("q", ["a"])])


def test_langchains_path_is_one_predict_with_defaults_per_query(cross_encoder):
    system = systems.langchain_system(cross_encoder)
    texts = ["Berlin has people.", "A fox jumps over the lazy dog while it reads.", "."]
    expected = cross_encoder.predict([("fox", text) for text in texts])
    assert list(system.score("fox", texts)) == list(expected)
    assert system.name == REFERENCE
    assert system.score_many is None


def test_every_way_over_one_model_gives_the_same_scores(cross_encoder, workload):
    request = workload.requests(Sizes(1, 6, 5, 40), 0)[0]
    reference = systems.langchain_system(cross_encoder).score(*request)
    tuned = systems.tuned_system(cross_encoder, "float32", request)
    assert tuned.name.startswith("sentence-transformers fp32, batch ")
    for system in (tuned, systems.one_batch_system(cross_encoder)):
        np.testing.assert_allclose(system.score(*request), reference, atol=1e-5)
    np.testing.assert_allclose(tuned.score_many([request, request]), [*reference] * 2, atol=1e-5)


def test_a_package_that_is_not_there_is_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(systems, "find_spec", lambda name: None)
    assert systems.flag_embedding_system("model", "cpu", half=False) == Skipped(
        "FlagEmbedding", "the package FlagEmbedding is not installed"
    )


def test_rank_correlation_of_constants():
    assert spearman([1.0, 1.0], [2.0, 2.0]) == 1.0
    assert spearman([1.0, 1.0], [2.0, 3.0]) == 0.0


def test_spread_is_median_and_quartiles():
    assert spread([5.0]) == Spread(5.0, 5.0, 5.0)
    assert spread([1.0, 2.0, 10.0]) == Spread(2.0, 1.5, 6.0)


# Ten tokens and a thousand FLOP for each text.
WORK = Work(
    tokens=lambda requests: 10.0 * sum(len(texts) for _, texts in requests),
    flop=lambda requests: 1000.0 * sum(len(texts) for _, texts in requests),
)


def one(number, seconds, scores, peak_mb=None):
    requests = [("q", ["a", "b", "c"])]
    return Round(number, Timing(seconds, [seconds], [scores]), requests, peak_mb)


def test_rows_compare_the_same_rounds_with_the_reference():
    measured = {
        ("ours", Scenario.one): [
            one(0, 1.0, [1.0, 2.0, 3.0], peak_mb=4.0),
            one(1, 2.0, [1.0, 3.0, 2.0], peak_mb=9.0),
            one(2, 4.0, [1.0, 2.0, 3.0]),
        ],
        (REFERENCE, Scenario.one): [one(0, 6.0, [1.0, 2.0, 3.5]), one(1, 8.0, [1.0, 2.0, 3.0])],
    }
    ours, reference = rows(measured, WORK, {"ours": 6000.0})
    assert ours.pairs_per_second == Spread(1.5, 1.125, 2.25)
    assert ours.tokens_per_second == Spread(15.0, 11.25, 22.5)
    assert ours.times_reference == Spread(5.0, 4.5, 5.5)  # six times and four times
    assert ours.p50_ms == 2000.0
    assert ours.peak_mb == 9.0
    assert ours.ceiling_share == 0.25
    assert ours.rank_correlation == 0.75  # 1 and 0.5
    assert ours.max_difference == 1.0
    assert ours.rounds == 3
    assert reference.times_reference == Spread(1.0, 1.0, 1.0)
    assert (reference.ceiling_share, reference.peak_mb) == (None, None)


def test_documents_seen_before_and_calls_with_everything_are_compared_with_one_caller():
    everything = Round(0, Timing(1.0, [1.0]), [("q", ["a"] * 6)], None)
    measured = {
        (REFERENCE, Scenario.one): [one(0, 6.0, [1.0, 2.0, 3.0])],
        ("ours", Scenario.seen): [one(0, 2.0, [1.0, 2.0, 3.0])],
        ("ours", Scenario.bulk): [everything],
    }
    _, seen, bulk = rows(measured, WORK, {})
    assert seen.times_reference == Spread(3.0, 3.0, 3.0)
    assert seen.max_difference == 0.0
    assert bulk.times_reference == Spread(12.0, 12.0, 12.0)
    assert bulk.rank_correlation is None


def test_concurrent_callers_are_held_against_one_call_with_everything():
    requests = [("q", ["a"] * 5), ("r", ["b"] * 5)]
    measured = {
        ("ours", Scenario.bulk): [Round(0, Timing(2.0, [2.0]), requests, None)],
        ("ours", Scenario.callers): [Round(0, Timing(2.5, [1.0, 2.5]), requests, None)],
    }
    bulk, callers = rows(measured, WORK, {})
    assert (bulk.times_bulk, bulk.p99_over_ideal) == (None, None)
    assert callers.times_bulk == pytest.approx(0.8)
    assert callers.p99_over_ideal == pytest.approx(np.percentile([1.0, 2.5], 99) / 2.0)


def test_an_interrupted_round_without_its_reference_has_no_ratio():
    row = rows({("ours", Scenario.one): [one(0, 1.0, [1.0, 2.0, 3.0])]}, WORK, {})[0]
    assert (row.times_reference, row.rank_correlation) == (None, None)
