"""Latency at every depth, measured on a sample of the questions."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from langchain_core.runnables import RunnableConfig

from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.run.passes import Pass
from langchain_rerank.evaluation.run.stage import Found, Stage
from langchain_rerank.evaluation.run.systems import Reranker

_SHARE = 0.2  # of the pairs of the curve: what measuring latency may cost on top
_MOST = 30
FEWEST_TIMED = 10  # questions that a budget is decided by: a median of fewer says little

Times = Mapping[int, Mapping[str, Mapping[str, float]]]
"""Milliseconds by K, query id and stage."""


async def measured(
    work: Pass,
    records: Sequence[Record],
    depths: Mapping[int, int],
    model: Reranker,
    *,
    queries: int | None,
    budget: bool,
    pairs: int,
) -> tuple[Times, int]:
    """Return the latency by K, query id and stage, and how many pairs measuring it cost.

    A line through two depths misses the others by a quarter, so each is measured, in shuffled order
    within every question. What the journal has is not timed again; a timing that fails is missing.
    `depths` has how many candidates are retrieved by K: all are reranked, but for K = 0.
    """
    queries = timed_questions(len(records), depths, queries, budget=budget, pairs=pairs)
    chance = random.Random(work.setting.seed)  # noqa: S311 - a sample, not a secret
    times: dict[int, dict[str, dict[str, float]]] = {k: {} for k in depths}
    stages = {k: _timing(work, k, depth, model) for k, depth in depths.items()}
    cost = 0
    for record in chance.sample(list(records), queries):
        shuffled = [stages[k] for k in chance.sample(list(depths), len(depths))]
        found = await work.collector.asked(shuffled, record)
        for k, stage in stages.items():
            one = found[stage.names[0]]
            # A question that fails now has no latency; it did not fail in the curve.
            if one.error is None:
                times[k][record.id] = one.latency_ms
                cost += len(one.keys) if k else 0
    return times, cost


def timed_questions(
    most: int, depths: Mapping[int, int], queries: int | None, *, budget: bool, pairs: int
) -> int:
    """Return how many of `most` questions are timed: where `queries` does not say, at most 30.

    They may take a fifth of the `pairs` of the curve; a budget needs at least `FEWEST_TIMED`.
    """
    if queries is None:
        queries = min(_MOST, int(_SHARE * pairs / sum(depths)))
        queries = max(queries, FEWEST_TIMED if budget else 0)
    return min(queries, most)


def cost_of_timing(depths: Mapping[int, int]) -> int:
    """Return what timing one question at every depth costs, in the unit of progress."""
    return sum(1 + k for k in depths)


def _timing(work: Pass, k: int, depth: int, model: Reranker) -> Stage:
    """Return the stage that only times: what it finds is nobody's result."""
    name = f"timed@{k}"

    async def ask(record: Record, config: RunnableConfig) -> dict[str, Found]:
        candidates = await work.retrieve(record, depth, config)
        first = candidates.latency_ms["first_stage"]
        second = 0.0
        if k:
            found = await work.rerank(model, record, candidates.documents, config)
            second = found.latency_ms["rerank"]
        times = {"first_stage": first, "rerank": second, "total": first + second}
        return {name: replace(candidates, latency_ms=times)}

    return Stage((name,), ask, given=lambda _record: str(depth), cost=1 + k)
