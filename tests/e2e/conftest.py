"""The command line as a function."""

from __future__ import annotations

import sys

import pytest

from langchain_rerank.cli import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a command; returns its exit code and what it wrote to stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["langchain-rerank", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        captured = capsys.readouterr()
        return stopped.value.code, captured.out, captured.err

    return run
