"""What several integration tests use."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sentence_transformers
from packaging.version import Version
from sentence_transformers import CrossEncoder

from langchain_rerank.scorers.engine.tokens.templates import has_chat_template
from langchain_rerank.testing.tiny_models import build_tiny_model


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return build_tiny_model("bert", tmp_path_factory.mktemp("bert"), seed=3, max_length=384)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """Starts a test without what others kept."""
    monkeypatch.setenv("LANGCHAIN_RERANK_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def oldest() -> bool:
    """Whether sentence-transformers is so old that some of what tests expect of it is not there."""
    return Version(sentence_transformers.__version__) < Version("6.1")


@pytest.fixture(scope="session")
def comparable(tmp_path_factory) -> Callable[[CrossEncoder, list[str]], list[str]]:
    """Leaves out the last text, which is cut, where `predict` cuts off the end of the prompt.

    So does sentence-transformers before version 5.6 under a chat template.
    """
    asked = CrossEncoder(str(build_tiny_model("qwen3", tmp_path_factory.mktemp("asked"))))
    ends = [asked.preprocess([("?", text)])["input_ids"][0, -5:] for text in ("C", "C " * 1000)]
    keeps_the_end = ends[0].tolist() == ends[1].tolist()

    def of(model: CrossEncoder, texts: list[str]) -> list[str]:
        return texts if keeps_the_end or not has_chat_template(model) else texts[:-1]

    return of
