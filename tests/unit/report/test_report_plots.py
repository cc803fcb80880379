"""Every plot, from one query to two hundred."""

from dataclasses import replace

import pytest
from matplotlib.image import imread

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.report import plots
from langchain_rerank.evaluation.score.pareto import pareto


def values(n):
    ladder = [0.0, 0.1, 0.25, 0.5, 1.0]
    return [(ladder[i % 3], ladder[(i * 7) % 5]) for i in range(n)]


def test_a_result_gets_the_plots_that_it_has_data_for(make_report):
    always = ["quality_latency", "differences", "rank_movement"]
    assert [one.name for one in plots.draw(make_report())] == always
    assert [one.name for one in plots.draw(make_report(sweep=True))] == ["depth", *always]
    assert plots.draw(make_report(systems={}, queries=())) == []


@pytest.mark.parametrize("n", [1, 6, 200])
def test_every_plot_has_units_and_nothing_clipped_for_any_number_of_queries(make_report, n):
    for one in plots.draw(make_report(values(n), sweep=True)):
        assert plots.svg(one).startswith("<?xml")  # and lays it out
        for axes in one.figure.axes:
            assert axes.get_ylabel()
        assert one.figure.axes[-1].get_xlabel()
        drawn, (width, height) = one.figure.get_tightbbox(), one.figure.get_size_inches()
        assert drawn.x0 >= 0, one.name
        assert drawn.y0 >= 0, one.name
        assert drawn.x1 <= width, one.name
        assert drawn.y1 <= height, one.name


def test_times_carry_their_unit(make_report):
    depth, quality, *_ = plots.draw(make_report(sweep=True))
    assert "(ms)" in depth.figure.axes[1].get_ylabel()
    assert "(ms)" in quality.figure.axes[0].get_xlabel()


def test_a_png_can_be_read_back_and_is_not_blank(make_report, tmp_path):
    for one in plots.draw(make_report(values(6), sweep=True)):
        path = tmp_path / f"{one.name}.png"
        path.write_bytes(plots.png(one, dpi=60))
        assert imread(path).std() > 0.01


def test_names_with_dollar_signs_and_foreign_letters_are_drawn_as_they_are(make_report):
    report = make_report(values(3))
    queries = [
        replace(one, query_id=name)
        for one, name in zip(report.queries, ["a$x_1$b", "質問", "$"], strict=True)
    ]
    figure = plots.differences(replace(report, queries=tuple(queries)), "reranked", "RR@10")
    assert plots.svg(plots.Plot("x", "x", figure)).startswith("<?xml")
    assert "a$x_1$b" in [label.get_text() for label in figure.axes[0].get_xticklabels()]


def test_drawing_leaves_pyplot_alone(make_report):
    from matplotlib import rcParams

    before = dict(rcParams)
    plots.draw(make_report(values(6), sweep=True))
    assert dict(rcParams) == before


def test_a_plot_without_data_is_an_error_that_says_what_is_missing(make_report):
    report = make_report()
    with pytest.raises(ConfigurationError, match="No query has P@5"):
        plots.differences(report, "reranked", "P@5")
    with pytest.raises(ConfigurationError, match="Nothing was timed"):
        plots.quality_latency(make_report(systems={}))


def test_the_pareto_set_keeps_what_nothing_beats_in_both():
    assert pareto([(3.0, 0.9), (1.0, 0.5), (2.0, 0.5), (4.0, 0.8), (1.0, 0.4)]) == [1, 0]
    assert pareto([]) == []
