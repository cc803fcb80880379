"""The notebooks are kept without outputs. test_docs_build.py runs them, and here those with Ray."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel")
nbformat = pytest.importorskip("nbformat", reason="needs nbclient and ipykernel")

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
RAY = {"04_production"}  # has a part that runs where Ray is


def cells(notebook, kind):
    return [cell for cell in notebook.cells if cell.cell_type == kind]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_is_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[0].source.startswith("# ")
    for cell in cells(notebook, "code"):
        assert cell.outputs == []
        assert cell.execution_count is None


@pytest.mark.ray
@pytest.mark.timeout(900)  # two minutes, on a machine that does nothing else
@pytest.mark.enable_socket  # the kernel is another process, spoken to over local sockets
@pytest.mark.parametrize(
    "path", [one for one in NOTEBOOKS if one.stem in RAY], ids=lambda path: path.stem
)
def test_the_notebook_runs_and_shows_figures_and_no_warnings(path, tmp_path, monkeypatch):
    # Whatever asks the network fails: there is nothing behind this proxy.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")  # servers that a notebook starts itself
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=280, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=dict(os.environ))
    outputs = [output for cell in cells(notebook, "code") for output in cell.outputs]
    said = [output.text for output in outputs if output.get("name") == "stderr"]
    assert [
        text for text in said if "['ipywidgets']" not in text
    ] == []  # Ray would like to have it
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(figures) >= 2
