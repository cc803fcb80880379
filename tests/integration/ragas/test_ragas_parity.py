"""Without an LLM, our values are RAGAS's own wherever RAGAS gives a number."""

import math
import random
import warnings

import pytest

from langchain_rerank.evaluation.ragas import WITHOUT_JUDGE, RagasRow, import_ragas, to_samples
from langchain_rerank.evaluation.ragas.metrics import METRICS

CLASSES = {
    "id_based_context_precision": "IDBasedContextPrecision",
    "id_based_context_recall": "IDBasedContextRecall",
    "non_llm_context_precision_with_reference": "NonLLMContextPrecisionWithReference",
    "non_llm_context_recall": "NonLLMContextRecall",
}


@pytest.fixture(autouse=True)
def _leave_home_alone(monkeypatch):
    # To count an evaluation, RAGAS reads or writes a file in the home directory and leaves it open,
    # with its telemetry off, too.
    base = import_ragas("ragas.metrics.base")
    monkeypatch.setattr(base, "EvaluationEvent", lambda **_: None)
    monkeypatch.setattr(base._analytics_batcher, "add_evaluation", lambda _: None)


def theirs(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these metrics have no successor, and warn all the same
        return getattr(import_ragas("ragas.metrics"), CLASSES[name])()


def rows(count, seed):
    """Rows of ids and of texts that are equal, alike, or strangers, some just at the threshold."""
    chosen = random.Random(seed)
    made = []
    for _ in range(count):
        texts = [
            "".join(chosen.choices("abc de", k=chosen.randint(1, 24)))
            for _ in range(chosen.randint(1, 5))
        ]
        references = [
            "".join(c if chosen.random() < 0.6 else "x" for c in chosen.choice(texts))
            for _ in range(chosen.randint(1, 3))
        ]
        made.append(
            RagasRow(
                "?",
                retrieved_contexts=tuple(texts),
                retrieved_context_ids=tuple(chosen.choices("abcdef", k=chosen.randint(1, 6))),
                reference_contexts=tuple(references),
                reference_context_ids=tuple(chosen.sample("abcdef", chosen.randint(1, 4))),
            )
        )
    return made


@pytest.mark.parametrize("name", WITHOUT_JUDGE)
async def test_values_equal_those_of_ragas(name):
    if "non_llm" in name:
        pytest.importorskip("rapidfuzz", reason="what RAGAS compares texts with")
    judged, metric = rows(300, seed=7), theirs(name)
    expected = [await metric.single_turn_ascore(one) for one in to_samples(judged)]
    assert [METRICS[name].compute(one) for one in judged] == expected
    assert len(set(expected)) > 3


@pytest.mark.parametrize("name", ["id_based_context_precision", "id_based_context_recall"])
async def test_where_ragas_has_nan_we_have_zero_or_no_value(name):
    row = RagasRow("?", retrieved_context_ids=(), reference_context_ids=("a",))
    theirs_value = await theirs(name).single_turn_ascore(to_samples([row])[0])
    assert math.isnan(theirs_value) or theirs_value == 0.0
    assert METRICS[name].retrieved_nothing(row)
    unlabelled = RagasRow("?", retrieved_context_ids=("a",), reference_context_ids=())
    assert METRICS[name].not_applicable(unlabelled) == "the row has no reference_context_ids"
