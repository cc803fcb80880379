"""Latency at every depth, measured on a sample of the questions."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence
from time import perf_counter

from langchain_rerank.evaluation.data.datasets import Record
from langchain_rerank.evaluation.run.scoring import ScoringPass
from langchain_rerank.scorers.contract import Scorer

_SHARE = 0.2  # of the pairs of the curve: what measuring latency may cost on top
_MOST = 30
FEWEST_TIMED = 10  # questions that a budget is decided by: a median of fewer says little

Times = Mapping[int, Mapping[str, Mapping[str, float]]]
"""Milliseconds by K, query id and stage."""


def measured(
    work: ScoringPass,
    records: Sequence[Record],
    depths: Mapping[int, int],
    scorer: Scorer,
    *,
    queries: int | None,
    budget: bool,
    pairs: int,
    seed: int,
) -> tuple[Times, int]:
    """Return the latency by K, query id and stage, and how many pairs measuring it cost.

    A line through two depths misses the others by a quarter, so each is measured, in shuffled order
    within every question.

    Args:
        work: Retrieves and scores.
        records: The questions that can be asked.
        depths: How many candidates are retrieved, by K. They are all reranked, but for K = 0.
        scorer: The scorer.
        queries: How many questions; None for as many as a fifth of `pairs` allows, at most 30.
        budget: Whether a budget is decided by the times, which needs at least `FEWEST_TIMED`.
        pairs: How many pairs the curve took.
        seed: Seed of the sample and the order.
    """
    if queries is None:
        queries = min(_MOST, int(_SHARE * pairs / sum(depths)))
        queries = max(queries, FEWEST_TIMED if budget else 0)
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    times: dict[int, dict[str, dict[str, float]]] = {k: {} for k in depths}
    cost = 0
    for record in chance.sample(list(records), min(queries, len(records))):
        for k in chance.sample(list(depths), len(depths)):
            # A question that fails now has no latency; it did not fail in the curve.
            with contextlib.suppress(Exception):
                started = perf_counter()
                found = work.retrieve(record, depths[k])
                retrieved = ended = perf_counter()
                if k:
                    cost += len(found)
                    work.score(scorer, record, found)
                    ended = perf_counter()
                times[k][record.id] = {
                    "first_stage": (retrieved - started) * 1000.0,
                    "rerank": (ended - retrieved) * 1000.0,
                    "total": (ended - started) * 1000.0,
                }
    return times, cost
