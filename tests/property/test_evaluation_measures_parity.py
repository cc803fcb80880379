"""Parity with ir_measures, the reference: the difference is exactly zero."""

import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import AP, RR, Judged, P, R, Success, nDCG

from langchain_rerank.evaluation.score.measures import oracle, parse_measure

# Not by its own parser: 0.4.3 uses ast.Num, which Python 3.14 no longer has.
MEASURES = {
    str(one): one
    for one in (
        nDCG,
        nDCG @ 1,
        nDCG @ 5,
        nDCG @ 10,
        RR,
        RR @ 3,
        RR(rel=2) @ 10,
        R @ 1,
        R @ 10,
        R(rel=2) @ 5,
        P @ 1,
        P @ 10,
        P(rel=2) @ 3,
        Success @ 1,
        Success @ 10,
        Success(rel=3) @ 5,
        AP,
        AP @ 5,
        AP(rel=2) @ 10,
        Judged @ 10,
        Judged @ 3,
    )
}
NAMES = list(MEASURES)

IDS = st.sampled_from([f"d{n}" for n in range(15)])
QRELS = st.dictionaries(IDS, st.integers(min_value=-1, max_value=3), min_size=1, max_size=12)
RANKINGS = st.lists(IDS, max_size=20)


def reference(name: str, ids: list[str], qrels: dict[str, int]) -> float:
    unique = list(dict.fromkeys(ids))
    # An empty run, written or not, is a query that is missing from it.
    run = {"q": {one: float(len(unique) - rank) for rank, one in enumerate(unique)}}
    run = run if unique else {"other": {"d0": 1.0}}
    return next(
        found.value
        for found in ir_measures.iter_calc([MEASURES[name]], {"q": qrels}, run)
        if found.query_id == "q"
    )


@pytest.mark.parametrize("name", NAMES)
@given(ids=RANKINGS, qrels=QRELS)
@settings(max_examples=60, deadline=None)
def test_every_measure_equals_ir_measures_exactly(name, ids, qrels):
    assert parse_measure(name)(ids, qrels) == reference(name, ids, qrels)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_query_counts_zero_as_in_ir_measures(name):
    assert parse_measure(name)([], {"d0": 1}) == reference(name, [], {"d0": 1}) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_measures_are_named_as_ir_measures_names_them(name):
    assert str(parse_measure(name)) == name


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("Judged")])
@given(ids=RANKINGS, qrels=QRELS, order=st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_no_order_of_the_candidates_beats_the_oracle(name, ids, qrels, order):
    measure = parse_measure(name)
    ids = list(dict.fromkeys(ids))
    shuffled = order.sample(ids, len(ids))
    # Sums of the same terms in another order differ in their last bits.
    assert measure(shuffled, qrels) <= oracle(measure, ids, qrels) + 1e-12


@given(ids=RANKINGS, qrels=QRELS)
@settings(max_examples=40, deadline=None)
def test_a_repeated_id_counts_where_it_stands_first(ids, qrels):
    measure = parse_measure("nDCG@10")
    assert measure(ids + ids, qrels) == measure(ids, qrels) <= 1.0
