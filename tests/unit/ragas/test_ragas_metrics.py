"""The metrics by name, what they need, and the ones that need no LLM."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.ragas import METRICS, WITHOUT_JUDGE, RagasRow
from langchain_rerank.evaluation.ragas.metrics import parse_metrics

CLASSES = {
    "IDBasedContextPrecision": "id_based_context_precision",
    "IDBasedContextRecall": "id_based_context_recall",
    "NonLLMContextPrecisionWithReference": "non_llm_context_precision_with_reference",
    "NonLLMContextRecall": "non_llm_context_recall",
    "ContextPrecision": "context_precision",
    "LLMContextPrecisionWithReference": "context_precision",
    "ContextPrecisionWithoutReference": "context_precision_without_reference",
    "ContextUtilization": "context_precision_without_reference",
    "ContextRecall": "context_recall",
    "ContextRelevance": "context_relevance",
    "Faithfulness": "faithfulness",
    "ResponseRelevancy": "answer_relevancy",
    "AnswerRelevancy": "answer_relevancy",
    "NoiseSensitivity": "noise_sensitivity",
}


@pytest.mark.parametrize(("name", "metric"), CLASSES.items())
def test_the_names_of_ragas_classes_are_understood(name, metric):
    assert [one.name for one in parse_metrics(name)] == [metric]


def test_an_unknown_metric_is_answered_with_the_nearest():
    with pytest.raises(ConfigurationError, match="Did you mean faithfulness"):
        parse_metrics("faithfullness")


@pytest.mark.parametrize("names", ["", [], "context_recall,LLMContextRecall"])
def test_no_metric_and_one_twice_are_refused(names):
    with pytest.raises(ConfigurationError, match="name each once"):
        parse_metrics(names)


def test_four_metrics_need_no_judge():
    assert WITHOUT_JUDGE == (
        "id_based_context_precision",
        "id_based_context_recall",
        "non_llm_context_precision_with_reference",
        "non_llm_context_recall",
    )


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_row_with_nothing_but_a_question_is_no_metrics_to_judge(metric):
    assert metric.not_applicable(RagasRow("?")).startswith("the row has no ")


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda one: one.name)
def test_empty_retrieval_is_known_to_all_metrics_that_judge_retrieval(metric):
    row = RagasRow(
        "?",
        retrieved_contexts=(),
        retrieved_context_ids=(),
        reference="r",
        reference_contexts=("r",),
        reference_context_ids=("r",),
        response="x",
    )
    assert metric.not_applicable(row) is None
    assert metric.retrieved_nothing(row) == (metric.name != "answer_relevancy")


def ids(retrieved, reference):
    return RagasRow("?", retrieved_context_ids=retrieved, reference_context_ids=reference)


def texts(retrieved, reference):
    return RagasRow("?", retrieved_contexts=retrieved, reference_contexts=reference)


@pytest.mark.parametrize(
    ("name", "row", "value"),
    [
        ("id_based_context_precision", ids(("a", "b", "c", "d"), ("b",)), 0.25),
        ("id_based_context_precision", ids(("a", "a", "b"), ("a",)), 0.5),
        ("id_based_context_recall", ids(("a", "b"), ("b", "c")), 0.5),
        ("non_llm_context_recall", texts(("some text",), ("some text", "other words")), 0.5),
        # Exactly half alike: enough for precision, too little for recall, as in RAGAS.
        ("non_llm_context_recall", texts(("abcd",), ("abxy",)), 0.0),
        ("non_llm_context_precision_with_reference", texts(("abcd",), ("abxy",)), 1 / (1 + 1e-10)),
        (
            "non_llm_context_precision_with_reference",
            texts(("nothing", "some text"), ("some text",)),
            0.5 / (1 + 1e-10),
        ),
        ("non_llm_context_precision_with_reference", texts(("x",), ("some text",)), 0.0),
    ],
)
def test_values_without_an_llm(name, row, value):
    assert METRICS[name].compute(row) == value


words = st.text(alphabet="abc", max_size=12)


def slow_levenshtein(a, b):
    previous = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        current = [i]
        for j, y in enumerate(b, 1):
            current.append(min(previous[j] + 1, current[-1] + 1, previous[j - 1] + (x != y)))
        previous = current
    return previous[-1]


@given(words, words)
def test_texts_are_alike_by_the_textbooks_distance_over_the_longer_length(a, b):
    alike = 1 - slow_levenshtein(a, b) / max(len(a), len(b), 1)
    row = texts((a,), (b,))
    assert METRICS["non_llm_context_recall"].compute(row) == float(alike > 0.5)
    precise = METRICS["non_llm_context_precision_with_reference"].compute(row)
    assert precise == (1 / (1 + 1e-10) if alike >= 0.5 else 0.0)


@pytest.mark.parametrize(("replaced", "found"), [(2099, 1.0), (2100, 0.0)])
def test_long_texts_of_any_script_are_compared(replaced, found):
    text = "длинный текст " * 300  # 4,200 characters
    row = texts((text,), ("x" * replaced + text[replaced:],))
    assert METRICS["non_llm_context_recall"].compute(row) == found
