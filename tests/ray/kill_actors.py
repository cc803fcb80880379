"""20,000 pairs through `RayScorer` while its actors are killed one by one: `make ray-long`.

An actor is killed every `--every` seconds, by a signal to its process, until `--kills` are dead and
the call that was under way has ended. Every answer is compared with that of one process, so that a
pair which is lost, doubled or in another's place shows.
"""

# ruff: noqa: T201 - it prints what it measured

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import threading
import time
from pathlib import Path

import psutil
import ray

from langchain_rerank import CrossEncoderScorer, RayScorer
from langchain_rerank.scorers.ray.actors import ModelCopy
from langchain_rerank.testing.tiny_models import build_tiny_model

WORDS = ["red", "fox", "hen", "adapter", "rank", "vector", "token", "cache", "model", "query"]
SETTINGS = {"dtype": "float32", "device": "cpu"}
TEXTS_OF_A_QUERY = 50


def requests(pairs: int, words: int) -> list[tuple[str, list[str]]]:
    """Return queries with 50 texts each, all different, of up to `words` words."""
    chosen = random.Random(1)
    texts = [
        " ".join(chosen.choices(WORDS, k=chosen.randint(5, words))) + f" {number}"
        for number in range(pairs)
    ]
    return [
        (f"what is a {WORDS[start % 7]} {start}", texts[start : start + TEXTS_OF_A_QUERY])
        for start in range(0, pairs, TEXTS_OF_A_QUERY)
    ]


def actors() -> list[psutil.Process]:
    """Return the processes of actors that run a copy of the model."""
    mine = psutil.Process().children(recursive=True)
    return [one for one in mine if f"ray::{ModelCopy.__name__}" in " ".join(one.cmdline()[:1])]


def kill_some(every: float, killed: list[float], over: threading.Event) -> None:
    """Kill an actor every `every` seconds."""
    while not over.wait(every):
        if victims := actors():
            victims[len(killed) % len(victims)].kill()
            killed.append(time.monotonic())


def main() -> None:
    """Score, kill, compare, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded", help='"tiny" for a model that is made here')
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--words", type=int, default=120)
    parser.add_argument("--every", type=float, default=20.0)
    parser.add_argument("--kills", type=int, default=5)
    asked = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    wanted = requests(asked.pairs, asked.words)
    killed: list[float] = []
    over = threading.Event()
    with tempfile.TemporaryDirectory() as room:
        tiny = asked.model == "tiny"
        model = str(build_tiny_model("bert", Path(room, "tiny"))) if tiny else asked.model
        calls = []
        with RayScorer(model, num_actors=2, **SETTINGS) as scorer:
            scorer.load()
            assert len(actors()) == 2, "nobody would be killed"
            killer = threading.Thread(target=kill_some, args=(asked.every, killed, over))
            killer.start()
            started = time.monotonic()
            try:
                while len(killed) < asked.kills:
                    before = len(killed)
                    calls.append(scorer.score_many(wanted))
                    print(
                        f"{time.monotonic() - started:.0f} s: {asked.pairs:,} pairs answered, "
                        f"{len(killed) - before} actors killed meanwhile",
                        flush=True,
                    )
            finally:
                over.set()
                killer.join()
        with CrossEncoderScorer(model, **SETTINGS) as local:
            expected = local.score_many(wanted)
    ray.shutdown()
    worst = 0.0
    for answers in calls:
        assert [len(one) for one in answers] == [len(texts) for _, texts in wanted]
        for row, other in zip(answers, expected, strict=True):
            worst = max(worst, *(abs(a - b) for a, b in zip(row, other, strict=True)))
    print(json.dumps({"kills": len(killed), "calls": len(calls), "largest difference": worst}))
    assert worst < 1e-5


if __name__ == "__main__":
    main()
