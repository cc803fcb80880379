"""Where what can be made again is kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from langchain_rerank.user_cache import cache_folder


def test_a_variable_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LANGCHAIN_RERANK_CACHE", str(tmp_path))
    assert cache_folder("index") == tmp_path / "index"
    monkeypatch.setenv("LANGCHAIN_RERANK_CACHE", "~/kept")
    assert cache_folder("index") == Path.home() / "kept" / "index"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LANGCHAIN_RERANK_CACHE", "kept")
    assert cache_folder("index") == tmp_path / "kept" / "index"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have other folders")
@pytest.mark.parametrize("named", [None, ""])
def test_without_it_that_is_the_systems_own(monkeypatch, tmp_path, named):
    monkeypatch.delenv("LANGCHAIN_RERANK_CACHE")
    if named is not None:
        monkeypatch.setenv("LANGCHAIN_RERANK_CACHE", named)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("index") == tmp_path / "langchain-rerank" / "index"


def test_the_engine_needs_neither_langchain_nor_what_keeps_files_for_it():
    """As on a machine with a GPU and little else, where `make gpu` runs."""
    code = (
        "import sys\n"
        "for name in ('langchain_core', 'langchain', 'platformdirs', 'tenacity', 'pydantic'):\n"
        "    sys.modules[name] = None\n"
        "import langchain_rerank.bench.gpu\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
