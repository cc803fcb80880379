import subprocess
import sys

import pytest

import langchain_rerank.evaluation as evaluation


@pytest.mark.parametrize("name", sorted(evaluation.__all__))
def test_every_public_name_loads_and_is_documented(name):
    assert getattr(evaluation, name).__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing_like_it"):
        evaluation.nothing_like_it  # noqa: B018
    assert "sweep_k" in dir(evaluation)


def test_importing_it_loads_neither_torch_nor_langchain_nor_scipy():
    script = (
        "import sys, langchain_rerank.evaluation, langchain_rerank.evaluation.score.results;"
        "print([m for m in ('torch', 'langchain_core', 'numpy', 'scipy', 'ragas', 'matplotlib')"
        " if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
