"""Every plot, from one query to two hundred."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.text import Annotation, Text

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.report import plots
from langchain_rerank.evaluation.score.pareto import pareto
from langchain_rerank.evaluation.score.results import Latency, MeasureSummary, SystemSummary


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
    assert "a$x_1$b" in [label.get_text() for label in figure.axes[0].get_yticklabels()]


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


LONG = (
    "first_stage",
    "cross-encoder/mmarco-mMiniLMv2-L12-H384-v1",
    "Alibaba-NLP/gte-reranker-modernbert-base",
    "mixedbread-ai/mxbai-rerank-large-v1-finetuned-2026",
    "/models/of/the/team/ibm-granite/granite-embedding-reranker-english-r2",
    "BAAI/bge-reranker-v2-m3",
)
EQUAL = [(50.0, 0.8)] * 5
RISING = [(20.0 * 4**n, 0.5 + 0.08 * n) for n in range(5)]
FALLING = [(100.0 + 3 * n, 0.8 - 0.01 * n) for n in range(5)]


def boxes(figure):
    """Return (text, box) of every text that is seen, in pixels."""
    figure.draw_without_rendering()
    # matplotlib keeps the names of ticks beyond the limits, and does not draw them.
    beyond = {
        id(label)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        for label in (tick.label1, tick.label2)
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    seen = [
        one
        for one in figure.findobj(Text)
        if one.get_visible() and one.get_text().strip() and id(one) not in beyond
    ]
    return [(one.get_text(), one.get_window_extent()) for one in seen]


def assert_readable(figure, name):
    seen = boxes(figure)
    assert len(seen) > 4
    for (text, box), (other, beside) in combinations(seen, 2):
        width = min(box.x1, beside.x1) - max(box.x0, beside.x0)
        height = min(box.y1, beside.y1) - max(box.y0, beside.y0)
        assert min(width, height) < 1, f"{name}: {text!r} and {other!r} stand in each other"
    width, height = figure.get_size_inches() * figure.dpi
    for text, box in seen:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f"{name}: {text!r} is cut"


def system(ms, mean):
    took = Latency(p50=ms, p90=ms, p95=ms, mean=ms, n=5)
    quality = MeasureSummary(mean=mean, ci=(mean - 0.05, mean + 0.05), n=5)
    return SystemSummary({"RR@10": quality}, {"total": took})


@pytest.mark.parametrize("places", [EQUAL, RISING, FALLING], ids=["equal", "rising", "falling"])
@pytest.mark.parametrize("models", [1, 2, 3, 5])
def test_the_names_of_models_stand_in_nothing(make_report, models, places):
    systems = {
        name: system(*place) for name, place in zip(LONG, [(8.0, 0.6), *places], strict=True)
    }
    few = dict(list(systems.items())[: models + 1])
    figure = plots.quality_latency(make_report(systems=few))
    seen = [text for text, _ in boxes(figure)]
    for name in ("First stage", "mmarco-mMiniLMv2-L12-H384-v1"):
        assert name in seen
    assert_readable(figure, "quality_latency")


def test_two_models_whose_short_names_are_equal_keep_theirs(make_report):
    names = ("team-a/reranker", "team-b/reranker")
    systems = {name: system(50, 0.5) for name in ("first_stage", *names)}
    figure = plots.quality_latency(make_report(systems=systems))
    assert set(names) <= {text for text, _ in boxes(figure)}


@pytest.mark.parametrize(
    "depths",
    [(10,), (10, 20), tuple(range(0, 110, 5)), (0, 1, 2, 3, 5, 8, 10, 20, 30, 50, 75, 100, 1000)],
    ids=["one", "two", "many", "wide"],
)
def test_the_depths_of_a_sweep_stand_in_nothing(make_report, depths):
    report = make_report(values(6), sweep=True)
    point = report.sweep.points[0]
    sweep = replace(
        report.sweep,
        points=tuple(
            replace(point, k=k, latency={"total": Latency(8 + k, 9 + k, 12 + k, 8 + k, 5)})
            for k in depths
        ),
        recommended_k=depths[len(depths) // 2],
    )
    for one in plots.draw(replace(report, sweep=sweep)):
        assert_readable(one.figure, one.name)
    shown = [text for text, _ in boxes(plots.depth_curve(sweep))]
    assert f"{sweep.recommended_k}" in shown


@pytest.mark.parametrize("close", [1.0, 1.5, 2.2, 4.0])
def test_names_of_depths_and_lines_to_them_are_clear_of_marks(make_report, close):
    """Also of depths without a name, since something else is as good and faster."""
    report = make_report(values(6), sweep=True)
    measured = [(2.0, 0.712), (141.0, 0.712), (299.0, 0.740), (561.0, 0.767), (561 * close, 0.767)]
    points = [
        replace(
            report.sweep.points[0],
            k=10 * at,
            measures={report.measures[0]: MeasureSummary(mean, (mean - 0.1, mean + 0.1), 73)},
            latency={"total": Latency(ms, ms, ms, ms, 5)},
        )
        for at, (ms, mean) in enumerate(measured)
    ]
    figure = plots.quality_latency(replace(report, sweep=replace(report.sweep, points=points)))
    assert_readable(figure, "quality_latency")
    (axes,) = figure.axes
    names = [one for one in axes.findobj(Annotation) if one.get_text()]
    lines = [one for one in axes.findobj(Annotation) if one.arrow_patch is not None]
    assert len(names) >= 3
    marks = axes.transData.transform(measured)
    radius = 3.5 * figure.dpi / 72
    for name in names:
        box = name.get_window_extent()
        for x, y in marks:
            assert not box.padded(radius).contains(x, y), name.get_text()
    for line in lines:
        own = axes.transData.transform(line.xy)
        begin = own + np.array(line.get_position()) * figure.dpi / 72
        along = begin + (own - begin) * np.linspace(0, 1, 200)[:, None]
        for mark in marks:
            if np.hypot(*(mark - own)) > radius:
                assert np.hypot(*(along - mark).T).min() > radius
        for name in names:
            assert not any(name.get_window_extent().padded(-2).contains(*one) for one in along)


@pytest.mark.parametrize("n", [1, 6, 20, 21, 200])
def test_the_names_of_queries_stand_in_nothing(make_report, n):
    report = make_report(values(n))
    queries = [
        replace(one, query_id=f"a-long-name-of-query-{number}")
        for number, one in enumerate(report.queries)
    ]
    for one in plots.draw(replace(report, queries=tuple(queries))):
        assert_readable(one.figure, one.name)


def test_ranks_from_one_to_a_thousand_stand_in_nothing(make_report):
    report = make_report(values(6))
    row = report.queries[0]
    ids = (*(f"d{n}" for n in range(999)), "a")
    far = replace(row.systems["first_stage"], ids=ids, scores=tuple(map(float, range(1000))))
    queries = [replace(row, systems=row.systems | {"first_stage": far}), *report.queries[1:]]
    figure = plots.rank_movement(replace(report, queries=tuple(queries)), "reranked")
    assert "1000" in [text for text, _ in boxes(figure)]
    assert_readable(figure, "rank_movement")


def test_a_legend_names_only_what_is_drawn(make_report):
    one_best = {"first_stage": system(8, 0.9), "reranked": system(100, 0.5)}
    figure = plots.quality_latency(make_report(systems=one_best))
    assert figure.legends == []  # one point makes no line
    both = one_best | {"reranked": system(100, 0.95)}
    (legend,) = plots.quality_latency(make_report(systems=both)).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "Pareto set: nothing is both faster and better"
    ]
    report = make_report(sweep=True)
    untimed = [replace(one, latency={}) for one in report.sweep.points]
    for sweep in (report.sweep, replace(report.sweep, points=tuple(untimed), budget_ms=None)):
        figure = plots.depth_curve(sweep)
        (legend,) = figure.legends
        named = {text.get_text() for text in legend.get_texts()}
        assert any(text.startswith("time") for text in named) == (len(figure.axes) == 2)
        assert any(text.startswith("budget") for text in named) == (sweep.budget_ms is not None)


def test_a_models_name_keeps_its_capitals(make_report):
    report = make_report()
    names = {"first_stage": "first_stage", "reranked": "BAAI/BGE-M3"}
    renamed = replace(
        report,
        systems={names[one]: summary for one, summary in report.systems.items()},
        queries=tuple(
            replace(q, systems={names[one]: row for one, row in q.systems.items()})
            for q in report.queries
        ),
    )
    figure = plots.rank_movement(renamed, "BAAI/BGE-M3")
    assert figure.axes[0].get_xlabel().endswith("first stage")
    assert figure.axes[0].get_ylabel().endswith("BGE-M3")
    assert plots.draw(renamed)[-1].caption.endswith("first stage to BGE-M3")
