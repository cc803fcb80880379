"""`langchain-rerank demo`, as a user runs it."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from langchain_rerank.cli import main
from langchain_rerank.cli.demo import KS, _bar, _Heard
from langchain_rerank.scorers.contract import scorer_name
from langchain_rerank.testing import CountingScorer, WordOverlapScorer

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
    for section in ("1. BM25", "2. One search", "3. Recall and latency", "4. How many"):
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


def test_scores_that_were_heard_are_given_again_without_computing():
    scorer = CountingScorer(WordOverlapScorer())
    heard = _Heard(scorer)
    first = list(heard.score("fox", ["a fox", "a hen", "a fox"]))
    assert list(heard.again().score("fox", ["a hen", "a fox"])) == first[1:]
    assert len(scorer.texts) == 3
    assert heard.again().name == heard.name == scorer_name(scorer)


def rows(table, *names):
    """Return the figures of the rows that begin with `names`."""
    lines = [re.sub(r"[│┃]", " ", line) for line in table.splitlines()]
    found = [next(line for line in lines if line.strip().startswith(name)) for name in names]
    return [[float(one) for one in re.findall(r"\d\.\d{3}", line)] for line in found]


@pytest.mark.slow
@pytest.mark.timeout(900)  # on a machine that does much else
def test_on_the_packaged_guides_reranking_lifts_recall_and_the_depth_matters(run, tmp_path):
    code, out, err = run("--out", tmp_path / "report")
    assert code == 0, err
    before, after, mixed = rows(
        out.split("3. Recall")[1].split("4. How many")[0],
        "not reranked",
        "reranked, K=",
        "mixed with 30%",
    )
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    table = out.split("4. How many")[1]
    by_depth = dict(
        zip(("0", *map(str, KS)), rows(table, "0, not", *(f"{k} " for k in KS)), strict=True)
    )
    assert before[0] == by_depth["0"][0]
    for old, new, both in zip(before, after, mixed, strict=True):
        assert min(new, both) >= old
    assert after[0] > before[0] + 0.03
    # The table moves, and the best depth is neither the smallest nor not to rerank.
    # Five documents in another order are the same five.
    assert by_depth["0"] == by_depth["5"] < by_depth["10"] < max(by_depth.values())
    best = report["sweep"]["recommended_k"]
    assert best > KS[0]
    assert f"with K = {best} takes" in " ".join(table.split())
    assert (tmp_path / "report" / "plots" / "depth.svg").is_file()
    # What the first page says of it.
    page = (Path(__file__).parents[2] / "docs/index.md").read_text(encoding="utf-8")
    said = re.search(r"(\.\d+) without reranking, (\.\d+) from (\d+) candidates", page)
    assert by_depth["0"] == pytest.approx([float(said[1])], abs=0.001)
    assert by_depth[said[3]] == pytest.approx([float(said[2])], abs=0.02)
