"""Everything at once, for as long as you like: what a service does to a scorer in weeks.

    python tests/long/soak.py --seconds 600

Threads and tasks score, retrieve, cancel and close, over models of several families, under several
limits of tokens. Every answer is compared with what the same pair scored alone. Printed as JSON:
calls, answers that were wrong or never came, growth of memory after a warm-up, and the threads and
files that are left after the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from langchain_rerank import CrossEncoderRerankRetriever
from langchain_rerank.errors import ScorerClosedError
from langchain_rerank.scorers import contract
from langchain_rerank.scorers.contract import Scorer
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.testing import WordOverlapScorer
from langchain_rerank.testing.tiny_models import build_tiny_model
from langchain_rerank.wrappers import CachedScorer, LongDocumentScorer, ShardedScorer

FAMILIES = ("bert", "xlm-roberta", "modernbert", "qwen3")
LIMITS = (256, 384, 512)
QUERIES, TEXTS = 10, 30
LONG_ENOUGH = 600.0  # seconds, for memory to have come to rest
MOST_GROWTH = 2.0  # percent after the first third
PATIENCE = 120.0  # seconds, after which an answer counts as lost
WORDS = ["quick", "brown", "fox", "Paris", "Berlin", "vitamin", "compiler", "retrieval", "query"]


def cross_encoders(folder: Path) -> dict[tuple[str, int], Scorer]:
    """Return scorers of every family under every limit of tokens."""
    for family in FAMILIES:
        build_tiny_model(family, folder / family, activation="Identity")
    return {
        (family, limit): CrossEncoderScorer(
            folder / family, device="cpu", dtype="float32", max_length=limit
        )
        for family, limit in itertools.product(FAMILIES, LIMITS)
    }


def without_models() -> dict[tuple[str, int], Scorer]:
    """Return scorers that load nothing, so that calls, wrappers and caches are all there is."""
    words = WordOverlapScorer()
    return {
        ("words", 0): words,
        ("long", 8): LongDocumentScorer(words, passage_words=8, overlap_words=2),
        ("long", 40): LongDocumentScorer(words, passage_words=40, overlap_words=5),
        ("sharded", 2): ShardedScorer(words, WordOverlapScorer()),
    }


class Soak:
    """The scorers, what each pair scores, and the counts."""

    def __init__(self, folder: Path, seed: int, *, models: bool) -> None:
        self.random = random.Random(seed)
        self.scorers = cross_encoders(folder) if models else without_models()
        self.queries = [self._words(2, 12) for _ in range(QUERIES)]
        self.texts = [self._words(1, 250) for _ in range(TEXTS)]
        self.expected = {
            key: {
                query: [scorer.score(query, [text])[0] for text in self.texts]
                for query in self.queries
            }
            for key, scorer in self.scorers.items()
        }
        self.cached = {
            key: CachedScorer(scorer, path=folder / "scores.db", max_entries=200)
            for key, scorer in self.scorers.items()
        }
        self.counts = dict.fromkeys(("calls", "wrong", "lost", "closed", "cancelled", "failed"), 0)
        self.failures: list[str] = []
        self.lock = threading.Lock()

    def _words(self, least: int, most: int) -> str:
        return " ".join(self.random.choices(WORDS, k=self.random.randint(least, most)))

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def request(self, chance: random.Random):
        """Return a scorer, a query, texts and what they score."""
        key = chance.choice(list(self.scorers))
        query = chance.choice(self.queries)
        positions = [chance.randrange(TEXTS) for _ in range(chance.randint(1, 20))]
        scorer = (self.cached if chance.random() < 0.2 else self.scorers)[key]
        texts = [self.texts[i] for i in positions]
        return scorer, query, texts, [self.expected[key][query][i] for i in positions]

    def check(self, found: list[float], expected: list[float]) -> None:
        self.count("calls")
        close = all(
            abs(a - b) <= 1e-4 * max(1.0, abs(b)) for a, b in zip(found, expected, strict=True)
        )
        if not close:
            self.count("wrong")

    def failed(self, error: BaseException) -> None:
        if isinstance(error, ScorerClosedError):
            self.count("closed")
        elif isinstance(error, TimeoutError):
            self.count("lost")
        else:
            self.count("failed")
            self.failures.append(repr(error)[:300])

    def thread(self, number: int, until: float) -> None:
        chance = random.Random(number)
        while time.monotonic() < until:
            scorer, query, texts, expected = self.request(chance)
            try:
                if chance.random() < 0.3:
                    documents = [Document(text, id=str(i)) for i, text in enumerate(texts)]
                    found = CrossEncoderRerankRetriever(
                        base_retriever=RunnableLambda(lambda _, documents=documents: documents),
                        model=scorer,
                        top_n=None,
                    ).invoke(query)
                    by_id = {
                        document.id: document.metadata["relevance_score"] for document in found
                    }
                    self.check([by_id[str(i)] for i in range(len(texts))], expected)
                else:
                    self.check(scorer.score(query, texts), expected)
                if chance.random() < 0.002:
                    contract.close(chance.choice(list(self.scorers.values())))
            except Exception as error:  # noqa: BLE001 - counted
                self.failed(error)

    async def task(self, number: int, until: float) -> None:
        chance = random.Random(-number)
        while time.monotonic() < until:
            scorer, query, texts, expected = self.request(chance)
            work = asyncio.ensure_future(contract.ascore(scorer, query, texts))
            if chance.random() < 0.1:
                await asyncio.sleep(chance.random() / 100)
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError, ScorerClosedError):
                    await work
                self.count("cancelled")
                continue
            try:
                self.check(await asyncio.wait_for(work, PATIENCE), expected)
            except Exception as error:  # noqa: BLE001 - counted
                self.failed(error)
            await asyncio.sleep(chance.random() / 20)

    async def tasks(self, count: int, until: float) -> None:
        await asyncio.gather(*(self.task(number, until) for number in range(1, count + 1)))

    def close(self) -> None:
        for scorer in (*self.cached.values(), *self.scorers.values()):
            contract.close(scorer)


def resident() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / 2**20


def run(
    seconds: float, threads: int, tasks: int, seed: int, *, models: bool = True
) -> dict[str, object]:
    """Return what a soak of `seconds` found; a third of them is the warm-up."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), seed, models=models)
        for scorer in soak.scorers.values():  # a cache stays open: it would not open again
            contract.close(scorer)
        files_before, threads_before = process.num_fds(), threading.active_count()
        started = time.monotonic()
        until = started + seconds
        workers = [
            threading.Thread(target=soak.thread, args=(number, until), daemon=True)
            for number in range(1, threads + 1)
        ]
        workers.append(
            threading.Thread(target=lambda: asyncio.run(soak.tasks(tasks, until)), daemon=True)
        )
        for worker in workers:
            worker.start()
        time.sleep(seconds / 3)
        warm = resident()
        for worker in workers:
            worker.join(max(0.0, until - time.monotonic()) + PATIENCE)
        soak.counts["lost"] += sum(worker.is_alive() for worker in workers)
        end = resident()
        soak.close()
        deadline = time.monotonic() + 30
        while threading.active_count() > threads_before + 8 and time.monotonic() < deadline:
            time.sleep(0.1)
        engines = [t.name for t in threading.enumerate() if t.name == "langchain-rerank-engine"]
        return {
            "seconds": round(time.monotonic() - started, 1),
            "threads": threads,
            "tasks": tasks,
            **soak.counts,
            "failures": soak.failures[:5],
            "warm_mib": round(warm, 1),
            "end_mib": round(end, 1),
            "growth_percent": round(100 * (end / warm - 1), 2),
            "engine_threads_after_close": len(engines),
            "files_left_open": max(0, process.num_fds() - files_before),
        }


def main() -> int:
    """Run the soak that the command line asks for; 1 where something was lost or left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--without-models", dest="models", action="store_false", help="scorers that load nothing"
    )
    asked = parser.parse_args()
    found = run(**vars(asked))
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    bad = ("wrong", "lost", "failed", "engine_threads_after_close", "files_left_open")
    grown = asked.seconds >= LONG_ENOUGH and found["growth_percent"] > MOST_GROWTH
    return int(grown or any(found[name] for name in bad))


if __name__ == "__main__":
    raise SystemExit(main())
