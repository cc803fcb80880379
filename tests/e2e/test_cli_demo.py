"""`langchain-rerank demo`, as a user runs it."""

from __future__ import annotations

import io
import json
import re
import sys

import pytest
from rich.console import Console

from langchain_rerank.cli import main
from langchain_rerank.cli.demo import _bar

GUIDES = {
    "adapters.md": "QLoRA trains adapters over \x1b[31mweights\x1b[0m quantised to four bits.",
    "search.md": "A vector database finds the neighbours of an embedding.",
    "words.md": "BM25 ranks documents by the words they share with the query.",
}
QUESTIONS = [
    ("Which adapters go over quantised weights?", "adapters.md"),
    ("What finds the neighbours of a vector?", "search.md"),
    ("Which ranking counts shared words?", "words.md"),
]


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setenv("COLUMNS", "160")
        monkeypatch.setattr(sys, "argv", ["langchain-rerank", "demo", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return run


def test_model_documents_and_questions_can_be_replaced(run, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for name, text in GUIDES.items():
        (docs / name).write_text(text)
    questions = tmp_path / "questions.jsonl"
    questions.write_text(
        "\n".join(json.dumps({"question": q, "expected_source": s}) for q, s in QUESTIONS)
    )
    code, out, err = run("--docs", docs, "--questions", questions, "--model", "embedded")
    assert code == 0, err
    assert "3 passages, 3 questions" in out
    for section in ("1. Bi-encoder", "2. One search", "3. Recall and latency", "4. How many"):
        assert section in out
    # Three questions settle nothing, and the demo says so.
    assert "Best K" not in out
    choice = " ".join(out.split("4. How many")[1].split())
    assert "60 are the least" in choice
    assert "3 queries" in choice
    # The colour of a document is not the terminal's.
    assert "\x1b[31m" not in out


@pytest.mark.parametrize(
    ("encoding", "bar"), [("utf-8", "█████░░░░░ 0.500"), ("cp1252", "#####..... 0.500")]
)
def test_bars_stay_bars_on_a_screen_that_lacks_blocks(encoding, bar):
    console = Console(file=io.TextIOWrapper(io.BytesIO(), encoding))
    assert f"{_bar(0.5, console, width=10)} 0.500" == bar


def test_documents_without_questions_are_one_clear_message(run, tmp_path):
    code, _, err = run("--docs", tmp_path)
    assert code == 2
    assert "--docs needs --questions too" in err


@pytest.mark.slow
@pytest.mark.timeout(900)  # on a machine that does much else
def test_on_the_packaged_guides_reranking_lifts_recall_at_1(run):
    code, out, err = run()
    assert code == 0, err
    row = next(line for line in out.splitlines() if "recall@1 " in line and "+" in line)
    before, after = (float(number) for number in re.findall(r"\d\.\d{3}", row)[:2])
    assert after > before
    assert re.search(r"(Best K|K for now): (10|20|30|50|75|100)\. ", out)
