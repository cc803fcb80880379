"""The files of a saved report: JSON, CSV, HTML, TREC, plots."""

import csv
import io
import json
import re
from dataclasses import replace

import ir_measures
import pytest

from langchain_rerank.errors import DataFileError
from langchain_rerank.evaluation.ragas import RagasReport
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.score.results import QueryRow, SystemRow


def page_data(text):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[1])


def test_save_writes_every_file_that_a_reader_expects(make_report, tmp_path):
    folder = make_report(sweep=True).save(tmp_path / "deep" / "out")
    files = {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()}
    plots = ("depth", "quality_latency", "differences", "rank_movement")
    assert files == {
        "report.json",
        "report.md",
        "report.html",
        "per_query.csv",
        "qrels.trec",
        "runs/first_stage.trec",
        "runs/reranked.trec",
        *(f"plots/{name}.{kind}" for name in plots for kind in ("svg", "png")),
    }


def test_json_has_the_layout_that_scripts_read(make_report):
    data = json.loads(make_report(sweep=True).to_json())
    mean = data["systems"]["reranked"]["measures"]["RR@10"]
    assert (mean["mean"], mean["ci"]) == (0.75, [0.65, 0.85])
    assert data["recommended_k"] == 20
    assert data["settings"]["first_stage_k"] == 3
    assert [one["query_id"] for one in data["queries"]] == ["q1", "q2"]


def test_a_saved_report_is_read_back_equal(make_report, tmp_path):
    report = make_report(sweep=True)
    assert Report.load(report.save(tmp_path)) == report
    assert Report.load(tmp_path / "report.json") == report


@pytest.mark.parametrize("content", [None, "no json", "[]", '{"title": "x", "colour": 1}'])
def test_what_is_no_report_is_an_error_that_names_the_file(tmp_path, content):
    if content is not None:
        (tmp_path / "report.json").write_text(content)
    with pytest.raises(DataFileError, match=r"report\.json: cannot be read as a report"):
        Report.load(tmp_path)


def test_other_tools_compute_the_same_means_from_the_trec_files(make_report, tmp_path):
    report = make_report([(0.5, 1.0), (1.0, 0.0), (1 / 3, 0.5), (0.0, 0.0)])
    failed = QueryRow(
        "q#5 with spaces",
        "raises",
        status="failed",
        error="it raised",
        systems={
            "first_stage": SystemRow(measures={"RR@10": 0.0}, error="it raised"),
            "reranked": SystemRow(ids=("a",), measures={"RR@10": 1.0}),
        },
        qrels={"a": 1},
    )
    unlabelled = QueryRow("q6", "?", "unlabelled", systems={"reranked": SystemRow(ids=("a",))})
    judged_nowhere = replace(unlabelled, query_id="q7", qrels={"a": 0})
    report = replace(report, queries=(*report.queries, failed, unlabelled, judged_nowhere))
    folder = report.save(tmp_path)
    qrels = list(ir_measures.read_trec_qrels(str(folder / "qrels.trec")))
    for name, expected in (("first_stage", (0.5 + 1 + 1 / 3) / 5), ("reranked", 2.5 / 5)):
        run = list(ir_measures.read_trec_run(str(folder / "runs" / f"{name}.trec")))
        found = ir_measures.calc_aggregate([ir_measures.RR @ 10], qrels, run)
        assert list(found.values()) == [pytest.approx(expected, abs=1e-15)]


def test_the_csv_and_the_data_frame_have_one_line_per_query(make_report):
    report = make_report([(0.5, 1.0), (0.0, 0.5)])
    report = replace(
        report,
        queries=(*report.queries, QueryRow("q3", "", status="invalid", error="it is empty")),
    )
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["query_id"] for row in rows] == ["q1", "q2", "q3"]
    assert [row["reranked RR@10"] for row in rows] == ["1.0", "0.5", ""]
    assert [row["first_stage first relevant rank"] for row in rows] == ["2", "", ""]
    assert rows[2]["error"] == "it is empty"
    frame = report.to_frame()
    assert list(frame.columns) == list(rows[0])
    assert frame["reranked RR@10"].mean() == 0.75


def test_no_text_of_a_document_or_question_becomes_markup(make_report):
    nasty = "</script><script>alert(1)</script><img src=x onerror=alert(1)>{{js}}&amp;<!--"
    report = make_report(title=nasty, warnings=(nasty,), settings={nasty: nasty})
    queries = tuple(
        replace(row, question=nasty, query_id=f"{nasty}{n}", tags=(nasty,))
        for n, row in enumerate(report.queries)
    )
    report = replace(report, queries=queries, texts=dict.fromkeys("abc", nasty))
    text = report.to_html()
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert text.count("<script") == text.count("</script") == 2
    data = page_data(text)
    assert data["queries"][0]["query"] == nasty
    assert data["documents"][0] == ["b", nasty]


def test_the_page_names_nothing_outside_itself(make_report):
    text = make_report(sweep=True).to_html()
    sources = re.findall(r"""(?:src|href|action)\s*=\s*["']?([^"'\s>]+)""", text)
    assert sources
    assert all(one.startswith("data:") for one in sources)
    assert "default-src 'none'" in text
    assert "@import" not in text


def test_the_page_carries_only_texts_that_it_can_show_cut_to_a_few_lines(make_report):
    ids = tuple(f"d{n}" for n in range(100))
    row = SystemRow(ids=ids, measures={"RR@10": 0.0})
    query = QueryRow(
        "q", "?", systems={"first_stage": row, "reranked": row}, qrels={"d50": 1, "d60": 0}
    )
    report = make_report(texts=dict.fromkeys(ids, "word " * 1000))
    data = page_data(replace(report, queries=(query,)).to_html())
    shown = {name for name, text in data["documents"] if text}
    assert shown == {*(f"d{n}" for n in range(10)), "d50"}
    assert all(text is None or len(text) <= 400 for _, text in data["documents"])


def test_chunks_of_a_source_show_their_own_text(make_report):
    row = SystemRow(ids=("s", "s#2"), measures={"RR@10": 1.0}, document_ids=("a", "b"))
    query = QueryRow("q", "?", systems={"first_stage": row, "reranked": row}, qrels={"s": 1})
    data = page_data(replace(make_report(), queries=(query,)).to_html())
    assert data["documents"] == [["s", "text of a"], ["s#2", "text of b"]]


def test_without_matplotlib_the_report_is_saved_and_the_log_says_what_is_missing(
    make_report, tmp_path, monkeypatch, caplog
):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    make_report().save(tmp_path)
    assert (tmp_path / "report.html").is_file()
    assert not (tmp_path / "plots").exists()
    assert "pip install 'langchain-rerank[plots]'" in caplog.text


def test_two_systems_never_share_a_file(make_report, tmp_path):
    report = make_report()
    system = report.systems["reranked"]
    names = ("m/x", "m:x", "../up")
    row = SystemRow(ids=("a",), measures={"RR@10": 1.0})
    query = QueryRow("q", "?", systems=dict.fromkeys(("first_stage", *names), row), qrels={"a": 1})
    report = replace(
        report,
        systems={"first_stage": system, **dict.fromkeys(names, system)},
        queries=(query,),
        comparisons=(),
    )
    report.save(tmp_path / "out")
    assert sorted(one.name for one in (tmp_path / "out" / "runs").iterdir()) == [
        "_up.trec",
        "first_stage.trec",
        "m_x.trec",
        "m_x_2.trec",
    ]
    assert [one.name for one in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_saved_to_again_keeps_nothing_of_the_report_before(make_report, tmp_path):
    report = make_report(sweep=True)
    system = report.systems["reranked"]
    row = SystemRow(ids=("a",), measures={"RR@10": 1.0})
    query = QueryRow("q", "?", systems={"first_stage": row, "old": row}, qrels={"a": 1})
    old = replace(report, systems={**report.systems, "old": system}, queries=(query,))
    old.save(tmp_path)
    (tmp_path / "runs" / "mine.trec").write_text("somebody else's")
    assert (tmp_path / "runs" / "old.trec").is_file()
    assert (tmp_path / "plots" / "depth.svg").is_file()
    make_report().save(tmp_path)
    assert sorted(one.name for one in (tmp_path / "runs").iterdir()) == [
        "first_stage.trec",
        "mine.trec",
        "reranked.trec",
    ]
    assert not (tmp_path / "plots" / "depth.svg").exists()
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


def test_a_report_that_cannot_be_written_leaves_the_one_before_whole(
    make_report, tmp_path, monkeypatch
):
    make_report().save(tmp_path)
    before = {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}

    def full(self, folder):
        raise OSError("no space left")

    monkeypatch.setattr(Report, "_write_trec", full)
    with pytest.raises(OSError, match="no space left"):
        make_report(sweep=True).save(tmp_path)
    assert {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()} == before


def test_a_list_of_files_that_points_outside_removes_nothing_there(make_report, tmp_path):
    (tmp_path / "mine").write_text("mine")
    folder = make_report().save(tmp_path / "out")
    data = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(
        json.dumps({**data, "files": ["../mine", str(tmp_path / "mine")]})
    )
    make_report().save(folder)
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_setting_that_is_no_finite_number_loses_no_report(make_report, tmp_path, value):
    report = make_report(settings={"threshold": value, "deep": {"list": [value, 1.5]}})
    report.save(tmp_path)
    assert Report.load(tmp_path).settings == {"threshold": None, "deep": {"list": [None, 1.5]}}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda data: data.update(systems=[]), "systems"),
        (lambda data: data["systems"].update(reranked="good"), "systems.reranked"),
        (lambda data: data["systems"]["reranked"].update(measures=3), "measures"),
        (lambda data: data.update(queries="none"), "queries"),
        (lambda data: data["queries"][0].update(systems=["a"]), "queries.0.systems"),
        (lambda data: data["queries"][0].update(qrels={"a": "high"}), "queries.0.qrels.a"),
        (lambda data: data.update(sweep=[1]), "sweep"),
        (lambda data: data.update(measures=None), "measures"),
        (lambda data: data["queries"][0].update(colour=1), r"queries\[0\] has no field 'colour'"),
    ],
)
@pytest.mark.parametrize("kind", [Report, RagasReport])
def test_a_report_whose_field_has_another_type_is_an_error_that_names_it(
    make_report, tmp_path, change, what, kind
):
    data = json.loads(make_report().to_json())
    change(data)
    (tmp_path / "report.json").write_text(json.dumps(data))
    with pytest.raises(DataFileError, match=rf"cannot be read as a report: .*{what}"):
        kind.load(tmp_path)
