"""`langchain-rerank evaluate`, `sweep` and `compare-models`, as a user runs them."""

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import ir_measures
import pytest
import typer
from rich.console import Console

from langchain_rerank.cli.inputs import resumable
from langchain_rerank.errors import RerankWarning
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.testing.tiny_models import build_tiny_model

QUERIES = 40
WORDS = ["cat", "dog", "horse", "bird", "fish", "frog", "lion", "bear", "wolf", "goat", "crab"]


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """A BEIR folder: 120 documents of a few words, 40 questions with graded labels."""
    folder = tmp_path_factory.mktemp("beir") / "animals"
    (folder / "qrels").mkdir(parents=True)
    chosen = random.Random(3)
    documents = [
        {"_id": f"d{n}", "title": f"Note {n}", "text": " ".join(chosen.choices(WORDS, k=6))}
        for n in range(120)
    ]
    queries = [{"_id": f"q{n}", "text": " ".join(chosen.sample(WORDS, 2))} for n in range(QUERIES)]
    labels = [
        f"{one['_id']}\t{document['_id']}\t{chosen.randint(0, 2)}"
        for one in queries
        for document in chosen.sample(documents, 5)
    ]
    lines = {
        "corpus.jsonl": map(json.dumps, documents),
        "queries.jsonl": map(json.dumps, queries),
        "qrels/test.tsv": ["query-id\tcorpus-id\tscore", *labels],
    }
    for name, text in lines.items():
        (folder / name).write_text("\n".join(text) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_tiny_model("bert", tmp_path_factory.mktemp("model") / "tiny")


# Tests that run in the background of a shell ignore Ctrl-C, and so would their children.
_COMMAND = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from langchain_rerank.cli import main
main()
"""


def start(*arguments):
    """Start the command line as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


def wait_for_rows(journal, process, *, system, rows):
    """Wait until the journal has so many rows of a system, while the process runs."""
    while process.poll() is None:
        if journal.is_file() and scored(journal)[system] >= rows:
            return
        time.sleep(0.005)
    pytest.fail(f"the run ended before it was disturbed: {process.communicate()}")


def scored(journal):
    lines = journal.read_text(encoding="utf-8").split("\n")[:-1]
    return Counter(row["system"] for row in map(json.loads, lines) if "row" in row)


def undisturbed(report):
    """Return what a report says, without when and how fast; and the scores, for comparison.

    How texts fall into batches depends on what a scorer saw before, which moves scores by the last
    bits of single precision.
    """
    data = report.to_dict()
    del data["environment"]
    scores = []
    for one in (*data["queries"], data):
        for system in one["systems"].values():
            scores.extend(system.pop("scores", []))
            system.pop("latency_ms", None)
            system.pop("latency", None)
    for one in data["comparisons"]:
        del one["added_ms"], one["latency_factor"]
    (data["decision"] or {}).pop("added_ms", None)
    return data, scores


def computed(folder, system, names):
    """Return the means that ir_measures computes from the TREC files of a report."""
    run = ir_measures.read_trec_run(str(folder / "runs" / f"{system}.trec"))
    qrels = ir_measures.read_trec_qrels(str(folder / "qrels.trec"))
    measures = {}
    for name in names:
        base, cutoff = name.split("@")
        measures[name] = getattr(ir_measures, base) @ int(cutoff)
    found = ir_measures.calc_aggregate(list(measures.values()), list(qrels), list(run))
    return {name: found[measure] for name, measure in measures.items()}


def test_evaluate_writes_a_report_whose_means_ir_measures_computes_from_its_files(
    run, collection, model, tmp_path
):
    out = tmp_path / "out"
    measures = "nDCG@10,RR@10,R@20"
    code, shown, notes = run(
        *("evaluate", collection, "--model", model, "--out", out),
        *("--first-stage-k", "20", "--measures", measures),
    )
    assert code == 0
    assert "Reranking" in shown
    assert "report.html" in notes
    data = json.loads((out / "report.json").read_text())
    assert list(data["systems"]) == ["first_stage", "reranked"]
    for system, found in data["systems"].items():
        means = {name: one["mean"] for name, one in found["measures"].items()}
        assert means == computed(out, system, measures.split(","))
        assert all(
            low <= one["mean"] <= high
            for one in found["measures"].values()
            for low, high in [one["ci"]]
        )
    assert data["systems"]["first_stage"]["measures"]["nDCG@10"]["mean"] > 0
    assert data["settings"]["candidates"] == "bm25"
    assert data["counts"]["ok"] == QUERIES
    assert (out / "per_query.csv").read_text().count("\n") == QUERIES + 1


def test_a_threshold_is_tuned_from_the_scores_that_the_evaluation_has(
    run, collection, model, tmp_path
):
    out, file = tmp_path / "out", tmp_path / "all.json"
    command = ("evaluate", collection, "--out", out, "--first-stage-k", "9")
    code, shown, _ = run(*command, "--model", model, "--tune-threshold", "--json", file)
    assert code == 0
    assert "score_threshold=" in shown
    found = json.loads((out / "threshold.json").read_text())
    assert found["queries"] == QUERIES
    assert found["points"][0]["answered"] == QUERIES
    assert json.loads(file.read_text())["threshold"] == found
    for ending in ("md", "html", "csv", "png"):
        assert (out / f"threshold.{ending}").stat().st_size
    report = Report.load(out)
    for point in found["points"][1:]:
        above = [
            row
            for row in report.queries
            if max(row.systems["reranked"].scores) >= point["threshold"]
        ]
        assert len(above) == point["answered"]


def test_a_threshold_is_for_one_model_at_one_depth(run, collection, model, tmp_path):
    command = ("evaluate", collection, "--out", tmp_path, "--model", model, "--tune-threshold")
    for more in (("--ks", "5,9"), ("--model", "embedded")):
        code, _, err = run(*command, *more)
        assert code == 2
        assert "--tune-threshold is for one --model at one --first-stage-k" in err


def test_limit_top_n_and_an_exported_run_lead_to_the_same_candidates(
    run, collection, model, tmp_path
):
    first, second = tmp_path / "first", tmp_path / "second"
    common = ("--model", model, "--limit", "7", "--first-stage-k", "9", "--measures", "nDCG@5,R@9")
    assert run("evaluate", collection, "--out", first, *common)[0] == 0
    again = ("--run", first / "runs" / "first_stage.trec")
    assert run("evaluate", collection, "--out", second, *common, *again)[0] == 0
    one, two = Report.load(first), Report.load(second)
    assert len(one.queries) == 7
    assert two.settings["run"] == "first_stage.trec"
    assert [row.systems["reranked"].ids for row in one.queries] == [
        row.systems["reranked"].ids for row in two.queries
    ]
    cut = tmp_path / "cut"
    assert run("evaluate", collection, "--out", cut, *common, "--top-n", "3")[0] == 0
    assert all(len(row.systems["reranked"].ids) == 3 for row in Report.load(cut).queries)


def test_documents_of_ones_own_with_questions_and_sources(run, model, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for word in WORDS:
        (docs / f"{word}.md").write_text(f"# {word}\n\nAll about the {word}.\n")
    questions = tmp_path / "questions.jsonl"
    lines = [{"question": f"about the {one}", "expected_source": f"{one}.md"} for one in WORDS[:6]]
    questions.write_text("\n".join(map(json.dumps, lines)))
    code, _, err = run(
        *("evaluate", "--docs", docs, "--questions", questions, "--model", model),
        *("--measures", "RR@10", "--out", tmp_path / "out"),
    )
    assert code == 0, err
    report = Report.load(tmp_path / "out")
    assert report.systems["first_stage"].measures["RR@10"].mean == 1.0
    assert report.counts["ok"] == 6


@pytest.mark.parametrize("command", ["evaluate", "ragas"])
def test_a_language_and_links_are_options_of_what_evaluates(run, model, tmp_path, command):
    docs, out = tmp_path / "docs", tmp_path / "out"
    docs.mkdir()
    for name, text in (("house.md", "Alte Häuser."), ("note.md", "Andere Dinge.")):
        (docs / name).write_text(text, encoding="utf-8")
    (tmp_path / "cat.md").write_text("Katzen schlafen.")
    (docs / "link.md").symlink_to(tmp_path / "cat.md")
    questions = tmp_path / "questions.jsonl"
    lines = [
        {"question": "Haus", "expected_passage": "Häuser"},
        {"question": "Katze", "expected_passage": "Katzen schlafen"},
    ]
    questions.write_text("\n".join(map(json.dumps, lines)))
    data = ("--docs", docs, "--questions", questions, "--model", model, "--out", out)
    german = ("--language", "de", "--follow-symlinks")
    code, _, err = run(command, *data, *german)
    assert code == 0, err
    report = json.loads((out / "report.json").read_text())
    measures = report["systems"]["first_stage"]["measures"]
    name = {"evaluate": "R@10", "ragas": "id_based_context_recall"}[command]
    assert measures[name]["mean"] == 1.0
    assert report["settings"]["language"] == "german"
    with pytest.warns(RerankWarning, match="a link out of the folder"):
        assert run(command, *data, *german[:2])[0] == 0
    code, _, err = run(command, *data, "--language", "klingon")
    assert code == 2
    assert "klingon" in err
    code, _, err = run(command, *data, "--run", out / "no.trec", "--language", "de")
    assert code == 2
    assert "leave out --language de" in err


@pytest.mark.slow
def test_a_run_that_was_killed_resumes_to_the_same_report(run, collection, model, tmp_path):
    arguments = ("--model", model, "--first-stage-k", "40", "--measures", "nDCG@10")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    journal = killed / "journal.jsonl"
    process = start("evaluate", collection, "--out", killed, *arguments)
    wait_for_rows(journal, process, system="reranked", rows=5)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    done = scored(journal)
    assert 5 <= done["reranked"] < QUERIES
    # What a kill in the middle of a write leaves behind:
    with journal.open("a") as file:
        file.write('{"system": "reranked", "query": "q3')
    assert run("evaluate", collection, "--out", killed, *arguments, "--resume")[0] == 0
    assert scored(journal) == {"first_stage": QUERIES, "reranked": QUERIES}  # none of them twice
    assert run("evaluate", collection, "--out", whole, *arguments)[0] == 0
    resumed, scores = undisturbed(Report.load(killed))
    expected, other = undisturbed(Report.load(whole))
    assert resumed == expected
    assert scores == pytest.approx(other, abs=1e-6)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(collection, model, tmp_path):
    out = tmp_path / "out"
    collection = shutil.copytree(collection, tmp_path / "long")  # seconds, and not a few moments
    for file, header in ((collection / "queries.jsonl", 0), (collection / "qrels/test.tsv", 1)):
        lines = file.read_text().splitlines(keepends=True)
        more = [line.replace("q", f"q{n}_") for n in range(20) for line in lines[header:]]
        file.write_text("".join([*lines, *more]))
    process = start("evaluate", collection, "--out", out, "--model", model)
    wait_for_rows(out / "journal.jsonl", process, system="reranked", rows=1)
    process.send_signal(signal.SIGINT)
    _, notes = process.communicate()
    assert process.returncode == 130
    assert "--resume" in notes
    assert "Traceback" not in notes


def test_ctrl_c_before_the_first_query_promises_nothing(tmp_path):
    notes = Console(file=io.StringIO())
    with pytest.raises(typer.Exit) as stopped, resumable(tmp_path, notes):
        raise KeyboardInterrupt
    assert stopped.value.exit_code == 130
    assert notes.file.getvalue() == "\nInterrupted before any query was finished.\n"


@pytest.mark.parametrize(
    ("given", "message"),
    [(("--budget-ms", "0"), "budget_ms=0"), (("--margin", "2"), "margin=2")],
)
def test_an_impossible_limit_is_refused_before_anything_is_loaded(run, tmp_path, given, message):
    # What would be loaded is not there.
    code, _, err = run("sweep", tmp_path / "nowhere", "--out", tmp_path / "out", *given)
    assert code == 2
    assert message in err


def test_a_journal_of_other_settings_is_not_resumed(run, collection, model, tmp_path):
    arguments = ("evaluate", collection, "--model", model, "--out", tmp_path / "out")
    assert run(*arguments, "--limit", "3", "--first-stage-k", "5")[0] == 0
    code, _, err = run(*arguments, "--limit", "3", "--first-stage-k", "6", "--resume")
    assert code == 2
    assert "first_stage_k was 5, is 6" in err


def test_models_are_loaded_as_model_arg_says_and_a_resumed_run_must_not_differ(
    run, collection, model, tmp_path
):
    arguments = ("evaluate", collection, "--model", model, "--limit", "2", "--out", tmp_path / "o")
    loaded = ("--model-arg", "dtype=float32", "--model-arg", "max_length=32")
    assert run(*arguments, *loaded)[0] == 0
    settings = Report.load(tmp_path / "o").settings
    assert "'dtype': 'float32'" in str(settings)
    assert "'max_length': 32" in str(settings)
    code, _, err = run(*arguments, "--model-arg", "dtype=bfloat16", "--resume")
    assert code == 2
    assert "float32" in err


def test_sweep_chooses_a_depth_and_draws_its_curve(run, collection, model, tmp_path):
    out = tmp_path / "out"
    code, shown, _ = run(
        *("sweep", collection, "--model", model, "--ks", "5,10,20", "--limit", "12"),
        *("--budget-ms", "5000", "--margin", "0.05", "--measures", "nDCG@10", "--out", out),
    )
    assert code == 0
    data = json.loads((out / "report.json").read_text())
    assert data["recommended_k"] in {0, 5, 10, 20}
    assert [one["k"] for one in data["sweep"]["points"]] == [0, 5, 10, 20]
    assert f"K = {data['recommended_k']}" in shown
    assert (out / "plots" / "depth.svg").is_file()
    for system in ("first_stage", "reranked"):
        mean = data["systems"][system]["measures"]["nDCG@10"]["mean"]
        assert computed(out, system, ["nDCG@10"]) == {"nDCG@10": mean}


def test_compare_models_puts_every_model_on_the_same_candidates(run, collection, model, tmp_path):
    out = tmp_path / "out"
    other = build_tiny_model("bert", tmp_path / "other", seed=1)
    code, shown, _ = run(
        *("compare-models", collection, "--models", f"{model},{other}", "--limit", "6"),
        *("--first-stage-k", "10", "--out", out),
    )
    assert code == 0
    report = Report.load(out)
    assert list(report.systems) == ["first_stage", str(model), str(other)]
    assert len(list((out / "runs").glob("*.trec"))) == 3
    assert "Nothing is both faster and better" in shown.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "o"], "nothing to evaluate on"),
        (["no/such/folder", "--out", "o"], "no/such/folder"),
        (["{collection}", "--questions", "q.jsonl", "--out", "o"], "leave out"),
        (["{collection}", "--run", "r.trec", "--first-stage", "bm25", "--out", "o"], "leave out"),
        (["{collection}", "--run", "no.trec", "--model", "embedded", "--out", "o"], "no.trec"),
        (["{collection}", "--measures", "nDGC@10", "--out", "o"], "Did you mean nDCG?"),
        (["{collection}", "--model-arg", "device", "--out", "o"], "SETTING=VALUE was expected"),
        (["{collection}", "--model-arg", "dtype=int3", "--out", "o"], "dtype='int3' is unknown"),
        (["{collection}", "--model", "{collection}", "--out", "o"], "Could not load the cross-enc"),
    ],
)
def test_a_mistake_is_one_clear_message_and_exit_code_2(
    run, collection, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("evaluate", *(one.format(collection=collection) for one in arguments))
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["evaluate", "sweep", "compare-models"])
def test_help_names_every_option_of_the_command(run, command):
    code, shown, _ = run(command, "--help")
    assert code == 0
    for option in (
        "--docs",
        "--questions",
        "--run",
        "--measures",
        "--limit",
        "--resume",
        "--out",
        "--model-arg",
    ):
        assert option in shown


def test_the_embedded_model_on_the_embedded_guides_and_questions(run, tmp_path):
    from langchain_rerank.embedded import CORPUS_FOLDER, QUESTIONS_FILE

    out = tmp_path / "out"
    code, shown, err = run(
        *("evaluate", "--docs", CORPUS_FOLDER, "--questions", QUESTIONS_FILE, "--limit", "12"),
        *("--model", "embedded", "--first-stage-k", "20", "--out", out),
    )
    assert code == 0, err
    report = Report.load(out)
    assert report.counts["ok"] == 12
    assert "embedded" in report.title
    assert "Reranking" in shown
    for system in ("first_stage", "reranked"):
        means = {name: one.mean for name, one in report.systems[system].measures.items()}
        assert means == computed(out, system, report.measures)


# For continuous integration


def quick(collection, model, out, *more):
    return ("evaluate", collection, "--model", model, "--limit", "6", "--out", out, *more)


def test_the_command_and_python_have_the_same_depth_and_measures_by_default(
    run, collection, model, tmp_path
):
    import inspect

    from langchain_rerank.evaluation import compare_rerank
    from langchain_rerank.evaluation.compare import DEFAULT_MEASURES

    assert run(*quick(collection, model, tmp_path / "out"))[0] == 0
    report = Report.load(tmp_path / "out")
    settings = report.settings
    assert report.measures == DEFAULT_MEASURES
    default = inspect.signature(compare_rerank).parameters["first_stage_k"].default
    assert settings["first_stage_k"] == default == 50


def test_quality_under_a_floor_is_exit_code_1_and_the_report_is_written(
    run, collection, model, tmp_path
):
    floor = ("--fail-under", "ndcg@5=1.01", "--fail-under", "RR@10=0")
    code, _, err = run(*quick(collection, model, tmp_path / "out", *floor))
    assert code == 1
    assert "Failed: nDCG@5 of reranked is 0." in err
    assert "RR@10" not in err.split("Failed")[1]
    assert "nDCG@5" in Report.load(tmp_path / "out").measures  # though nobody named it
    assert run(*quick(collection, model, tmp_path / "ok", "--fail-under", "nDCG@10=0"))[0] == 0


@pytest.fixture
def little(tmp_path, model):
    """Return a function to evaluate one document with these questions."""

    def arguments(*questions):
        files = {"docs": [{"_id": "d", "text": "about the river"}], "questions": questions}
        for name, rows in files.items():
            (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        data = [text for name in files for text in (f"--{name}", tmp_path / f"{name}.jsonl")]
        return ["evaluate", *data, "--model", model, "--out", tmp_path / "out"]

    return arguments


RIVER = {"id": "q1", "question": "which river?", "qrels": {"d": 1}}


def test_a_floor_is_no_use_where_most_questions_could_not_be_asked(run, little):
    command = little(RIVER, {"question": ""}, {"question": " "})
    code, _, err = run(*command, "--fail-under", "nDCG@10=0")
    assert code == 2
    assert "2 of 3 records could not be used" in err


def test_questions_that_a_run_does_not_answer_are_named(run, little, tmp_path):
    (tmp_path / "r").write_text("q1 Q0 d 1 0.5 t\n")
    command = little(RIVER, {**RIVER, "id": "q2", "question": "another?"})
    code, _, err = run(*command, "--run", tmp_path / "r")
    assert code == 0
    assert "answers 1 of 2 questions. The others ('q2') have no candidates and count 0." in err


def test_a_system_that_is_worse_than_in_an_earlier_report_is_exit_code_1(
    run, collection, model, tmp_path
):
    assert run(*quick(collection, model, tmp_path / "first"))[0] == 0
    accepted = tmp_path / "first" / "report.json"
    again = quick(collection, model, tmp_path / "second", "--against", accepted)
    assert run(*again)[0] == 0
    # Another model, which accepted.json does not know to be as bad as it is.
    data = json.loads(accepted.read_text())
    for row in data["queries"]:
        row["systems"]["reranked"]["measures"] = dict.fromkeys(data["measures"], 1.0)
    accepted.write_text(json.dumps(data))
    code, _, err = run(*again)
    assert code == 1
    assert "Failed: nDCG@10 fell by more than the margin" in err.replace("\n", " ")


def test_json_is_the_report_in_a_file_or_alone_on_the_screen(run, collection, model, tmp_path):
    code, shown, _ = run(*quick(collection, model, tmp_path / "out", "--json", "-"))
    assert code == 0
    data = json.loads(shown)
    assert data["systems"].keys() == {"first_stage", "reranked"}
    file = tmp_path / "result.json"
    code, shown, _ = run(*quick(collection, model, tmp_path / "out", "--json", file))
    assert "Reranking" in shown
    assert json.loads(file.read_text())["measures"] == data["measures"]


def test_labels_that_match_nothing_may_fail_before_anything_is_scored(run, model, tmp_path):
    docs, questions = tmp_path / "docs.jsonl", tmp_path / "questions.csv"
    docs.write_text('{"_id": "d1", "text": "a note"}\n{"_id": "d2", "text": "another"}\n')
    questions.write_text("question;reference_context_ids\nnote?;d1\nwhat?;D2\n")
    data = ("evaluate", "--docs", docs, "--questions", questions, "--out", tmp_path / "out")
    code, _, err = run(*data, "--model", model, "--fail-on", "unmatched")
    assert code == 1
    assert "1 of 2 labels belongs to no document of the corpus" in err.replace("\n", " ")
    assert "'d2', is written in another case" in err.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_several_models_and_depths_in_one_command(run, collection, model, tmp_path):
    out = tmp_path / "out"
    other = build_tiny_model("bert", tmp_path / "other", seed=1)
    code, _, err = run(
        *quick(collection, model, out, "--model", other),
        *("--first-stage-k", "3", "--first-stage-k", "6", "--measures", "ndcg@10"),
    )
    assert code == 0, err
    assert "The measure ndcg@10 is read as nDCG@10." in err
    report = Report.load(out)
    assert list(report.systems) == ["first_stage", str(model), str(other)]
    assert report.settings["first_stage_k"] == 6
    assert "The depth to use of each" in "".join(report.warnings)
    swept = [Report.load(one.parent) for one in sorted(out.glob("depths/*/report.json"))]
    assert [[point.k for point in one.sweep.points] for one in swept] == [[0, 3, 6]] * 2


def test_several_depths_make_evaluate_a_sweep(run, collection, model, tmp_path):
    more = ("--ks", "3,6", "--first-stage-k", "6", "--measures", "nDCG@10")
    assert run(*quick(collection, model, tmp_path / "out", *more))[0] == 0
    points = Report.load(tmp_path / "out").sweep.points
    assert [one.k for one in points] == [0, 3, 6]


def test_a_run_with_ids_that_hold_spaces_is_read_back(run, model, tmp_path):
    docs, questions = tmp_path / "docs.jsonl", tmp_path / "questions.jsonl"
    rows = [{"_id": f"my note {word}", "text": f"about the {word}"} for word in WORDS[:6]]
    docs.write_text("\n".join(map(json.dumps, rows)))
    asked = [
        {"id": f"is it {n}", "question": row["text"], "reference_context_ids": [row["_id"]]}
        for n, row in enumerate(rows)
    ]
    questions.write_text("\n".join(map(json.dumps, asked)))
    data = ("evaluate", "--docs", docs, "--questions", questions, "--model", model)
    assert run(*data, "--out", tmp_path / "first")[0] == 0
    written = tmp_path / "first" / "runs" / "first_stage.trec"
    code, _, err = run(*data, "--out", tmp_path / "second", "--run", written)
    assert code == 0, err
    one, two = Report.load(tmp_path / "first"), Report.load(tmp_path / "second")
    assert [row.systems["first_stage"].ids for row in one.queries] == [
        row.systems["first_stage"].ids for row in two.queries
    ]
    assert two.systems["first_stage"].measures["RR@10"].mean == 1.0


def test_a_run_of_a_report_by_sources_is_read_back_by_its_documents(run, model, tmp_path):
    docs, questions = tmp_path / "docs", tmp_path / "questions.jsonl"
    docs.mkdir()
    for word in WORDS[:4]:
        (docs / f"a {word}.md").write_text(f"About the {word}. " * 60)
    rows = [{"question": f"about the {one}", "expected_source": f"a {one}.md"} for one in WORDS[:4]]
    questions.write_text("\n".join(map(json.dumps, rows)))
    data = ("evaluate", "--docs", docs, "--questions", questions, "--model", model)
    assert run(*data, "--out", tmp_path / "first")[0] == 0
    written = tmp_path / "first" / "document_runs" / "first_stage.trec"
    code, _, err = run(*data, "--out", tmp_path / "second", "--run", written)
    assert code == 0, err
    one, two = Report.load(tmp_path / "first"), Report.load(tmp_path / "second")
    assert [row.systems["first_stage"].document_ids for row in one.queries] == [
        row.systems["first_stage"].document_ids for row in two.queries
    ]
    code, _, err = run(
        *data, "--out", tmp_path / "no", "--run", tmp_path / "first" / "runs" / "first_stage.trec"
    )
    assert code == 2
    assert "document_runs" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fail-under", "nDCG@10"], "MEASURE=VALUE was expected"),
        (["--fail-under", "nDCG@10=high"], "MEASURE=VALUE was expected"),
        (["--fail-under", "nDGC@10=0.5"], "Did you mean nDCG?"),
        (["--against", "no.json"], "cannot be read as a report"),
        (["--split", "dev"], "the folder has test"),
        (["--json", "no/such/folder.json"], "there is no folder"),
    ],
)
def test_a_gate_that_cannot_be_checked_is_exit_code_2(
    run, collection, model, tmp_path, arguments, message
):
    code, _, err = run(*quick(collection, model, tmp_path / "out", *arguments))
    assert code == 2
    assert message in err
