"""200 clients at once for a minute against `langchain-rerank serve`: `make ray-long`.

Each client asks, reads, and asks again; one that gets 429 waits as long as it is told. Every answer
is compared with what the same pairs score in one process, so that an answer which went to another
client shows. Nothing but 200 and 429 may come, and the memory of the replica may not grow by more
than 5 % after the first third.
"""

# ruff: noqa: T201 - it prints what it measured

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter

import httpx
import psutil

from langchain_rerank import CrossEncoderScorer

WORDS = ["red", "fox", "hen", "adapter", "rank", "vector", "token", "cache", "model", "query"]
SERVE = "from langchain_rerank.cli import main; main()"


class Clients:
    """The questions, what each scores, and what came of them."""

    def __init__(self, model: str) -> None:
        chosen = random.Random(2)
        self.asked = [
            (
                f"what is a {WORDS[i % 7]} {i}",
                [
                    f"{' '.join(chosen.choices(WORDS, k=chosen.randint(3, 60)))} {i} {j}"
                    for j in range(4)
                ],
            )
            for i in range(40)
        ]
        with CrossEncoderScorer(model, dtype="float32", device="cpu") as local:
            self.expected = [list(scores) for scores in local.score_many(self.asked)]
        self.statuses: Counter[int] = Counter()
        self.waits: list[float] = []
        self.failures: list[str] = []
        self.worst = 0.0

    async def ask(self, http: httpx.AsyncClient, number: int, end: float) -> None:
        """Ask one question after the other until `end`."""
        while time.monotonic() < end:
            number = (number + 1) % len(self.asked)
            query, texts = self.asked[number]
            started = time.monotonic()
            try:
                answer = await http.post("/v1/rerank", json={"query": query, "documents": texts})
            except httpx.HTTPError as error:
                self.failures.append(repr(error))
                continue
            self.statuses[answer.status_code] += 1
            if answer.status_code == 200:
                self.waits.append(time.monotonic() - started)
                got = {one["index"]: one["relevance_score"] for one in answer.json()["results"]}
                self.worst = max(
                    self.worst,
                    *(abs(got[i] - want) for i, want in enumerate(self.expected[number])),
                )
            elif answer.status_code == 429:
                await asyncio.sleep(float(answer.headers["retry-after"]) * random.uniform(0.5, 1.5))
            else:
                self.failures.append(answer.text[:200])

    async def run(self, url: str, clients: int, seconds: float, memory) -> list[float]:
        """Return MiB of the replica, every tenth of the time, while all clients ask."""
        limits = httpx.Limits(max_connections=clients)
        async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
            end = time.monotonic() + seconds
            tasks = [asyncio.create_task(self.ask(http, 7 * n, end)) for n in range(clients)]
            found = []
            while time.monotonic() < end:
                await asyncio.sleep(seconds / 10)
                found.append(memory())
            await asyncio.gather(*tasks)
        return found


def wait_until_ready(url: str, server: subprocess.Popen) -> None:
    """Return when the server answers; it loads a model first."""
    for _ in range(600):
        assert server.poll() is None, "the server ended"
        try:
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError("the server was not ready in two minutes")


def main() -> None:
    """Ask, compare, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--max-concurrent", type=int, default=128)
    asked = parser.parse_args()
    clients = Clients(asked.model)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", SERVE, "serve", "--model", asked.model, "--port", port]
    command += ["--model-arg", "dtype=float32", "--max-concurrent", str(asked.max_concurrent)]
    environment = {"RAY_AUTH_MODE": "disabled"} | os.environ
    with subprocess.Popen(command, env=environment) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(url, server)
            below = psutil.Process(server.pid).children(recursive=True)
            (replica,) = [one for one in below if "ServeReplica" in " ".join(one.cmdline())]
            memory = asyncio.run(
                clients.run(
                    url,
                    asked.clients,
                    asked.seconds,
                    lambda: replica.memory_info().rss / 2**20,
                )
            )
        finally:
            server.terminate()
    waits = sorted(clients.waits)
    settled = memory[len(memory) // 3 :]
    growth = max(settled) / settled[0] - 1.0
    print(
        json.dumps(
            {
                "answers by status": clients.statuses,
                "failures": clients.failures[:3],
                "largest difference": clients.worst,
                "MiB of the replica": [round(one) for one in memory],
                "growth after a third": round(growth, 4),
                "seconds to an answer, median and p95": [
                    round(waits[int(len(waits) * share)], 2) for share in (0.5, 0.95)
                ],
                "answers a second": round(len(waits) / asked.seconds, 1),
            },
            indent=2,
        )
    )
    assert not clients.failures
    assert clients.worst < 1e-4
    assert growth < 0.05


if __name__ == "__main__":
    main()
