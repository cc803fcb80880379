"""`--model-url` and `--dialect` wherever `--model` stands."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from langchain_rerank.cli.app import app
from langchain_rerank.cli.models import open_scorer
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer

GUIDE = "QLoRA trains adapters.\n\nCats sleep a lot.\n"
QUESTION = {"question": "What trains adapters?", "expected_source": "guide.md"}


@pytest.fixture
def files(tmp_path):
    (tmp_path / "guide.md").write_text(GUIDE)
    (tmp_path / "cats.md").write_text("Adapters of cats.")
    (tmp_path / "questions.jsonl").write_text(json.dumps(QUESTION) + "\n")
    return tmp_path


def run(*arguments):
    done = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.mark.loopback
@pytest.mark.parametrize("command", ["search", "evaluate", "sweep", "ragas"])
def test_the_commands_ask_the_server(command, files, serve, monkeypatch):
    server = serve("tei", key="secret")
    monkeypatch.setenv("RERANK_API_KEY", "secret")
    asked = ("--model-url", server.url, "--dialect", "tei", "--model", "bge")
    docs = ("--docs", files / "guide.md", "--docs", files / "cats.md", "--first-stage", "bm25")
    if command == "search":
        shown = run("search", "What trains adapters?", *docs, *asked)
    else:
        questions = ("--questions", files / "questions.jsonl", "--out", files / "out")
        more = ("--ks", "1,2") if command == "sweep" else ("--first-stage-k", 6)
        shown = run(command, *docs, *questions, *asked, *more)
        shown += (files / "out/report.json").read_text()
    assert {body["model"] for _, _, body in server.seen} == {"bge"}
    assert f"bge at 127.0.0.1:{server.server_port}" in shown.replace("\n", "")
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model_url": "http://127.0.0.1:9"}, "needs --dialect"),
        ({"dialect": "tei"}, "give the server's address with --model-url"),
        ({"model_url": "http://127.0.0.1:9", "dialect": "tgi"}, "dialect='tgi' is unknown"),
        (
            {"model_url": "http://127.0.0.1:9", "dialect": "tei", "model_arg": ["dtype=float32"]},
            "--model-arg dtype: the server",
        ),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, said):
    with pytest.raises(ConfigurationError, match=said):
        open_scorer(None, default="embedded", **options)


def test_revision_names_the_state_of_the_servers_model():
    scorer = open_scorer(
        "bge",
        default="embedded",
        model_url="http://127.0.0.1:9",
        dialect="jina",
        model_arg=["revision=2026-11"],
    )
    assert scorer.identity["revision"] == "2026-11"


def test_without_a_server_the_model_is_loaded_here():
    scorer = open_scorer(None, default="embedded", model_arg=["max_length=64"])
    assert isinstance(scorer, CrossEncoderScorer)
    assert (scorer.name, scorer.max_length) == ("embedded", 64)
