"""Nothing that comes with the data commands a terminal, a spreadsheet or a file system."""

from __future__ import annotations

import csv
import io
import json
import pkgutil
import subprocess
import sys

import pytest
from langchain_core.documents import Document

import langchain_rerank
from langchain_rerank import BM25Retriever, CrossEncoderReranker
from langchain_rerank.evaluation import Report, compare_rerank
from langchain_rerank.evaluation.ragas import Judge
from langchain_rerank.evaluation.report.rendering.words import file_names
from langchain_rerank.result import RerankResult
from langchain_rerank.testing import WordOverlapScorer

HOSTILE = ["\x1b[31mred\x1b]0;title\x07 fox", "=1+cmd|' /C calc'!A0", "@SUM(1)", "+1", "-1", "\tx"]


@pytest.fixture(scope="module")
def report():
    documents = [Document(f"a red fox {n}", id=f"={n}") for n in range(5)]
    questions = [
        {"id": f"{text}{n}", "question": f"{text} fox {n}", "reference_context_ids": ["=1"]}
        for n, text in enumerate(HOSTILE)
    ]
    named = WordOverlapScorer()
    named.name = "x" * 300
    return compare_rerank(
        BM25Retriever.from_documents(documents), named, questions, measures=["nDCG@3"]
    )


def test_no_form_of_a_report_holds_control_characters(report, tmp_path):
    report.save(tmp_path)
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert not set(text) & {chr(code) for code in range(32) if chr(code) != "\n"}, name


def test_no_cell_of_the_csv_is_a_formula(report):
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert len(rows) == len(HOSTILE)
    texts = [cell for row in rows for cell in (row["query_id"], row["question"])]
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert any(text.startswith("'=1+cmd") for text in texts)


def test_a_token_for_the_hub_is_shown_and_kept_nowhere():
    kwargs = {"token": "hf_abc", "attn_implementation": "eager"}
    reranker = CrossEncoderReranker(model="some/model", model_kwargs=kwargs)
    assert reranker.scorer.settings.model_kwargs == kwargs
    shown = [repr(reranker), repr(reranker.scorer.settings), repr(reranker.scorer.identity)]
    assert "hf_abc" not in "".join(shown)
    assert "eager" in shown[-1]


@pytest.mark.parametrize("name", ["x" * 300, "日本" * 200, "CON", "nul.x", "../..", "a/b\\c:d", ""])
def test_a_file_name_of_any_system_can_be_made(name, tmp_path):
    found = file_names([name, f"{name} "])
    assert len({one.lower() for one in found.values()}) == 2
    for one in found.values():
        (tmp_path / f"{one}.trec").write_text("")
        assert (tmp_path / f"{one}.trec").parent == tmp_path
        assert one.upper() not in {"CON", "NUL"}


def test_a_saved_report_of_a_system_with_a_long_name_can_be_read_back(report, tmp_path):
    report.save(tmp_path)
    assert Report.load(tmp_path).measures == report.measures


def test_a_password_in_a_judges_address_is_not_in_its_label():
    pytest.importorskip("langchain_openai")
    judge = Judge.at("https://user:secret@host:8000/v1?key=secret#secret", "m", api_key="secret")
    assert judge.label == "m at https://host:8000/v1"
    for shown in (judge.label, repr(judge), str(judge.identity)):
        assert "secret" not in shown


def test_metadata_that_holds_itself_can_be_written_and_shown():
    cyclic = {"source": "a.md"}
    cyclic["self"] = [cyclic]
    deep = {}
    for _ in range(5000):
        deep = {"in": deep}
    found = CrossEncoderReranker(model=WordOverlapScorer()).rerank(
        [Document("red fox", metadata={"cyclic": cyclic, "deep": deep})], "fox"
    )
    assert isinstance(found, RerankResult)
    assert json.loads(json.dumps(found.to_dict()))["documents"][0]["metadata"]["cyclic"][
        "self"
    ] == ["…"]
    assert "red fox" in str(found)


IMPORT_ALL = """
import importlib, pkgutil, socket, sys

def refused(*_, **__):
    raise RuntimeError("a connection at import")

socket.socket.connect = socket.socket.connect_ex = refused
socket.create_connection = socket.getaddrinfo = refused
import langchain_rerank
failed = []
for module in pkgutil.walk_packages(langchain_rerank.__path__, "langchain_rerank."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:  # an extra that is not installed
        failed.append(f"{module.name}: {error}")
print(len(failed))
"""


def test_no_module_opens_a_connection_when_it_is_imported():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT_ALL],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    count = len([*pkgutil.walk_packages(langchain_rerank.__path__)])
    assert int(run.stdout) < count
