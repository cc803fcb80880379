"""The site builds strictly: links, anchors, docstrings and notebooks, nothing from another host."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="needs the group docs")
pytest.importorskip("material", reason="needs the group docs")

ROOT = Path(__file__).parents[2]
LOADED = re.compile(r"""<(?:script|img|iframe)[^>]+src=["']?(https?:[^"'> ]+)""")
STYLED = re.compile(r"""<link[^>]+rel=["']?stylesheet["']?[^>]+href=["']?(https?:[^"'> ]+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.mark.slow
def test_every_page_notebook_and_name_of_the_reference_is_there(site):
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        assert (site / ("" if name == "index" else name) / "index.html").exists()
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert (site / "notebooks" / notebook.stem / "index.html").exists()
    reference = (site / "reference/retriever/index.html").read_text(encoding="utf-8")
    for name in ("first_stage_k", "score_threshold", "on_error", "asearch"):
        assert name in reference


@pytest.mark.slow
def test_no_page_loads_anything_from_another_host(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert LOADED.findall(text) + STYLED.findall(text) == [], page
