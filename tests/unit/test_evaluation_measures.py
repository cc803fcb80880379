import math
import re
import sys

import pytest

from langchain_rerank.errors import ConfigurationError, MissingExtraError
from langchain_rerank.evaluation.score.measures import parse_measure, parse_measures


def test_a_measure_of_ir_measures_is_computed_by_it():
    bpref = parse_measure("Bpref")
    assert str(bpref) == "Bpref"
    assert bpref(["n", "r"], {"r": 1, "n": 0}) == 0.0
    assert bpref(["r", "n"], {"r": 1, "n": 0}) == 1.0
    assert bpref([], {"r": 1}) == 0.0


def test_a_parameter_that_is_not_ours_goes_to_ir_measures():
    judged_only = parse_measure("P(judged_only=True)@2")
    assert judged_only(["u", "a", "b"], {"a": 1, "b": 1}) == 1.0
    assert parse_measure("P@2")(["u", "a", "b"], {"a": 1, "b": 1}) == 0.5


@pytest.mark.parametrize(
    ("name", "value"),
    [("ERR@10", 1 / 16), ("nDCG(dcg='exp-log2')@10", 1 / (1 + 1 / math.log2(3)))],
)
def test_measures_of_a_program_that_wants_plain_ids_work_with_any_id(name, value):
    found = parse_measure(name)(["my doc", "b"], {"my doc": 1, "c\td": 1})
    assert found == pytest.approx(value, abs=1e-5)  # it writes five digits


def test_a_measure_without_a_value_counts_zero():
    accuracy = parse_measure("Accuracy@10")
    assert accuracy([], {"a": 1}) == 0.0
    assert accuracy(["a", "b"], {"a": 0}) == 0.0
    assert accuracy(["a"], {"a": 1}) == 0.0
    assert accuracy(["a", "b"], {"a": 1}) == 1.0


@pytest.mark.parametrize("name", ["RBP", "alpha_nDCG@10", "ERR_IA@10"])
def test_a_measure_that_nothing_here_computes_is_refused_when_it_is_named(name):
    with pytest.raises(ConfigurationError, match=re.escape(f"{name!r} cannot be computed here: ")):
        parse_measure(name)


def test_without_the_extra_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'langchain-rerank\[ir\]'"):
        parse_measure("Bpref")
    assert parse_measure("nDCG@10")(["a"], {"a": 1}) == 1.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nDGC@10", "Did you mean nDCG"),
        ("nDCG@0", "at least 1"),
        ("P", "needs a cutoff"),
        ("P(rel=0)@5", "at least 1"),
        ("P(rel)@5", "cannot be read"),
        ("nDCG(rel=2)@10", "cannot build"),
        ("10", "is no measure"),
        ("", "is no measure"),
    ],
)
def test_an_impossible_measure_is_refused_with_a_reason(name, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_measure(name)


def test_a_list_of_measures_may_be_one_string():
    assert [str(m) for m in parse_measures("nDCG@10, RR(rel=2)@10,R@100")] == [
        "nDCG@10",
        "RR(rel=2)@10",
        "R@100",
    ]


@pytest.mark.parametrize("measures", [[], "", ["nDCG@10", "NDCG@10"]])
def test_no_measure_and_the_same_twice_are_refused(measures):
    with pytest.raises(ConfigurationError, match="name each measure once"):
        parse_measures(measures)


def test_a_callable_with_a_name_is_a_measure():
    class Length:
        def __str__(self):
            return "Length"

        def __call__(self, ids, qrels):
            return float(len(ids))

    assert [str(m) for m in parse_measures([Length(), "RR"])] == ["Length", "RR"]
