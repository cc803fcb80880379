"""Where the commands write: files that cannot be written, screens of other encodings."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_rerank.cli import main

COMMAND = [sys.executable, "-c", "from langchain_rerank.cli import main; main()"]
ODD = "LoRA \u2192 \u4f4e\u79e9 \U0001f600 trains \x9b31m few parameters"


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "lora.md").write_text(ODD, encoding="utf-8")
    return folder


@pytest.fixture
def nowhere(tmp_path):
    """Files that cannot be written, by why."""
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    return {
        "no folder": tmp_path / "missing" / "out.json",
        "below a file": tmp_path / "taken" / "out.json",
        "a folder": tmp_path,
        "no permission": closed / "out.json",
    }


@pytest.mark.parametrize(
    ("why", "message"),
    [
        ("no folder", "there is no folder"),
        ("below a file", "there is no folder"),
        ("a folder", "is a folder; name a file in it"),
        pytest.param(
            "no permission",
            "no permission to write there",
            marks=pytest.mark.skipif(
                not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere"
            ),
        ),
    ],
)
@pytest.mark.parametrize("command", ["search", "bench"])
def test_a_json_file_that_cannot_be_written_is_refused_before_a_model_is_loaded(
    run, docs, nowhere, command, why, message
):
    # Whoever loaded this model would fail by its name.
    arguments = {
        "search": ["search", "lora", "--docs", docs, "--first-stage", "bm25"],
        "bench": ["bench"],
    }[command]
    code, out, err = run(*arguments, "--model", "no/such-model", "--json", nowhere[why])
    assert code == 2
    assert err.startswith(f"Error: --json {nowhere[why]}")
    assert message in err
    assert out == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_message_after_the_result_is_shown(run, docs):
    search = ["search", "lora", "--docs", docs, "--first-stage", "bm25", "--model", "embedded"]
    code, out, err = run(*search, "--json", "/dev/full")
    assert code == 2
    assert "lora.md" in out
    assert err.endswith("Error: /dev/full: No space left on device\n")


@pytest.mark.parametrize("command", ["evaluate", "sweep"])
@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("taken", "Invalid value for '--out'"),
        ("taken/below", "{out}/journal.jsonl': no journal can be kept there (Not a directory)"),
    ],
)
def test_a_report_folder_that_cannot_be_made_is_one_message(
    run, docs, nowhere, tmp_path, command, folder, message
):
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"question": "What is LoRA?", "expected_source": "lora.md"}))
    inputs = ["--docs", docs, "--questions", questions, "--model", "embedded"]
    code, _, err = run(command, *inputs, "--out", tmp_path / folder)
    assert code == 2
    assert message.format(out=tmp_path / folder) in err
    assert "Traceback" not in err


def test_a_screen_that_lacks_characters_shows_question_marks(docs):
    search = ["search", "lora", "--docs", str(docs), "--first-stage", "bm25"]
    done = subprocess.run(
        [*COMMAND, *search, "--model", "embedded"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "cp1252", "COLUMNS": "80"},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout.decode("cp1252")
    assert "lora.md" in shown
    assert "LoRA ? ?? ? trains" in shown
    assert "1 of 1 candidates, embedded" in shown


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_json_on_a_screen_of_any_encoding_is_whole(monkeypatch, docs, encoding):
    search = ["search", "lora", "--docs", str(docs), "--first-stage", "bm25", "--json", "-"]
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "argv", ["langchain-rerank", *search, "--model", "embedded"])
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding, write_through=True))
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    shown = screen.getvalue().decode(encoding)
    assert "\x9b" not in shown
    assert json.loads(shown)["documents"][0]["text"] == ODD


def test_a_screen_that_is_said_to_have_no_columns_shows_the_result(run, docs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")
    search = ["search", "lora", "--docs", docs, "--first-stage", "bm25", "--model", "embedded"]
    code, out, _ = run(*search)
    assert code == 0
    assert "lora.md" in out


def test_a_closed_standard_error_costs_the_notes_and_not_the_result(docs, monkeypatch, capsys):
    search = ["search", "lora", "--docs", str(docs), "--first-stage", "bm25"]
    monkeypatch.setattr(sys, "argv", ["langchain-rerank", *search, "--model", "embedded"])
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as stopped:
        main()
    sys.stderr.close()  # the command's own: it would be open as long as the process
    assert stopped.value.code == 0
    assert "lora.md" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder that is in use")
def test_a_folder_that_is_gone_is_said_to_be(tmp_path, docs):
    search = ["search", "lora", "--docs", str(docs), "--model", "embedded"]
    gone = tmp_path / "gone"
    gone.mkdir()
    begin = ["import os, sys", f"os.rmdir({str(gone)!r})", COMMAND[-1]]
    done = subprocess.run(
        # -P as a script has it: Python 3.13 imports nothing where "" on its path is gone.
        [sys.executable, "-P", "-c", "; ".join(begin), *search],
        cwd=gone,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.endswith(
        "Error: The folder that this was started in is gone: change to another one.\n"
    )
