"""What a report says in sentences, tables, Markdown and the terminal."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from langchain_rerank.evaluation.report.rendering.view import view
from langchain_rerank.evaluation.score.results import Decision, MeasureSummary, SystemSummary


def headlines(report):
    return view(report).headlines


@pytest.mark.parametrize(
    ("ci", "verb"),
    [
        ((0.01, 0.2), "raises"),
        ((-0.2, -0.01), "lowers"),
        ((-0.1, 0.2), "does not clearly change"),
        ((0.0, 0.2), "does not clearly change"),
    ],
)
def test_the_headline_claims_no_more_than_the_interval_shows(make_report, ci, verb):
    assert headlines(make_report(ci=ci))[0].startswith(f"Reranking {verb} RR@10: 0.750 to 0.750")


def test_the_headline_claims_nothing_on_too_few_queries_for_a_test(make_report):
    report = make_report(ci=(0.1, 0.2))
    few = replace(report.comparisons[0], p_value=None, p_holm=None, note="too few queries")
    effect, note, *_ = headlines(replace(report, comparisons=(few,)))
    assert effect.startswith("Reranking does not clearly change RR@10")
    assert note == "Too few queries."


@pytest.mark.parametrize(
    ("p_value", "p_holm", "evidence"),
    [(0.25, 0.25, "p = 0.250"), (0.25, None, "p = 0.250"), (0.03, 0.09, "p (Holm) = 0.090")],
)
def test_the_headline_claims_nothing_that_the_test_does_not_show(
    make_report, p_value, p_holm, evidence
):
    # Of three queries that win and three ties hardly a resample is without a gain.
    report = make_report(ci=(0.1, 0.2))
    unsure = replace(report.comparisons[0], p_value=p_value, p_holm=p_holm)
    said = headlines(replace(report, comparisons=(unsure,)))[0]
    assert said.startswith("Reranking does not clearly change RR@10")
    assert evidence in said


def test_cost_and_loss_split_follow_in_plain_words(make_report):
    effect, cost, split = headlines(make_report([(0.5, 1.0), (0.5, 0.5)]))
    assert "1 better, 1 equal, 0 worse" in effect
    assert cost == "Reranking adds 92.0 ms a query at the median, to 100 ms (12.5 times as long)."
    assert split.startswith("Reranking leaves 0.250 to a perfect RR@10: 0.100 was not among the 3")
    assert split.endswith("The reranker has more to gain.")


def test_without_labels_nothing_is_said_about_quality(make_report):
    nobody = SystemSummary({"RR@10": MeasureSummary(None, None, 0)})
    report = make_report(systems={"first_stage": nobody, "reranked": nobody})
    assert headlines(report) == ("No query is labelled, so nothing can be said about quality.",)


@pytest.mark.parametrize(
    ("verdict", "start"),
    [
        ("recommended", "Rerank with K = 20: It is the smallest"),
        ("inconclusive", "Undecided, at least about 80 questions would settle it. K = 20 for now"),
        ("over_budget", "No K is within the budget; the fastest is K = 20."),
    ],
)
def test_a_sweep_saved_without_a_decision_says_first_which_k_to_use(make_report, verdict, start):
    report = make_report(sweep=True)
    report = replace(report, sweep=replace(report.sweep, verdict=verdict, queries_needed=80))
    assert headlines(report)[0].startswith(start)


DECISION = Decision(
    answer="rerank",
    measure="RR@10",
    system="reranked",
    k=20,
    compared="reranked",
    compared_k=20,
    before=0.5,
    after=0.75,
    gain=0.25,
    ci=(0.1, 0.4),
    added_ms=92.0,
    margin=0.03,
    queries=100,
    queries_needed=None,
    reason="K = 20 loses at most 0.020 against any other.",
)
CHANGE = "takes RR@10 from 0.500 to 0.750 (+0.250, 95 % interval [+0.100, +0.400], 100 queries)"


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        (
            {},
            f"Rerank with K = 20: that {CHANGE} and adds 92.0 ms a query at the median.",
        ),
        (
            {"answer": "do_not_rerank", "system": "first_stage", "k": 0, "added_ms": None},
            f"Do not rerank: the best that does, with K = 20, {CHANGE}.",
        ),
        (
            {"answer": "undecided", "queries_needed": 240, "added_ms": -1.0},
            (
                "Undecided, at least about 240 questions would settle it. So far reranking is "
                f"ahead: reranking with K = 20 {CHANGE} and saves 1.00 ms a query at the median."
            ),
        ),
        (
            {"answer": "undecided", "k": 0, "added_ms": None},
            (
                "Undecided, and more questions like these would not settle it. So far not "
                f"reranking is ahead: reranking with K = 20 {CHANGE}."
            ),
        ),
    ],
)
def test_the_first_line_is_the_decision_with_gain_interval_and_time(make_report, changes, first):
    report = make_report(decision=replace(DECISION, **changes))
    said = headlines(report)
    assert said[:2] == (first, DECISION.reason)
    assert "Reranking adds" not in " ".join(said)  # the first line has said it


def test_of_several_models_the_one_to_take_is_named(make_report):
    report = make_report(decision=replace(DECISION, system="bge", compared="bge"))
    report = replace(report, systems={**report.systems, "bge": report.systems["reranked"]})
    assert headlines(report)[0].startswith("Rerank with bge at K = 20: that takes RR@10 from")


def test_a_mean_of_nothing_is_empty_in_every_table(make_report):
    nobody = SystemSummary({"RR@10": MeasureSummary(None, None, 0)})
    report = make_report()
    report = replace(report, systems={**report.systems, "reranked": nobody}, comparisons=())
    assert [row[1] for row in view(report).tables[0].rows] == ["0.750\n[0.650, 0.850]", "-"]
    assert "0.000 [0.000, 0.000]" not in report.to_markdown()
    assert json.loads(report.to_json())["systems"]["reranked"]["measures"]["RR@10"] == {
        "mean": None,
        "ci": None,
        "n": 0,
    }
    assert report.to_html()


@pytest.mark.parametrize(
    ("k", "top_n", "said"), [(3, None, True), (3, 3, False), (10, None, False), (20, None, False)]
)
def test_a_depth_below_the_cutoff_is_noted(make_report, k, top_n, said):
    report = make_report(decision=replace(DECISION, compared_k=k), settings={"top_n": top_n})
    note = "with K = 3 that is fewer than RR@10 looks at"
    assert (note in view(report).tables[0].note) is said


def test_failed_and_empty_queries_have_columns_only_where_there_are_some(make_report):
    report = make_report()
    assert view(report).tables[0].columns == ("System", "RR@10", "Median time")
    systems = {**report.systems}
    systems["reranked"] = SystemSummary(systems["reranked"].measures, failed=2)
    table = view(make_report(systems=systems)).tables[0]
    assert table.columns == ("System", "RR@10", "Median time", "Failed")
    assert [row[-1] for row in table.rows] == ["0", "2"]


def test_markdown_tables_are_rectangular_whatever_the_questions_hold(make_report):
    nasty = "a | b\nc <script>alert(1)</script> *d* `e` [f](http://x) $g$"
    report = make_report([(0.5, 1.0)])
    gained = replace(report.comparisons[0].gained[0], question=nasty)
    report = replace(
        report, title=nasty, comparisons=(replace(report.comparisons[0], gained=(gained,)),)
    )
    text = report.to_markdown()
    assert "<script" not in text.replace("\\<script", "")
    assert "[f](" not in text
    assert text.startswith("# a \\| b c ")
    for block in re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.strip().split("\n")}
        assert len(widths) == 1


def test_a_sweep_points_out_its_choice_in_markdown(make_report):
    assert "| **20** | **0.790 \\[0.690, 0.890\\]** |" in make_report(sweep=True).to_markdown()


@pytest.mark.parametrize("width", [80, 120])
def test_no_figure_is_cut_in_the_terminal(make_report, width):
    report = make_report(sweep=True, warnings=("[bold]as it is[/bold]",))
    name = "BAAI/a-reranker-with-a-rather-long-name"
    report = replace(
        report,
        measures=("RR@10", "nDCG@10", "Success@1"),
        systems={
            name: SystemSummary(dict.fromkeys(("RR@10", "nDCG@10", "Success@1"), summary))
            for name, summary in (("first_stage", MeasureSummary(0.5, (0.4, 0.6), 1200)),)
        }
        | {name: report.systems["reranked"]},
        comparisons=(
            replace(
                report.comparisons[0],
                system=name,
                measure="nDCG@10",
                wins=1234,
                ties=1000,
                losses=1000,
                improvement_percent=-1234.5,
            ),
        ),
        loss_split=(replace(report.loss_split[0], system=name, measure="nDCG@10", k=1000),),
    )
    output = io.StringIO()
    Console(file=output, width=width).print(report)
    shown = output.getvalue()
    assert "…" not in shown
    assert "[bold]as it is[/bold]" in shown
    assert max(map(len, shown.split("\n"))) <= width
    for table in view(report).tables:
        for row in table.rows:
            for cell in row[table.words :]:
                assert all(line in shown for line in cell.split("\n"))


def test_a_notebook_shows_tables_with_every_text_escaped(make_report):
    text = make_report(title="<b>x</b>")._repr_html_()
    assert text.startswith("<h3>&lt;b&gt;x&lt;/b&gt;</h3>")
    assert "<script" not in text
    assert text.count("<table") == text.count("</table>") == 6
