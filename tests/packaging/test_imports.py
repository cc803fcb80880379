"""Importing is cheap, and what is optional says how to install it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import langchain_rerank
from langchain_rerank.errors import MissingExtraError
from langchain_rerank.optional import require

HEAVY = ("torch", "transformers", "sentence_transformers", "ragas", "ray", "matplotlib", "pandas")


def loaded_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_package_loads_nothing_heavy_and_not_even_langchain():
    assert not loaded_after("import langchain_rerank") & {*HEAVY, "langchain_core", "numpy"}


def test_no_public_name_loads_anything_heavy_by_being_imported():
    names = ", ".join(langchain_rerank.__all__)
    assert not loaded_after(f"from langchain_rerank import {names}") & set(HEAVY)


def test_building_a_retriever_loads_no_model_library():
    statement = (
        "from langchain_rerank import CrossEncoderRerankRetriever\n"
        "CrossEncoderRerankRetriever(base_retriever=lambda query: [])"
    )
    assert not loaded_after(statement) & set(HEAVY)


def test_the_help_of_the_command_line_loads_no_model_library():
    code = "import sys; sys.argv = ['x', '--help']; from langchain_rerank.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert not loaded & set(HEAVY)
    assert "search" in done.stdout


def test_every_public_name_is_there():
    for name in langchain_rerank.__all__:
        assert getattr(langchain_rerank, name) is not None
    assert dir(langchain_rerank) == sorted(langchain_rerank.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'CrossEncoder'"):
        _ = langchain_rerank.CrossEncoder


def test_a_missing_extra_is_named_with_its_pip_command():
    with pytest.raises(MissingExtraError, match=r"pip install 'langchain-rerank\[bm25\]'"):
        require("surely_not_installed.module", extra="bm25")


def test_a_package_that_is_there_but_broken_keeps_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import surely_not_installed\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed") as caught:
        require("broken_package", extra="bm25")
    assert not isinstance(caught.value, MissingExtraError)


COMMAND = "from langchain_rerank.cli import main; sys.argv[1:] ="


@pytest.mark.parametrize(
    ("missing", "extra", "statement"),
    [
        ("bm25s", "bm25", "langchain_rerank.BM25Retriever.from_texts(['a text'])"),
        ("httpx", "remote", "langchain_rerank.RemoteScorer('http://localhost', dialect='tei')"),
        ("ray", "ray", "langchain_rerank.RayScorer('embedded')"),
        ("typer", "cli", "from langchain_rerank.cli import main; main()"),
        ("ray", "ray", f"{COMMAND} ['serve', '--model', 'embedded']; main()"),
        ("ray", "ray", f"{COMMAND} ['rerank-run', 'a.jsonl', '--out', 'b.jsonl']; main()"),
        (
            "httpx",
            "remote",
            f"{COMMAND} 'search q --docs . --model-url http://x --dialect tei'.split(); main()",
        ),
        (
            "openvino",
            "openvino",
            "langchain_rerank.CrossEncoderScorer('embedded', backend='openvino').load()",
        ),
    ],
)
def test_doing_without_an_extra_ends_in_its_pip_command(missing, extra, statement):
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.modules['rank_bm25'] = None\n"
        f"import langchain_rerank\n{statement}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"pip install 'langchain-rerank[{extra}]'" in done.stderr
