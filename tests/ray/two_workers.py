"""Pairs a second with one and with two workers of one CPU thread each: `make time-workers`.

`RayScorer` scores the same pairs with one actor and with two, in turns; then `rerank_dataset`
scores a file with either, its start included. Both cores must be free: what else runs is measured
too. The scores of both are compared with those of one process.
"""

# ruff: noqa: T201 - it prints what it measured

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import ray

from langchain_rerank import CrossEncoderScorer, RayScorer, rerank_dataset
from langchain_rerank.embedded import CORPUS_FOLDER, QUESTIONS_FILE
from langchain_rerank.evaluation import load_dataset
from langchain_rerank.files import load_documents

SETTINGS = {"dtype": "float32", "device": "cpu"}


def requests(pairs: int) -> list[tuple[str, list[str]]]:
    """Return the sample questions, each with passages of the sample guides, `pairs` in all."""
    texts = [document.page_content for document in load_documents([CORPUS_FOLDER])]
    questions = [record.question for record in load_dataset(QUESTIONS_FILE).records]
    return [
        (
            questions[start // 50 % len(questions)],
            [texts[(start + i) % len(texts)] for i in range(min(50, pairs - start))],
        )
        for start in range(0, pairs, 50)
    ]


def seconds_of(call) -> float:
    """Return the seconds that `call()` takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def rows_in(file: Path) -> list[dict]:
    """Return the rows of a result, in order."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--pairs", type=int, default=3000, help="of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--file-pairs", type=int, default=12_000, help="of the file; 0: no file")
    asked = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_worker_niceness", "0")
    wanted = requests(asked.pairs)
    with CrossEncoderScorer(asked.model, **SETTINGS) as local:
        local.load()
        before = local.metrics().tokens
        expected = local.score_many(wanted[:4])
        tokens = (local.metrics().tokens - before) / sum(len(texts) for _, texts in wanted[:4])
    # More "cores" than there are: those who wait for their turn need one of their own.
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    taken: dict[int, list[float]] = {1: [], 2: []}
    with (
        RayScorer(asked.model, num_actors=1, **SETTINGS) as one,
        RayScorer(asked.model, num_actors=2, **SETTINGS) as two,
    ):
        pools = {1: one, 2: two}
        for scorer in pools.values():
            scorer.load()
            for row, other in zip(scorer.score_many(wanted[:4]), expected, strict=True):
                assert max(abs(a - b) for a, b in zip(row, other, strict=True)) < 1e-5
        for _ in range(asked.rounds):
            for workers, scorer in pools.items():
                taken[workers].append(seconds_of(partial(scorer.score_many, wanted)))
    speed = {workers: asked.pairs / statistics.median(taken[workers]) for workers in taken}
    found = {
        "tokens of a pair": round(tokens),
        "seconds": {str(k): [round(x, 1) for x in v] for k, v in taken.items()},
        "pairs a second": {str(k): round(v) for k, v in speed.items()},
        "tokens a second": {str(k): round(v * tokens) for k, v in speed.items()},
        "two are faster by": round(speed[2] / speed[1], 2),
    }
    print(json.dumps(found, indent=2), flush=True)
    if asked.file_pairs:
        jobs = {}
        with tempfile.TemporaryDirectory() as room:
            source = Path(room, "pairs.jsonl")
            rows = [(q, text) for q, texts in requests(asked.file_pairs) for text in texts]
            lines = [json.dumps({"query": query, "text": text}) + "\n" for query, text in rows]
            source.write_text("".join(lines))
            for workers in (1, 2):
                out = Path(room, f"{workers}.jsonl")
                job = partial(rerank_dataset, source, out, model=asked.model, num_actors=workers)
                jobs[workers] = seconds_of(partial(job, part_pairs=1000, **SETTINGS))
            one, two = (rows_in(Path(room, f"{workers}.jsonl")) for workers in jobs)
        # Which texts share a batch depends on the clock, and so does the last digit.
        for a, b in zip(one, two, strict=True):
            assert abs(a.pop("score") - b.pop("score")) < 1e-5
        assert one == two
        found = {
            "seconds of a file, its start included": {str(k): round(v, 1) for k, v in jobs.items()},
            "two are faster by, for a file": round(jobs[1] / jobs[2], 2),
        }
        print(json.dumps(found, indent=2))
    ray.shutdown()


if __name__ == "__main__":
    main()
