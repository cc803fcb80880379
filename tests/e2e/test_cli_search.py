"""`langchain-rerank search` over files, as a user runs it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest
from rich.console import Console

from langchain_rerank.errors import RerankWarning

GUIDES = {
    "adapters.md": "# Adapters\n\nQLoRA trains adapters over weights quantised to four bits.\n",
    "deep/search.txt": "A vector database finds the neighbours of an embedding.\n",
    "more.jsonl": '{"_id": "d1", "title": "Cats", "text": "They sleep a lot."}\n\n'
    '{"text": "BM25 counts words.", "metadata": {"source": "ranking"}}\n',
}


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    for name, text in GUIDES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def search(run, query, docs, *more):
    return run("search", query, "--docs", docs, "--model", "embedded", *more)


def test_the_best_passages_of_a_folder_are_shown(run, docs):
    code, out, _ = search(run, "What does QLoRA train?", docs, "--first-stage", "bm25")
    assert code == 0
    assert "adapters.md" in out
    assert "embedded" in out


def test_the_last_note_is_the_time_on_the_users_watch(run, docs, monkeypatch):
    noted, printed = [], Console.print

    def noting(self, *objects, **options):
        if any("s in all" in str(one) for one in objects):
            noted.append(time.perf_counter())
        printed(self, *objects, **options)

    monkeypatch.setattr(Console, "print", noting)
    begun = time.perf_counter()
    code, _, notes = search(run, "What does QLoRA train?", docs, "--first-stage", "bm25")
    assert code == 0
    [seconds] = re.findall(r"^([0-9.]+) s in all, with loading\.$", notes, re.MULTILINE)
    assert float(seconds) == pytest.approx(noted[0] - begun, abs=0.3)
    assert "in all" not in search(run, "-q", docs, "cats", "--first-stage", "bm25")[2]


@pytest.mark.parametrize("first_stage", ["dense", "hybrid"])
def test_json_goes_to_the_screen_or_to_a_file(run, docs, tmp_path, first_stage):
    query, options = "What does QLoRA train?", ("--first-stage", first_stage, "--top-n", "2")
    code, out, _ = search(run, query, docs, *options, "--json", "-")
    result = json.loads(out)
    assert code == 0
    assert result["query"] == query
    assert result["documents"][0]["id"] == "adapters.md#1"
    assert result["documents"][0]["metadata"]["source"] == "adapters.md"
    file = tmp_path / "result.json"
    assert search(run, query, docs, *options, "--json", file)[0] == 0
    written = json.loads(file.read_text())
    assert [d["id"] for d in written["documents"]] == [d["id"] for d in result["documents"]]


def test_jsonl_records_keep_their_id_title_and_source(run, docs):
    _, out, _ = search(run, "cats", docs, "--first-stage", "bm25", "--json", "-")
    best = json.loads(out)["documents"][0]
    assert best["id"] == "d1"
    assert best["text"] == "Cats\nThey sleep a lot."
    assert best["metadata"]["title"] == "Cats"
    _, out, _ = search(run, "counts words", docs, "--first-stage", "bm25", "--json", "-")
    assert json.loads(out)["documents"][0]["metadata"]["source"] == "ranking"


def test_the_threshold_cuts_what_is_not_relevant(run, docs):
    _, out, _ = search(
        run, "QLoRA", docs, "--first-stage", "bm25", "--threshold", "1.5", "--json", "-"
    )
    assert json.loads(out)["documents"] == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.md", None, "no such file or folder"),
        ("latin.txt", b"caf\xe9 na\xefve", "not UTF-8 (byte 3)"),
        ("bad.jsonl", b'{"text": "fine"}\n{broken\n', "bad.jsonl:2: This is no JSON"),
        ("list.jsonl", b"[1, 2]\n", "list.jsonl:1: expected an object"),
        ("empty.md", b"  \n", "every file is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_message(run, tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    code, _, err = search(run, "anything", path, "--first-stage", "bm25")
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_what_cannot_be_read_below_a_folder_is_left_out_and_named(run, docs):
    (docs / "latin.txt").write_bytes(b"caf\xe9 about QLoRA")
    (docs / "deep" / "broken.jsonl").write_text('{"text": "QLoRA"}\n{broken\n')
    (docs / "gone.md").symlink_to(docs / "nowhere.md")
    with pytest.warns(RerankWarning, match="What cannot be read below") as warned:
        code, out, _ = search(run, "QLoRA", docs, "--first-stage", "bm25", "--json", "-")
    assert code == 0
    # Not half of a file either.
    assert [one["id"] for one in json.loads(out)["documents"]] == ["adapters.md#1"]
    (warning,) = (one for one in warned if one.category is RerankWarning)
    assert str(warning.message).count("\n") == 4
    for reason in (
        "latin.txt: It is not UTF-8 (byte 3)",
        "broken.jsonl:2: This is no JSON",
        "gone.md: cannot be read: No such file or directory",
    ):
        assert reason in str(warning.message)


def test_a_folder_of_nothing_that_can_be_read_is_one_clear_message(run, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(b"caf\xe9")
    code, _, err = search(run, "coffee", tmp_path, "--first-stage", "bm25")
    assert code == 2
    assert "not UTF-8 (byte 3)" in err


def test_a_warning_is_shown_without_the_code_that_gave_it(docs):
    (docs / "latin.txt").write_bytes(b"caf\xe9")
    command = "from langchain_rerank.cli import main; main()"
    query = ["search", "QLoRA", "--docs", str(docs), "--first-stage", "bm25"]
    done = subprocess.run(
        [sys.executable, "-c", command, *query, "--model", "embedded"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert f"Warning: What cannot be read below {docs} is left out:\n  {docs}/latin" in done.stderr
    assert "RerankWarning" not in done.stderr


def test_a_folder_without_documents_is_one_clear_message(run, tmp_path):
    code, _, err = search(run, "anything", tmp_path)
    assert code == 2
    assert "no file that ends in .txt, .md, .markdown, .mdx" in err


def test_an_empty_query_is_one_clear_message(run, docs):
    code, _, err = search(run, "  ", docs, "--first-stage", "bm25")
    assert code == 2
    assert "nothing to rank by" in err


def test_a_missing_model_is_one_clear_message_that_names_the_embedded_one(run, docs):
    code, _, err = run(
        "search", "cats", "--docs", docs, "--first-stage", "bm25", "--model", "no/such-model"
    )
    assert code == 2
    assert "no/such-model" in err
    assert "embedded" in err
    assert "Traceback" not in err


def test_a_folder_after_the_question_is_answered_with_docs(run, docs):
    code, _, err = run("search", "How do adapters save memory?", docs, "--docs", docs)
    assert code == 2
    assert f"Files are given with --docs: --docs {docs}" in err


def test_a_folder_after_the_question_alone_is_answered_with_docs(run, docs):
    code, _, err = run("search", "How do adapters save memory?", docs)
    assert code == 2
    assert f"Files are given with --docs: --docs {docs}" in err
    code, _, err = run("search", "How do adapters save memory?")
    assert code == 2
    assert "name files or folders with --docs" in err


def test_a_table_that_needs_a_delimiter_is_searched_with_the_option_that_the_message_names(
    run, tmp_path
):
    table = tmp_path / "notes.csv"
    table.write_text("text~n\nCats sleep.~1\n", encoding="utf-8")
    code, _, err = search(run, "cats", table, "--first-stage", "bm25")
    assert code == 2
    assert "--delimiter" in err
    code, out, _ = search(run, "cats", table, "--first-stage", "bm25", "--delimiter", "~")
    assert code == 0
    assert "Cats sleep." in out
    assert run("index", table, "--first-stage", "bm25", "--delimiter", "~")[0] == 0


@pytest.mark.parametrize("command", ["search", "index", "cache", "rerank-run"])
def test_help_fits_a_terminal_of_80_columns_and_names_what_there_is(run, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(command, "--help")
    assert code == 0
    prose = out.partition("╭")[0]
    paragraphs = [part.split("\n") for part in re.split(r"\n *\n", prose)]
    # A line that was broken twice leaves a few words alone in the middle of its paragraph.
    assert not [
        lines
        for lines in paragraphs
        for line in lines[:-1]
        if line.strip() and len(line.split()) < 4
    ]
    if command == "search":
        assert "[OPTIONS] [QUERY] " in out
        assert "BAAI/bge-reranker-large" in " ".join(out.replace("│", " ").split())


def test_a_question_without_quotes_is_answered_with_quotes(run, docs):
    code, _, err = run("search", "adapters", "memory", "--docs", docs)
    assert code == 2
    assert "Put the question in quotes" in err
