import json

import pytest

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.score.results import (
    Comparison,
    EvaluationResult,
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

SUMMARY = MeasureSummary(mean=0.5, ci=(0.4, 0.6), n=3)


def result() -> EvaluationResult:
    point = SweepPoint(
        k=10,
        measures={"nDCG@10": SUMMARY},
        oracle=0.8,
        missed=0.2,
        misordered=0.3,
        loss=0.0,
        loss_upper=0.0,
        within_margin=True,
        within_budget=None,
        pareto=True,
        selected_share=1.0,
    )
    return EvaluationResult(
        title="a comparison",
        baseline="first_stage",
        measures=("nDCG@10",),
        systems={
            "first_stage": SystemSummary(
                measures={"nDCG@10": SUMMARY}, latency={"total": Latency(1.0, 2.0, 3.0, 1.5, 4)}
            )
        },
        comparisons=(
            Comparison(
                system="reranked",
                baseline="first_stage",
                measure="nDCG@10",
                baseline_mean=0.5,
                mean=0.6,
                difference=0.1,
                ci=(0.0, 0.2),
                p_value=None,
                p_holm=None,
                wins=1,
                ties=1,
                losses=1,
                improvement_percent=20.0,
                gained=(QueryDifference("1", "what?", 0.5),),
                note="too few queries",
            ),
        ),
        queries=(
            QueryRow("1", "what?", systems={"first_stage": SystemRow(("a", "b"), (2.0, 1.0))}),
            QueryRow("2", "", status="invalid", error="empty question"),
        ),
        loss_split=(LossSplit("reranked", "nDCG@10", 50, 0.8, 0.5, 0.2, 0.3),),
        sweep=Sweep(
            measure="nDCG@10",
            margin=0.01,
            budget_ms=None,
            points=(point,),
            recommended_k=10,
            verdict="recommended",
            reason="the only K",
            argmax_k=10,
            knee_k=None,
            pareto_ks=(10,),
            stability=1.0,
            queries_needed=None,
            scored_pairs=30,
            latency_pairs=0,
            single_pass=True,
        ),
        settings={"seed": 0},
        warnings=("note",),
        texts={"a": "text"},
    )


def test_a_result_survives_json():
    written = json.loads(json.dumps(result().to_dict()))
    assert EvaluationResult.from_dict(written) == result()


def test_the_layout_that_readers_of_the_json_rely_on():
    written = result().to_dict()
    assert written["systems"]["first_stage"]["measures"]["nDCG@10"] == {
        "mean": 0.5,
        "ci": [0.4, 0.6],
        "n": 3,
    }
    assert written["recommended_k"] == 10
    assert written["counts"] == {"ok": 1, "failed": 0, "unlabelled": 0, "invalid": 1}
    assert "texts" not in written


def test_an_unknown_field_is_named():
    with pytest.raises(ConfigurationError, match="has no field 'colour'"):
        EvaluationResult.from_dict({**result().to_dict(), "colour": "red"})


def test_a_missing_field_is_named():
    written = result().to_dict()
    del written["systems"]
    with pytest.raises(ConfigurationError, match="systems"):
        EvaluationResult.from_dict(written)


def test_the_rank_of_the_first_relevant_document_is_one_based():
    row = SystemRow(ids=("a", "b", "c"))
    assert row.first_relevant_rank({"b": 1, "c": 2}) == 2
    assert row.first_relevant_rank({"b": 1, "c": 2}, rel=2) == 3
    assert row.first_relevant_rank({"x": 1}) is None
