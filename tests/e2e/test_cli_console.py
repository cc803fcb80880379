"""What every command has: a version, as much talk as was asked for, text that is only text."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings

import pytest

import langchain_rerank
from langchain_rerank.cli import _global_options_first
from langchain_rerank.cli.console import log_to_terminal, notes_console, set_verbosity
from langchain_rerank.cli.indexing import counter
from langchain_rerank.errors import RerankWarning


def test_the_version_is_shown(run):
    code, out, _ = run("--version")
    assert (code, out) == (0, f"langchain-rerank {langchain_rerank.__version__}\n")
    command = [sys.executable, "-m", "langchain_rerank", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == out


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["search", "-q", "question"], ["-q", "search", "question"]),
        (["search", "--", "-q"], ["search", "--", "-q"]),
        (["-v", "demo", "--quiet"], ["-v", "--quiet", "demo"]),
    ],
)
def test_quiet_and_verbose_may_stand_anywhere(given, taken):
    assert _global_options_first(given) == taken


def test_a_note_is_text_without_markup_and_commands(capsys):
    notes_console().print("Written to out[/x] and [bold]b\x1b]0;title\x07")
    with notes_console().status("Loading models[/x]…"):
        pass
    shown = capsys.readouterr().err
    assert "out[/x] and [bold]b" in shown
    assert "\x1b]0" not in shown


def test_a_link_stays_whole_in_a_narrow_terminal_also_beside_a_counter(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    link = f"https://example.org/{'long/' * 20}"
    notes = notes_console()
    notes.print(f"See {link}")
    with counter(notes) as progress:
        progress("Reading files", 1, 3)
        sys.stderr.write(f"Warning: see {link}\n")  # as warnings are shown
    with notes.status("Loading…"):
        sys.stderr.write(f"Warning: see {link}\n")
    assert capsys.readouterr().err.count(link) == 3


def test_quiet_says_nothing_but_errors(capsys):
    with log_to_terminal():
        set_verbosity(quiet=True, verbose=False)
        warnings.warn("a file is left out", RerankWarning, stacklevel=1)
        notes_console().print("a note")
        logging.getLogger("langchain_rerank.x").warning("a warning")
        logging.getLogger("langchain_rerank.x").error("an error")
    assert capsys.readouterr().err == "an error\n"


def test_that_there_is_no_gpu_is_said_once_on_a_machine(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("LANGCHAIN_RERANK_CACHE", str(tmp_path))
    logger = logging.getLogger("langchain_rerank.x")
    for _ in range(2):
        with log_to_terminal():
            logger.warning("No GPU found: it runs on the CPU.")
            logger.warning("something else \x1b[31m")
    shown = capsys.readouterr().err
    assert shown.count("No GPU") == 1
    assert shown.count("something else  [31m") == 2
    with log_to_terminal():
        set_verbosity(quiet=False, verbose=True)
        logger.warning("No GPU found: it runs on the CPU.")
    assert "No GPU" in capsys.readouterr().err


INTERRUPTED = """
import sys
from langchain_rerank.cli import app

def interrupted(*_, **__):
    raise KeyboardInterrupt

app.app.registered_commands.clear()
app.app.command("demo")(app._interruptible(lambda: interrupted()))
app.app.command("other")(lambda: None)
sys.argv = ["langchain-rerank", "demo"]
from langchain_rerank.cli import main
main()
"""


COMPUTING = """
import threading, time, torch
matrix = torch.randn(600, 600)

def compute():
    while True:
        matrix @ matrix

for number in range(4):
    threading.Thread(target=compute, name="langchain-rerank-engine", daemon=True).start()
time.sleep(.2)
"""


@pytest.mark.parametrize("before", ["", COMPUTING], ids=["idle", "computing"])
def test_ctrl_c_is_answered(before):
    run = subprocess.run(
        [sys.executable, "-c", before + INTERRUPTED], capture_output=True, text=True, check=False
    )
    assert run.returncode == 130
    assert run.stderr.endswith("Interrupted.\n")
    assert "Traceback" not in run.stderr


FIRST = """
import sys
from langchain_rerank.cli.console import notes_console
notes_console().print("Starting…")
print([name for name in ("langchain_core", "torch", "pandas", "numpy") if name in sys.modules])
"""


def test_the_first_thing_on_the_screen_waits_for_no_large_package():
    run = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
    assert run.stderr == "Starting…\n"
