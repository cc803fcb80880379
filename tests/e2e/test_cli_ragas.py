"""`langchain-rerank ragas`, as a user runs it."""

import json

import pytest
import typer
from typer.testing import CliRunner

from langchain_rerank.cli.ragas import ragas
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.ragas import RagasReport, read_rows
from langchain_rerank.testing.tiny_models import build_tiny_model

TOPICS = ("cats", "dogs", "birds", "fish", "frogs", "lions", "bears", "wolves")


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beir") / "animals"
    (folder / "qrels").mkdir(parents=True)
    documents = [
        {"_id": f"{topic}{n}", "title": topic, "text": f"Note {n} is about {topic} and food {n}."}
        for topic in TOPICS
        for n in range(4)
    ]
    queries = [{"_id": topic, "text": f"{topic} food 3"} for topic in TOPICS]
    labels = ["query-id\tcorpus-id\tscore", *(f"{topic}\t{topic}3\t1" for topic in TOPICS)]
    for name, lines in (("corpus", documents), ("queries", queries)):
        text = "".join(json.dumps(one) + "\n" for one in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("\n".join(labels) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_tiny_model("bert", tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def run():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(ragas)

    def run(*arguments):
        result = CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "100"})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_without_a_judge_both_orders_are_shown_side_by_side(run, collection, model, tmp_path):
    out = tmp_path / "out"
    done = run(collection, "--model", model, "--first-stage-k", 8, "--top-n", 2, "--out", out)
    assert done.exit_code == 0
    for word in ("First stage", "Reranked", "id_based_context_recall", "non_llm_context_recall"):
        assert word in done.output
    data = json.loads((out / "report.json").read_text())
    assert set(data["systems"]) == {"first_stage", "reranked"}
    for system in data["systems"].values():
        for name in ("id_based_context_precision", "non_llm_context_precision_with_reference"):
            found = system["measures"][name]
            assert found["ci"][0] <= found["mean"] <= found["ci"][1]
            assert (found["n"], found["failed"], found["not_applicable"]) == (8, 0, 0)
    assert {len(one.retrieved_contexts) for one in read_rows(out / "rows" / "reranked.jsonl")} == {
        2
    }
    # The texts are unique here, so the comparison of texts says what that of ids says.
    report = RagasReport.load(out)
    for system in report.systems.values():
        found = {name: one.mean for name, one in system.measures.items()}
        assert found["id_based_context_recall"] <= found["non_llm_context_recall"]


def test_documents_and_questions_of_ones_own_are_judged(run, model, tmp_path):
    (tmp_path / "guide.md").write_text("Cats purr when they are content.\n")
    questions = tmp_path / "questions.jsonl"
    row = {"question": "Why do cats purr?", "expected_passage": "Cats purr"}
    questions.write_text(json.dumps(row) + "\n")
    done = run(
        *("--docs", tmp_path / "guide.md", "--questions", questions),
        *("--model", model, "--first-stage-k", 6, "--out", tmp_path / "out"),
    )
    assert done.exit_code == 0
    measures = RagasReport.load(tmp_path / "out").systems["reranked"].measures
    assert measures["id_based_context_recall"].mean == 1.0


def test_a_dry_run_shows_the_calls_and_writes_nothing_of_a_report(run, collection, model, tmp_path):
    pytest.importorskip("ragas", reason="the extra 'ragas'")
    done = run(
        *(collection, "--model", model, "--first-stage-k", 4, "--top-n", 2, "--dry-run"),
        *("--judge-base-url", "http://127.0.0.1:9/v1", "--judge-model", "tiny"),
        *("--metrics", "context_relevance", "--out", tmp_path / "out"),
    )
    assert done.exit_code == 0
    assert "calls of the judge (context_relevance" in done.output
    assert not (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--judge-model", "tiny"), "--judge-base-url is missing"),
        (("--judge-base-url", "http://127.0.0.1:9/v1"), "--judge-model is missing"),
        (
            ("--answer-model", "tiny"),
            "--answer-model tiny is on the server at --judge-base-url",
        ),
        (("--metrics", "faithfulness"), "faithfulness asks a language model"),
        (("--metrics", "recall"), "There is no metric 'recall'"),
    ],
)
def test_options_that_cannot_work_are_refused_with_what_to_do(
    run, collection, model, tmp_path, options, message
):
    with pytest.raises(ConfigurationError, match=message):
        run(collection, "--model", model, "--out", tmp_path / "out", *options)
