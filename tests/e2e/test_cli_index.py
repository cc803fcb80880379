"""The kept index on the command line: made, used, shown, cleared; questions one by one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import subprocess
import sys

import docx
import pytest
from huggingface_hub import constants

from langchain_rerank.cli import _as_a_message
from langchain_rerank.cli.model_names import _meant
from langchain_rerank.errors import RerankWarning
from langchain_rerank.first_stage.kept import database
from langchain_rerank.first_stage.kept.store import default_store
from langchain_rerank.testing.tiny_models import build_tiny_model

NOTES = {
    "adapters.md": "---\ntitle: On adapters\n---\n\nQLoRA trains adapters in four bits.\n",
    "cats.txt": "First line.\n\nCats sleep most of the day.\n",
    "deep/page.html": "<html><body>\n<p>Owls hunt at night.</p></body></html>",
    "rows.jsonl": '{"_id": "dogs", "text": "Dogs bark at strangers."}\n',
}


@pytest.fixture
def notes(tmp_path, monkeypatch):
    monkeypatch.setenv("LANGCHAIN_RERANK_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "notes"
    for name, text in NOTES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return build_tiny_model("bert", tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def run(run, tiny):
    """Runs a command; a search that names no model has a tiny one, whose order means nothing."""

    def with_model(command, *arguments):
        if command == "search" and "--model" not in arguments and "--no-model" not in arguments:
            arguments = (*arguments, "--model", tiny)
        return run(command, *(one for one in arguments if one != "--no-model"))

    return with_model


def search(run, notes, *more):
    return run("search", "--docs", notes, "--first-stage", "bm25", *more)


def found(run, notes, query, *more):
    code, out, err = search(run, notes, query, "--json", "-", *more)
    assert code == 0, err
    return [
        (d["id"], d["metadata"]["source"], d["metadata"]["first_stage_score"])
        for d in json.loads(out)["documents"]
    ]


def test_a_folder_is_indexed_once_and_a_note_that_is_added_costs_one_note(run, notes):
    hybrid = ("--first-stage", "hybrid")
    code, out, _ = run("index", notes, *hybrid)
    assert (code, out) == (0, "4 files, 4 passages: 4 files read, 4 texts embedded.\n")
    (notes / "new.md").write_text("Bees dance.")
    os.utime(notes / "new.md", (1, 1))
    code, out, _ = run("index", notes, *hybrid)
    assert "5 files, 5 passages" in out
    assert "1 text embedded" in out
    # The search finds it there, and the same with and without it.
    with_index = found(run, notes, "dancing bees", *hybrid)
    assert with_index == found(run, notes, "dancing bees", *hybrid, "--no-index")
    assert ("new.md#1", "new.md") in [one[:2] for one in with_index]
    assert "0 texts embedded" in run("index", notes, *hybrid)[1]


def test_without_an_index_nothing_is_kept(run, notes):
    found(run, notes, "cats", "--no-index")
    assert not default_store().exists()
    assert run("cache")[1].startswith("Nothing is kept.\n")


def test_the_cache_is_shown_pruned_and_cleared(run, notes):
    run("index", notes, "--first-stage", "hybrid")
    code, out, _ = run("cache")
    assert code == 0
    assert f"{notes.resolve()}: 4 files, 4 passages, used 20" in out
    assert "4 embeddings" in out
    assert str(default_store()) in out
    assert "0 texts removed" in run("cache", "prune", "--days", "1")[1]
    assert "4 texts removed" in run("cache", "prune", "--size", "1KB")[1]
    run("index", notes, "--first-stage", "bm25")
    old = default_store().parent.parent / "embeddings"
    old.mkdir()
    (old / "block.npy").write_bytes(b"x")
    assert str(notes) not in run("cache", "clear")[1]
    assert not old.exists()


def spoiled(path):
    path.write_bytes(path.read_bytes()[:4096] + b"private notes" * 4096)


def of_another_version(path):
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("damage", [spoiled, of_another_version])
def test_a_damaged_index_is_told_about_and_cleared_without_a_rest(run, notes, damage):
    run("index", notes, "--first-stage", "bm25")
    path = default_store()
    damage(path)
    before = path.read_bytes()
    for action in (("show",), ("prune", "--days", "3")):
        code, _, err = run("cache", *action)
        assert code == 2
        assert "damaged or of another version" in err
        assert "cache clear removes it" in err
    assert path.read_bytes() == before
    with pytest.warns(RerankWarning, match="set aside"):
        run("index", notes, "--first-stage", "bm25")
    assert "index.sqlite3.damaged: " in run("cache")[1]
    damage(path)
    code, out, _ = run("cache", "clear")
    assert code == 0
    assert "is removed" in out
    assert [one.name for one in path.parent.iterdir()] in ([], ["index.sqlite3.lock"])


def test_an_index_that_another_program_holds_is_not_said_to_be_cleared(run, notes, monkeypatch):
    run("index", notes, "--first-stage", "bm25")
    connected = database._connected

    def impatient(path):
        db = connected(path)
        db.execute("PRAGMA busy_timeout = 10")
        return db

    monkeypatch.setattr(database, "_connected", impatient)
    with contextlib.closing(sqlite3.connect(default_store(), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for action in (("clear",), ("prune", "--days", "0")):
            code, out, err = run("cache", *action)
            assert (code, out) == (2, "")
            assert "cannot be used now (database is locked)" in err
    assert str(notes.resolve()) in run("cache")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prune",), "Say what to prune"),
        (("clear", "--days", "3"), "belong to prune"),
        (("prune", "--size", "much"), "--size 'much'"),
        (("prune", "--size", "-1"), "--size '-1'"),
    ],
)
def test_what_cannot_be_done_with_the_cache_is_one_clear_message(run, notes, arguments, message):
    code, _, err = run("cache", *arguments)
    assert code == 2
    assert message in err


def test_hits_are_paths_with_lines_that_a_terminal_can_open(run, notes, monkeypatch):
    monkeypatch.chdir(notes.parent)
    for query, place in (
        ("adapters", "notes/adapters.md:5"),
        ("cats", "notes/cats.txt:1"),
        ("owls", "notes/deep/page.html:2"),
        ("dogs", "notes/rows.jsonl"),
    ):
        assert place in search(run, "notes", query)[1]
    assert "notes/cats.txt:1" in search(run, "notes/cats.txt", "cats")[1]


def test_each_kind_of_file_is_found(run, notes):
    document = docx.Document()
    document.add_paragraph("Whales sing songs.")
    document.save(notes / "whales.docx")
    (notes / "pdf.pdf").write_bytes(b"%PDF- broken")
    (notes / "picture.png").write_bytes(b"\0")
    for query, source in (
        ("whales", "whales.docx"),
        ("owls", "deep/page.html"),
        ("adapters", "adapters.md"),
        ("sleep", "cats.txt"),
        ("dogs", "rows.jsonl"),
    ):
        with pytest.warns(RerankWarning, match=r"1 of kinds that are not read: 1 .png") as warned:
            sources = [one[1] for one in found(run, notes, query)]
        assert sources == [source]
    assert any("pdf.pdf: cannot be read as PDF" in str(one.message) for one in warned)


def test_a_pdf_is_found_with_its_page_and_kept(run, notes):
    pytest.importorskip("matplotlib", reason="it writes the PDF")
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    with PdfPages(notes / "birds.pdf", metadata={"Title": "On birds"}) as pages:
        for text in ("Penguins swim and do not fly.", "Ostriches run very fast."):
            figure = Figure()
            figure.text(0.1, 0.5, text)
            pages.savefig(figure)
    for _ in range(2):  # read, then kept
        code, out, err = search(run, notes, "ostriches run", "--json", "-")
        assert code == 0, err
        best = json.loads(out)["documents"][0]
        assert (best["id"], best["text"]) == ("birds.pdf#2", "Ostriches run very fast.")
        assert (best["metadata"]["page"], best["metadata"]["title"]) == (2, "On birds")
    assert "birds.pdf, page 2" in search(run, notes, "ostriches run")[1]


def test_names_that_nobody_expects_are_shown_and_command_no_terminal(run, notes):
    for name, text in (
        (b"caf\xe9.md", "Coffee is brewed."),
        (b"a\nb.md", "Tea is steeped."),
        (b"\x1b[31mred.md", "Wine is poured."),
    ):
        (notes / os.fsdecode(name)).write_text(text)
    (notes / os.fsdecode(b"bad\xff\x1b[32m.md")).write_bytes(b"\xff")
    for query, text in (("coffee", "brewed"), ("tea", "steeped"), ("wine", "poured")):
        for _ in range(2):
            with pytest.warns(RerankWarning, match="cannot be read"):
                code, out, err = search(run, notes, query)
            assert code == 0, err
            assert text in out
            assert "\x1b" not in out + err
        with pytest.warns(RerankWarning):
            assert found(run, notes, query)[0][1].endswith(".md")


def test_pipes_and_links_out_of_the_folder_are_told_about(run, notes, tmp_path):
    os.mkfifo(notes / "pipe.md")
    (tmp_path / "secret.md").write_text("A secret owl.")
    (notes / "link.md").symlink_to(tmp_path / "secret.md")
    (notes / "up").symlink_to(notes)
    with pytest.warns(RerankWarning) as warned:
        assert [one[1] for one in found(run, notes, "owls")] == ["deep/page.html"]
    (message,) = (str(one.message) for one in warned if one.category is RerankWarning)
    for said in ("pipe.md: a pipe", "link.md: a link out", "up: a circle of links"):
        assert said in message
    with pytest.warns(RerankWarning):
        sources = [one[1] for one in found(run, notes, "owls", "--follow-symlinks")]
    assert sorted(sources) == ["deep/page.html", "link.md"]


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("english", "北京是中国的首都。", "北京"),
        ("none", "東京は日本の首都です。", "東京"),
        ("ko", "서울은 한국의 수도이다.", "수도"),
        ("arabic", "يقرأ الطالب كتابا في المكتبة.", "الكتاب"),
        ("hi", "बच्चे किताबें पढ़ते हैं।", "किताब"),
        ("thai", "กรุงเทพเป็นเมืองหลวงของไทย", "เมืองหลวง"),
        ("german", "In der Straße stehen alte Häuser.", "ein altes Haus"),
        ("ru", "Дети читают книги.", "книга"),
    ],
)
def test_a_language_is_an_option(run, tmp_path, monkeypatch, language, text, query):
    monkeypatch.setenv("LANGCHAIN_RERANK_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "it.txt").write_text(text, encoding="utf-8")
    (folder / "other.txt").write_text("Something else.", encoding="utf-8")
    assert [one[1] for one in found(run, folder, query, "--language", language)] == ["it.txt"]


def test_an_unknown_language_or_encoding_is_one_clear_message(run, notes):
    for option in (("--language", "klingon"), ("--encoding", "latin-99")):
        code, _, err = search(run, notes, "cats", *option)
        assert code == 2
        assert option[1] in err


def test_an_encoding_is_an_option(run, notes):
    (notes / "coffee.txt").write_bytes("Ein Café in Köln.".encode("cp1252"))
    (notes / "cats.txt").unlink()
    assert found(run, notes, "köln", "--encoding", "cp1252")[0][1] == "coffee.txt"


@pytest.mark.parametrize("stage", ["bm25", "hybrid"])
def test_a_filter_keeps_documents_by_their_metadata(run, notes, stage):
    for name, head in (
        ("one.md", "tags: [pets, cats]\nyear: 2024\ndraft: true"),
        ("two.md", "tags: birds\nyear: 2025-01-01\ndraft: false"),
    ):
        (notes / name).write_text(f"---\n{head}\n---\nCats and owls sleep.\n")

    def sources(*filters):
        options = [part for one in filters for part in ("--filter", one)]
        code, out, err = run(
            *("search", "cats owls", "--docs", notes, "--first-stage", stage, "--json", "-"),
            *options,
        )
        assert code == 0, err
        return sorted({d["metadata"]["source"] for d in json.loads(out)["documents"]})

    assert sources("tags=cats") == ["one.md"]
    assert sources("tags=cats", "tags=birds") == ["one.md", "two.md"]
    assert sources("tags=cats", "tags=birds", "draft=FALSE") == ["two.md"]
    assert sources("year=2024") == ["one.md"]
    assert sources("year=2025-01-01") == ["two.md"]
    assert sources("source=cats.txt") == ["cats.txt"]
    assert sources("tags=nothing of it") == []


def test_a_filter_that_nothing_can_meet_is_one_clear_message(run, notes):
    for given, said in (("tags", "KEY=VALUE was expected"), ("=x", "KEY=VALUE was expected")):
        assert said in search(run, notes, "cats", "--filter", given)[2]
    code, _, err = search(run, notes, "cats", "--filter", "auhtor=x")
    assert code == 2
    assert "no document has metadata of the name 'auhtor'; there is chunk, " in err


def test_questions_are_asked_one_after_the_other_and_files_are_read_once(run, notes, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("owls\n\n   \nwhich dogs bark\n"))
    code, out, _ = search(run, notes)
    assert code == 0
    assert out.index("page.html:2") < out.index("rows.jsonl")
    monkeypatch.setattr(sys, "stdin", io.StringIO("owls\n"))
    code, out, _ = search(run, notes, "cats", "-i")
    assert code == 0
    assert out.index("cats.txt:1") < out.index("page.html:2")


def test_questions_in_another_encoding_are_asked_as_far_as_they_can_be_read(notes, tiny):
    command = "from langchain_rerank.cli import main; main()"
    settings = ["--docs", str(notes), "--first-stage", "bm25", "--model", str(tiny)]
    asked = subprocess.run(
        [sys.executable, "-c", command, "search", "-i", *settings],
        input=b"caf\xe9 cats\nowls\n",
        env={**os.environ, "PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
    )
    assert b"Cats sleep" in asked.stdout
    assert b"Owls hunt" in asked.stdout


@pytest.mark.parametrize(
    "arguments",
    [("search", "cats", "--docs", ""), ("index", ""), ("evaluate", "--docs", "", "--out", "out")],
)
def test_an_empty_name_is_not_taken_for_the_folder_one_is_in(run, notes, monkeypatch, arguments):
    monkeypatch.chdir(notes)
    code, _, err = run(*arguments)
    assert code == 2
    assert "the name is empty" in " ".join(err.split())


def test_without_a_question_and_an_input_nothing_is_loaded(run, notes, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    code, _, err = search(run, notes)
    assert code == 2
    assert "nothing to read a question from" in err


def test_a_setting_that_a_retriever_refuses_is_one_clear_message(run, notes):
    code, _, err = search(run, notes, "cats", "--threshold", "nan")
    assert code == 2
    assert err.startswith("Error: score_threshold must be a number or None, got")
    assert "pydantic" not in err


def test_a_warning_commands_no_terminal():
    assert "\x1b" not in _as_a_message("a\x1b[31mred.md", RerankWarning, "x.py", 1)


def test_the_json_of_many_questions_is_refused(run, notes):
    code, _, err = search(run, notes, "--json", "-")
    assert code == 2
    assert "--json writes the result of one question" in err


@pytest.fixture
def never_indexed(monkeypatch):
    monkeypatch.setattr(
        "langchain_rerank.first_stage.kept.retriever.with_store",
        lambda *_: pytest.fail("files were indexed"),
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "embeded"), "Did you mean embedded?"),
        (("--model", "BAAI/bge-reranker-lage"), "Did you mean BAAI/bge-reranker-large?"),
        (("--model", "no/such-model"), "Use --model embedded, which ships with the package"),
        (("--no-model",), "HF_HUB_OFFLINE forbids to ask the hub. Use --model embedded"),
        (
            ("--model", "embedded", "--embedding-model", "all-MiniLM-L6v2"),
            "Did you mean sentence-transformers/all-MiniLM-L6-v2?",
        ),
    ],
)
@pytest.mark.usefixtures("never_indexed")
def test_a_model_that_cannot_be_had_is_said_before_anything_is_indexed(
    run, notes, monkeypatch, tmp_path, arguments, message
):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    code, _, err = run("search", "cats", "--docs", notes, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


@pytest.mark.usefixtures("never_indexed")
def test_a_hub_that_cannot_be_reached_is_said_at_once(run, notes, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # sockets are closed to tests
    code, _, err = run("search", "cats", "--docs", notes, "--no-model")
    assert code == 2
    assert "the hub cannot be reached" in err
    assert "Use --model embedded" in err


def test_a_downloaded_model_may_have_been_meant():
    assert _meant("my-org/my-rerankr", ["embedded", "my-org/my-reranker"]) == (
        "Did you mean my-org/my-reranker? "
    )
    assert _meant("my-org/my-reranker", ["my-org/my-reranker"]) == ""
