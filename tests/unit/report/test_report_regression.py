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


def test_a_report_without_labels_cannot_pass(make_report):
    nobody = SystemSummary({"RR@10": MeasureSummary(0.0, (0.0, 0.0), 0)})
    report = make_report(systems={"first_stage": nobody, "reranked": nobody})
    with pytest.raises(ConfigurationError, match="No query is labelled"):
        report.assert_no_regression()


def test_reports_without_a_common_system_cannot_pass(make_report):
    report = make_report()
    other = replace(report, systems={"mine": report.systems["reranked"]})
    with pytest.raises(ConfigurationError, match="nothing to compare"):
        report.assert_no_regression(against=other)
