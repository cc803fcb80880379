"""`assert_no_regression`, for a continuous-integration run."""

from dataclasses import replace

import pytest

from langchain_rerank.errors import ConfigurationError, RegressionError, RerankError
from langchain_rerank.evaluation.score.results import MeasureSummary, SystemSummary


def test_a_fall_within_the_margin_passes_and_one_beyond_it_fails(make_report):
    report = make_report([(1.0, 0.5), (1.0, 1.0)])  # 1.0 to 0.75
    report.assert_no_regression("RR@10", margin=0.25)
    with pytest.raises(AssertionError, match=r"fell by more than the margin of 0\.2"):
        report.assert_no_regression("RR@10", margin=0.2)


def test_the_margin_itself_is_allowed_whatever_rounding_does(make_report):
    report = make_report([(1.0, 0.9)])
    assert 1.0 - 0.9 != 0.1  # in binary
    report.assert_no_regression("RR@10", margin=0.1)


@pytest.mark.parametrize("margin", [float("nan"), -0.1, "0.1", True, None])
def test_a_margin_that_is_none_is_refused_and_lets_nothing_pass(make_report, margin):
    with pytest.raises(ConfigurationError, match="margin"):
        make_report([(1.0, 0.5)]).assert_no_regression("RR@10", margin=margin)


def test_the_message_has_the_figures_and_the_worst_queries(make_report):
    report = make_report([(1.0, 0.5), (0.5, 0.5), (1.0, 0.25)], ci=(-0.5, -0.1))
    with pytest.raises(RegressionError) as caught:
        report.assert_no_regression()
    message = str(caught.value)
    assert isinstance(caught.value, RerankError)
    assert "reranked has RR@10 0.417 where first_stage has 0.833 (difference -0.417)" in message
    assert "95 % interval [-0.500, -0.100], p 0.040" in message
    assert "0 queries better, 1 equal, 2 worse" in message
    assert "worst: q3 -0.750, q1 -0.500." in message


def test_an_earlier_report_can_be_the_reference_for_every_system(make_report):
    earlier = make_report([(0.5, 1.0)])
    make_report([(0.5, 1.0)]).assert_no_regression(against=earlier)
    with pytest.raises(RegressionError, match=r"first_stage has RR@10 0\.000 where the earlier"):
        make_report([(0.0, 1.0)]).assert_no_regression(against=earlier)
    make_report([(0.0, 1.0)]).assert_no_regression(system="reranked", against=earlier)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"measure": "P@5"}, "P@5 was not measured; this report has RR@10"),
        ({"margin": -0.1}, "margin must be at least 0"),
        ({"system": "hybrid"}, "no system 'hybrid' in this report; it has first_stage, reranked"),
    ],
)
def test_a_question_that_cannot_be_answered_is_an_error(make_report, arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        make_report().assert_no_regression(**arguments)


def test_two_reports_are_compared_over_the_questions_that_both_have(make_report, caplog):
    earlier = make_report([(0.5, 1.0), (0.5, 0.5), (0.5, 0.25)])
    # The hard third question is gone and an easy one came: the means of the reports say "better".
    now = make_report([(0.5, 1.0), (0.5, 0.25), (0.5, 1.0)])
    renamed = [*now.queries[:2], replace(now.queries[2], question="another one", query_id="q3")]
    now = replace(now, queries=tuple(renamed))
    with pytest.raises(RegressionError, match=r"reranked has RR@10 0\.625 where .* has 0\.750"):
        now.assert_no_regression(against=earlier)
    assert "compared over the 2 questions that both reports have" in caplog.text
    now.assert_no_regression(against=earlier, margin=0.125)


def test_two_reports_without_a_common_question_are_refused(make_report):
    earlier = make_report([(0.5, 1.0)])
    others = [replace(row, question="something else") for row in earlier.queries]
    with pytest.raises(ConfigurationError, match=r"share no question: this one has 1 such as q1"):
        replace(earlier, queries=tuple(others)).assert_no_regression(against=earlier)


def test_the_message_says_whether_so_few_questions_can_show_a_fall(make_report):
    few = make_report([(1.0, 1.0)] * 3)
    with pytest.raises(
        RegressionError, match="3 questions do not show that it is more than chance"
    ):
        make_report([(1.0, 0.5)] * 3).assert_no_regression(against=few)
    with pytest.raises(RegressionError, match="40 questions show that it is more than chance"):
        make_report([(1.0, 0.5)] * 40).assert_no_regression(against=make_report([(1.0, 1.0)] * 40))


def test_a_report_in_which_most_records_are_invalid_or_every_value_is_zero_cannot_pass(make_report):
    report = make_report([(0.5, 1.0)] * 10)
    rows = [replace(one, status="invalid", error="empty", systems={}) for one in report.queries[1:]]
    broken = replace(report, queries=(report.queries[0], *rows))
    for settings in ({}, {"against": report}):
        with pytest.raises(
            ConfigurationError, match=r"9 of 10 records could not be used.*'q2': empty"
        ):
            broken.assert_no_regression(**settings)
    with pytest.raises(ConfigurationError, match=r"Every RR@10 is 0, .* labels match"):
        make_report([(0.0, 0.0)] * 5).assert_no_regression()


def test_a_report_without_labels_cannot_pass(make_report):
    nobody = SystemSummary({"RR@10": MeasureSummary(None, None, 0)})
    report = make_report(systems={"first_stage": nobody, "reranked": nobody})
    with pytest.raises(ConfigurationError, match="No query is labelled"):
        report.assert_no_regression()


def test_reports_without_a_common_system_cannot_pass(make_report):
    report = make_report()
    other = replace(report, systems={"mine": report.systems["reranked"]})
    with pytest.raises(ConfigurationError, match="nothing to compare"):
        report.assert_no_regression(against=other)


def test_a_reranker_that_the_earlier_report_does_not_have_cannot_pass(make_report, caplog):
    earlier, now = make_report([(0.5, 1.0)]), make_report([(0.5, 0.0)])

    def called(report, name):
        old = {"reranked": name, "first_stage": "first_stage"}
        rows = [
            replace(row, systems={old[one]: found for one, found in row.systems.items()})
            for row in report.queries
        ]
        systems = {old[one]: found for one, found in report.systems.items()}
        return replace(report, queries=tuple(rows), systems=systems)

    now = called(now, "model-2")
    with pytest.raises(ConfigurationError, match=r"it has first_stage, reranked, and this one"):
        now.assert_no_regression(against=earlier)
    now.assert_no_regression(system="first_stage", against=earlier)
    rows = [
        replace(row, systems={**row.systems, "reranked": old.systems["reranked"]})
        for row, old in zip(now.queries, earlier.queries, strict=True)
    ]
    both = replace(
        now,
        queries=tuple(rows),
        systems={**now.systems, "reranked": earlier.systems["reranked"]},
    )
    both.assert_no_regression(against=earlier)
    assert "model-2" in caplog.text
