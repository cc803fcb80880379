"""Latency at every depth, measured on a sample of the questions."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence
from time import perf_counter

from langchain_rerank.evaluation.data.datasets import Record
from langchain_rerank.evaluation.run.scoring import ScoringPass
from langchain_rerank.scorers.contract import Scorer

_SHARE = 0.2  # of the pairs of the curve: what measuring latency may cost on top
_MOST = 30


def measured(
    work: ScoringPass,
    records: Sequence[Record],
    ks: Sequence[int],
    scorer: Scorer,
    *,
    queries: int | None,
    pairs: int,
    seed: int,
) -> tuple[dict[int, dict[str, dict[str, float]]], int]:
    """Return the latency by depth, query id and stage, and how many pairs measuring it cost.

    A line through two depths misses the others by a quarter, so each is measured, in shuffled order
    within every question.

    Args:
        work: Retrieves and scores.
        records: The questions that can be asked.
        ks: The depths.
        scorer: The scorer.
        queries: How many questions; None for as many as a fifth of `pairs` allows, at most 30.
        pairs: How many pairs the curve took.
        seed: Seed of the sample and the order.
    """
    if queries is None:
        queries = min(_MOST, int(_SHARE * pairs / sum(ks)))
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    times: dict[int, dict[str, dict[str, float]]] = {k: {} for k in ks}
    cost = 0
    for record in chance.sample(list(records), min(queries, len(records))):
        for k in chance.sample(list(ks), len(ks)):
            # A question that fails now has no latency; it did not fail in the curve.
            with contextlib.suppress(Exception):
                started = perf_counter()
                found = work.retrieve(record, k)
                retrieved = perf_counter()
                cost += len(found)
                work.score(scorer, record, found)
                ended = perf_counter()
                times[k][record.id] = {
                    "first_stage": (retrieved - started) * 1000.0,
                    "rerank": (ended - retrieved) * 1000.0,
                    "total": (ended - started) * 1000.0,
                }
    return times, cost
