"""The measurement: interleaved rounds of every system over the same fresh requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum

from langchain_rerank.bench.machine import PeakMemory
from langchain_rerank.bench.systems import System
from langchain_rerank.scorers.contract import Request


class Scenario(StrEnum):
    """How the requests come in."""

    one = "one caller"
    seen = "one caller, documents seen before"
    bulk = "all at once"
    callers = "concurrent callers"


@dataclass(frozen=True)
class Requests:
    """What one round asks: fresh texts for each scenario, so that no document was seen before."""

    alone: Sequence[Request]
    bulk: Sequence[Request] = ()
    callers: Sequence[Request] = ()


@dataclass(frozen=True)
class Timing:
    """What a scenario took.

    Attributes:
        seconds: From the first request to the last answer.
        latencies: Seconds of each call, from its start to its answer.
        scores: The scores of each request, where they are kept.
    """

    seconds: float
    latencies: list[float]
    scores: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class Round:
    """One round of one system in one scenario.

    Attributes:
        number: Which round; the same number means the same requests.
        timing: What it took.
        requests: What was asked.
        peak_mb: Memory on top of what was in use before, in MB; None where not measured.
    """

    number: int
    timing: Timing
    requests: Sequence[Request]
    peak_mb: float | None


Measured = dict[tuple[str, Scenario], list[Round]]
"""The rounds of each system in each scenario."""


def one_after_the_other(system: System, requests: Sequence[Request]) -> Timing:
    """Time one caller who asks one query after the other."""
    latencies, scores = [], []
    for query, texts in requests:
        begin = time.perf_counter()
        answer = system.score(query, texts)
        latencies.append(time.perf_counter() - begin)
        scores.append([float(score) for score in answer])
    return Timing(sum(latencies), latencies, scores)


def all_at_once(system: System, requests: Sequence[Request]) -> Timing:
    """Time one call with all requests, of a system that has such a call."""
    if system.score_many is None:
        raise TypeError(f"{system.name} has no call for several requests")
    begin = time.perf_counter()
    system.score_many(requests)
    seconds = time.perf_counter() - begin
    return Timing(seconds, [seconds])


def from_many_threads(system: System, requests: Sequence[Request]) -> Timing:
    """Time one thread per request, all starting at the same moment."""
    gate = threading.Barrier(len(requests) + 1)

    def ask(request: Request) -> float:
        gate.wait()
        system.score(*request)
        return time.perf_counter()

    with ThreadPoolExecutor(len(requests)) as pool:
        answers = [pool.submit(ask, request) for request in requests]
        gate.wait()
        begin = time.perf_counter()
        latencies = [answer.result() - begin for answer in answers]
    return Timing(max(latencies), latencies)


_HOW: dict[Scenario, Callable[[System, Sequence[Request]], Timing]] = {
    Scenario.one: one_after_the_other,
    Scenario.seen: one_after_the_other,
    Scenario.bulk: all_at_once,
    Scenario.callers: from_many_threads,
}


def scenarios(system: System, requests: Requests) -> dict[Scenario, Sequence[Request]]:
    """Return what a system is asked in a round, by scenario, in order."""
    asked = {Scenario.one: requests.alone}
    if system.keeps_documents:
        asked[Scenario.seen] = requests.alone
    if requests.bulk and system.score_many is not None:
        asked[Scenario.bulk] = requests.bulk
    if requests.callers and system.concurrent:
        asked[Scenario.callers] = requests.callers
    return asked


def measure(
    systems: Sequence[System],
    rounds: Sequence[Requests],
    memory: PeakMemory,
    measured: Measured,
) -> Iterator[tuple[System, Scenario]]:
    """Run every round of every system, and yield what was just put into `measured`.

    Each round starts with another system, so that a slow spell of the machine hits all alike.
    """
    for number, requests in enumerate(rounds):
        first = number % len(systems)
        for system in [*systems[first:], *systems[:first]]:
            for scenario, asked in scenarios(system, requests).items():
                memory.start()
                timing = _HOW[scenario](system, asked)
                measured.setdefault((system.name, scenario), []).append(
                    Round(number, timing, asked, memory.stop())
                )
                yield system, scenario
