"""Measures by any spelling that their users know."""

import pytest

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.score.measures import parse_measure, parse_measures, respelt


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ndcg@10", "nDCG@10"),
        ("NDCG@10", "nDCG@10"),
        ("ndcg_cut_10", "nDCG@10"),
        ("ndcg_cut.10", "nDCG@10"),
        ("ndcg_at_10", "nDCG@10"),
        ("mrr@10", "RR@10"),
        ("recip_rank", "RR"),
        ("map", "AP"),
        ("MAP@100", "AP@100"),
        ("map_cut_5", "AP@5"),
        ("hit@5", "Success@5"),
        ("hits@1", "Success@1"),
        ("hit_rate@3", "Success@3"),
        ("success_1", "Success@1"),
        ("P_10", "P@10"),
        ("P.10", "P@10"),
        ("precision@5", "P@5"),
        ("p(rel=2)@5", "P(rel=2)@5"),
        ("recall_100", "R@100"),
        ("Recall@5", "R@5"),
        ("recall_at_5", "R@5"),
        ("judged@10", "Judged@10"),
    ],
)
def test_measures_are_known_by_the_names_that_others_give_them(text, name):
    assert str(parse_measure(text)) == name
    assert str(parse_measure(name)) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("bpref", "Bpref"),
        ("rprec", "Rprec"),
        ("err@10", "ERR@10"),
        ("iprec_at_recall_0.50", "IPrec@0.5"),
        ("IPrec@0.5", "IPrec@0.5"),
        ("IPrec@0.0", "IPrec@0.0"),
        ("nDCG(gains={0:1,1:4})@10", "nDCG(gains={0:1,1:4})@10"),
        ("nDCG(dcg='exp-log2')@5", "nDCG(dcg='exp-log2')@5"),
        ("set_f", "SetF"),
    ],
)
def test_measures_of_ir_measures_are_read_as_they_are_written(text, name):
    pytest.importorskip("ir_measures")
    assert str(parse_measure(text)) == name
    assert str(parse_measure(name)) == name


def test_a_list_is_not_split_inside_brackets():
    pytest.importorskip("ir_measures")
    names = [str(one) for one in parse_measures("nDCG(gains={0:1,1:4})@10, P(rel=2)@5,ndcg@3")]
    assert names == ["nDCG(gains={0:1,1:4})@10", "P(rel=2)@5", "nDCG@3"]


def test_two_spellings_of_one_measure_are_one_measure():
    with pytest.raises(ConfigurationError, match="nDCG@10 was given twice"):
        parse_measures(["ndcg@10", "nDCG@10"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ndgc@10", "Did you mean nDCG"),
        ("P_IB", "Did you mean P_IA"),
        ("ndcg@0", "at least 1"),
        ("ndcg@0.5", "whole number of ranks"),
        ("P@", "is no measure"),
        ("P(2)@5", "cannot be read"),
        ("P(rel=x)@5", "cannot be read"),
        ("P(rel=1)(@5", "is no measure"),
        ("nDCG(gains={[]: 1})", "cannot be read"),
        ("recall", "needs a cutoff"),
    ],
)
def test_what_is_no_measure_is_refused_with_what_was_meant(text, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_measure(text)


def test_other_spellings_are_said():
    assert respelt("ndcg@10, RR@10,hit@5") == (
        "The measure ndcg@10 is read as nDCG@10, hit@5 is read as Success@5."
    )
    assert respelt("nDCG@10,RR@10") is None
