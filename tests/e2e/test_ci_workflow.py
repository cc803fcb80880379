"""The workflow that users copy: its step passes, and fails when retrieval gets worse."""

import json
import shlex
from pathlib import Path

import pytest
import yaml

WORKFLOW = Path(__file__).parents[2] / "examples" / "ci" / "retrieval-quality.yml"
TOPICS = {
    "lora": "LoRA trains two small matrices of low rank beside each frozen weight.",
    "qlora": "QLoRA stores the frozen weights in four bits while adapters are trained.",
    "paging": "Paged attention keeps keys and values in blocks, so that memory is not wasted.",
    "fusion": "Reciprocal rank fusion adds the reciprocal ranks of several searches.",
}
QUESTIONS = {
    "lora": "What does LoRA train beside a frozen weight?",
    "qlora": "In how many bits does QLoRA store frozen weights?",
    "paging": "How does paged attention keep keys and values?",
    "fusion": "What does reciprocal rank fusion add?",
}


@pytest.fixture
def step():
    """The arguments of the step that measures."""
    steps = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["quality"]["steps"]
    (found,) = [one["run"] for one in steps if one.get("name") == "Measure retrieval"]
    program, *arguments = shlex.split(found)
    assert program == "langchain-rerank"
    return arguments


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository as the workflow describes it, but for the accepted report."""
    monkeypatch.chdir(tmp_path)
    for folder in ("docs", "evaluation"):
        (tmp_path / folder).mkdir()
    for name, text in TOPICS.items():
        (tmp_path / "docs" / f"{name}.md").write_text(text)
    rows = [{"question": QUESTIONS[one], "expected_source": f"{one}.md"} for one in TOPICS]
    (tmp_path / "evaluation" / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


def accepting(step):
    """The step's arguments as they are for the report that is accepted."""
    at = step.index("--against")
    return [*step[:at], *step[at + 4 :], "--out", "evaluation/accepted"]


def test_the_step_passes_and_fails_when_retrieval_gets_worse(run, repository, step):
    code, _, err = run(*accepting(step))
    assert code == 0, err
    assert run(*step)[0] == 0
    # A change that takes the answers out of two documents.
    for name in ("lora", "paging"):
        (repository / "docs" / f"{name}.md").write_text("This page has moved.")
    code, _, err = run(*step)
    assert code == 1
    said = " ".join(err.split())
    assert "Failed: nDCG@10 of reranked is 0." in said
    assert "Failed: nDCG@10 fell by more than the margin of 0.02" in said
    assert (repository / "results" / "report.html").is_file()


def test_the_step_fails_when_a_label_loses_its_document(run, repository, step):
    assert run(*accepting(step))[0] == 0
    (repository / "docs" / "lora.md").rename(repository / "docs" / "low_rank.md")
    code, _, err = run(*step)
    assert code == 1
    assert "1 of 4 labels belongs to no document of the corpus" in " ".join(err.split())
