"""RayScorer: the contract, the scores of one process, and actors that die."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
import time

import pytest
import torch

from langchain_rerank import CrossEncoderScorer, RayScorer
from langchain_rerank.errors import (
    ConfigurationError,
    ModelLoadError,
    ScorerClosedError,
    ScorerTimeoutError,
)
from langchain_rerank.scorers import deadline
from langchain_rerank.testing import ScorerContract

pytest.importorskip("ray", reason="needs the extra `ray`: make ray")

pytestmark = [
    pytest.mark.ray,
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

SETTINGS = {"dtype": "float32", "device": "cpu"}


@pytest.fixture(scope="module")
def shared(local_ray, tiny_model):
    with RayScorer(tiny_model, num_actors=2, **SETTINGS) as scorer:
        scorer.load()
        yield scorer


class TestRayScorer(ScorerContract):
    @pytest.fixture
    def scorer(self, shared):
        return shared


def pairs(n):
    return [
        (f"query {i % 7}", [f"text {i} {j} " * (1 + j % 9) for j in range(20)]) for i in range(n)
    ]


def test_many_requests_get_the_scores_of_one_process_in_order(shared, tiny_model):
    requests = pairs(50)
    expected = CrossEncoderScorer(tiny_model, **SETTINGS).score_many(requests)
    for got, want in zip(shared.score_many(requests), expected, strict=True):
        assert got == pytest.approx(want, abs=1e-5)
        assert got.truncated == want.truncated


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_has_the_settings_and_actors_of_its_own(again, shared):
    with again(shared) as twin:
        assert repr(twin) == repr(shared)
        assert twin.identity == shared.identity
        assert twin.score("q", ["a", "b"]) == pytest.approx(shared.score("q", ["a", "b"]))


def test_dying_actors_are_replaced_and_every_pair_is_scored_once_in_order(local_ray, tiny_model):
    requests = pairs(300)
    expected = CrossEncoderScorer(tiny_model, **SETTINGS).score_many(requests)
    with RayScorer(tiny_model, num_actors=2, **SETTINGS) as scorer:
        scorer.load()
        over, killed = threading.Event(), []

        def kill():
            while not over.wait(0.2) and len(killed) < 3:
                victim = scorer._members[len(killed) % 2]
                local_ray.get(victim.handle.ready.remote())  # one that is at work
                local_ray.kill(victim.handle)
                killed.append(victim)

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            answers = []
            while len(killed) < 3 or not answers:
                answers = scorer.score_many(requests)
        finally:
            over.set()
            killer.join()
        assert [len(one) for one in answers] == [20] * 300
        for got, want in zip(answers, expected, strict=True):
            assert got == pytest.approx(want, abs=1e-5)
        assert [member.waiting for member in scorer._members] == [0, 0]


def test_actors_that_die_before_they_have_loaded_are_not_the_texts_fault(local_ray, tiny_model):
    with RayScorer(tiny_model, num_actors=1, **SETTINGS) as scorer:
        answers = []
        thread = threading.Thread(target=lambda: answers.extend(scorer.score_many(pairs(3))))
        thread.start()
        for _ in range(5):  # each is killed while it starts
            while not scorer._members or not scorer._members[0].waiting:
                time.sleep(0.01)
            victim = scorer._members[0]
            local_ray.kill(victim.handle)
            while scorer._members[0] is victim:
                time.sleep(0.01)
        thread.join(120.0)
        assert [len(one) for one in answers] == [20, 20, 20]


def test_actors_that_the_cluster_has_no_room_for_keep_nobody_waiting(shared, tiny_model):
    # Two of four cores are taken, so that there is room for one of these.
    with RayScorer(tiny_model, num_actors=2, num_cpus=1.5, **SETTINGS) as scorer:
        for n in (1, 10):
            answers = deadline.within(100.0, "", lambda n=n: scorer.score_many(pairs(n)))
            assert [len(one) for one in answers] == [20] * n
        assert sorted(member.placed for member in scorer._members) == [False, True]
        assert [member.waiting for member in scorer._members] == [0, 0]


def test_a_model_that_cannot_be_loaded_is_that_error_and_no_death(local_ray, tmp_path):
    with RayScorer(str(tmp_path / "nowhere"), num_actors=1) as scorer:
        with pytest.raises(ModelLoadError):
            scorer.load()
        with pytest.raises(ModelLoadError):
            scorer.score("q", ["a"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_settings_that_an_actor_cannot_keep_are_that_error_and_no_death(local_ray, tiny_model):
    with RayScorer(tiny_model, num_actors=1, device="cuda") as scorer:
        with pytest.raises(ConfigurationError, match="cuda"):
            scorer.load()
        with pytest.raises(ConfigurationError, match="cuda"):
            scorer.score("q", ["a"])


LEFT = """
import sys
import ray
from langchain_rerank import RayScorer

def start():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)

start()
scorer = RayScorer(sys.argv[1], num_actors=1, dtype="float32", device="cpu")
first = scorer.score("a fox", ["fox", "hen"])
ray.shutdown()
start()
assert scorer.score("a fox", ["fox", "hen"]) == first
ray.shutdown()
scorer.close()
assert scorer.score("a fox", ["fox", "hen"]) == first  # in a Ray of its own
scorer.close()
ray.shutdown()
"""


def test_a_scorer_goes_on_in_another_cluster_after_its_own_was_left(tiny_model):
    # A process of its own: the other tests share the Ray of this one.
    done = subprocess.run(
        [sys.executable, "-c", LEFT, tiny_model],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_closing_ends_calls_under_way_and_the_scorer_starts_again(local_ray, tiny_model):
    scorer = RayScorer(tiny_model, num_actors=1, **SETTINGS)
    errors = []

    def ask():
        try:
            scorer.score_many(pairs(2000))
        except ScorerClosedError as error:
            errors.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not scorer._members or not scorer._members[0].waiting:
        time.sleep(0.01)
    scorer.close()
    thread.join(30.0)
    assert len(errors) == 1
    assert len(scorer.score("q", ["a"])) == 1
    scorer.close()


def test_the_deadline_holds(local_ray, tiny_model):
    with RayScorer(tiny_model, num_actors=1, **SETTINGS) as scorer:
        scorer.load()
        started = time.monotonic()
        with pytest.raises(ScorerTimeoutError):
            deadline.within(0.2, scorer.name, lambda: scorer.score_many(pairs(5000)))
        assert time.monotonic() - started < 5.0


@pytest.mark.parametrize(
    "settings",
    [{"num_actors": 0}, {"num_gpus": -1}, {"num_cpus": "two"}, {"dtype": "int3"}, {"model": 7}],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigurationError):
        RayScorer(**{"model": "embedded"} | settings)
