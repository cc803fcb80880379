"""A report made by hand, so that its figures are known."""

import pytest

from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.score.results import (
    Comparison,
    Latency,
    LossSplit,
    MeasureSummary,
    QueryDifference,
    QueryRow,
    Sweep,
    SweepPoint,
    SystemRow,
    SystemSummary,
)


def latency(p50):
    return Latency(p50=p50, p90=p50 * 1.2, p95=p50 * 1.5, mean=p50 * 1.1, n=2)


def summary(mean, n=2):
    return MeasureSummary(mean=mean, ci=(max(0.0, mean - 0.1), min(1.0, mean + 0.1)), n=n)


@pytest.fixture
def make_report():
    """Return a function that makes a report of (RR@10 before, RR@10 after) by query.

    A value v stands for a relevant document at rank 1/v; 0 for none among the three candidates.
    """

    def row(value):
        ids = ["a", "b", "c"]
        if value:
            ids.remove("a")
            ids.insert(round(1 / value) - 1, "a")
        else:
            ids[0] = "z"
        return SystemRow(
            ids=tuple(ids),
            scores=(3.0, 2.0, 1.0),
            measures={"RR@10": value},
            latency_ms={"total": 5.0},
        )

    def make(values=((0.5, 1.0), (1.0, 0.5)), *, ci=(-0.2, 0.2), sweep=False, **changes):
        names = ("first_stage", "reranked")
        means = [sum(pair[i] for pair in values) / len(values) for i in (0, 1)]
        queries = tuple(
            QueryRow(
                query_id=f"q{number}",
                question=f"question {number}",
                systems=dict(zip(names, map(row, pair), strict=True)),
                qrels={"a": 1, "c": 0},
            )
            for number, pair in enumerate(values, 1)
        )
        changed = [
            QueryDifference(one.query_id, one.question, pair[1] - pair[0])
            for one, pair in zip(queries, values, strict=True)
        ]
        fields = {
            "title": "Reranking, by hand",
            "baseline": "first_stage",
            "measures": ("RR@10",),
            "systems": {
                "first_stage": SystemSummary(
                    {"RR@10": summary(means[0], len(values))}, {"total": latency(8.0)}
                ),
                "reranked": SystemSummary(
                    {"RR@10": summary(means[1], len(values))},
                    {"rerank": latency(92.0), "total": latency(100.0)},
                ),
            },
            "comparisons": (
                Comparison(
                    system="reranked",
                    baseline="first_stage",
                    measure="RR@10",
                    baseline_mean=means[0],
                    mean=means[1],
                    difference=means[1] - means[0],
                    ci=ci,
                    p_value=0.04,
                    p_holm=0.04,
                    wins=sum(new > old for old, new in values),
                    ties=sum(new == old for old, new in values),
                    losses=sum(new < old for old, new in values),
                    improvement_percent=100 * (means[1] - means[0]) / (means[0] or 1),
                    gained=tuple(one for one in changed if one.difference > 0),
                    lost=tuple(one for one in changed if one.difference < 0),
                    added_ms=92.0,
                    latency_factor=12.5,
                ),
            ),
            "queries": queries,
            "loss_split": (LossSplit("reranked", "RR@10", 3, 0.9, means[1], 0.1, 0.9 - means[1]),),
            "sweep": make_sweep() if sweep else None,
            "settings": {"first_stage_k": 3, "data": {"name": "by hand"}},
            "environment": {"python": "3.12"},
            "texts": {"a": "text of a", "b": "text of b", "c": "text of c"},
        }
        return Report(**{**fields, **changes})

    def make_sweep():
        points = tuple(
            SweepPoint(
                k=k,
                measures={"RR@10": summary(mean)},
                oracle=0.9,
                missed=0.1,
                misordered=0.9 - mean,
                loss=0.8 - mean,
                loss_upper=0.81 - mean,
                within_margin=k >= 20,
                within_budget=k <= 20,
                pareto=True,
                selected_share=0.25 * k / 10,
                latency={"total": latency(5.0 * k)},
            )
            for k, mean in ((10, 0.7), (20, 0.79), (30, 0.8))
        )
        return Sweep(
            measure="RR@10",
            margin=0.02,
            budget_ms=120.0,
            points=points,
            recommended_k=20,
            verdict="recommended",
            reason="It is the smallest K within the margin.",
            argmax_k=30,
            knee_k=20,
            pareto_ks=(10, 20, 30),
            stability=0.5,
            queries_needed=None,
            scored_pairs=60,
            latency_pairs=120,
            single_pass=True,
            checks=("The scorer is pointwise.",),
        )

    return make
