"""A judge behind a server that speaks OpenAI's protocol, on loopback; and nothing else is asked."""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import typer
from langchain_core.embeddings import DeterministicFakeEmbedding
from typer.testing import CliRunner

from langchain_rerank.cli.ragas import ragas
from langchain_rerank.evaluation.ragas import (
    METRICS,
    ChainKeys,
    Judge,
    RagasEvaluation,
    RagasReport,
)
from langchain_rerank.testing.tiny_models import build_tiny_model

from .conftest import answer_to

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


class Server(ThreadingHTTPServer):
    """Answers chat completions as the scripted judge does, or fails as it is told."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.fault = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append((self.path, self.headers["authorization"], request))
        prompt = request["messages"][-1]["content"]
        status, text = 200, None
        if self.server.fault:
            status, text = self.server.fault(prompt)
        if status != 200:
            return self.reply(status, {"error": {"message": "busy"}})
        if text is None:
            asks_ragas = "\ninput: " in prompt
            text = answer_to(prompt) if asks_ragas else "lora is explained here."
        message = {"role": "assistant", "content": text}
        return self.reply(
            200,
            {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": request["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            },
        )

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        if status == 429:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_every_metric_runs_with_a_local_server(server, retriever, make_chain, corpus, questions):
    judge = Judge.at(server.url, "tiny", api_key="secret")
    report = RagasEvaluation(
        retriever,
        judge=judge,
        embeddings=DeterministicFakeEmbedding(size=8),
        chain=make_chain,
        chain_keys=ChainKeys(question="input"),
        corpus=corpus,
    ).invoke(questions)
    assert report.measures == tuple(METRICS)
    assert not [one for one in report.cells if one.status == "failed"]
    paths, keys, requests = zip(*server.requests, strict=True)
    assert set(paths) == {"/v1/chat/completions"}
    assert set(keys) == {"Bearer secret"}
    assert {one["model"] for one in requests} == {"tiny"}
    assert report.settings["judge"] == f"tiny at {server.url}"
    assert report.settings["judge_calls"] == len(requests)


def test_a_server_in_trouble_costs_cells_and_a_second_start_asks_only_for_them(
    server, retriever, corpus, questions, tmp_path
):
    def trouble(prompt):
        question = prompt[prompt.rindex("\ninput: ") :]
        if "tokens" in question:
            return 429, None
        if "cache" in question:
            return 200, "As a language model, I cannot judge."
        if "vectors" in question:
            time.sleep(1.0)
        return 200, None

    def start():
        judge = Judge.at(server.url, "tiny", timeout=0.5, max_attempts=2, backoff=0.0)
        return RagasEvaluation(
            retriever,
            judge=judge,
            metrics="context_recall",
            corpus=corpus,
            verdicts=tmp_path / "verdicts.jsonl",
        ).invoke(questions)

    server.fault = trouble
    report = start()
    reasons = {one.query_id: one.reason for one in report.cells if one.status == "failed"}
    assert sorted(reasons) == ["cache", "tokens", "vectors"]
    assert "cannot be read" in reasons["cache"]
    assert "HTTP 429" in reasons["tokens"]
    assert "did not answer within 0.5 s" in reasons["vectors"]

    server.fault = None
    server.requests.clear()
    second = start()
    assert len(server.requests) == 2 * 3
    assert not [one for one in second.cells if one.status == "failed"]


def test_a_server_that_is_gone_is_a_reason(server, retriever, corpus, questions):
    url = server.url
    server.shutdown()
    server.server_close()
    report = RagasEvaluation(
        retriever,
        judge=Judge.at(url, "tiny", max_attempts=1),
        metrics="context_recall",
        corpus=corpus,
    ).invoke(questions)
    failed = [one for one in report.cells if one.status == "failed"]
    assert len(failed) == 12
    assert "Connection error" in failed[0].reason
    assert failed[-1].reason.startswith("not asked: the judge failed 10 times in a row")


def test_the_command_has_the_server_answer_and_judge_and_asks_nothing_twice(server, tmp_path):
    (tmp_path / "guide.md").write_text("lora is explained here.\n")
    questions = tmp_path / "questions.jsonl"
    row = {"question": "lora explained?", "reference": "lora.", "expected_passage": "lora is"}
    questions.write_text(json.dumps(row) + "\n")
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(ragas)
    model = build_tiny_model("bert", tmp_path / "tiny")
    options = [
        *("--docs", tmp_path / "guide.md", "--questions", questions),
        *("--model", model, "--first-stage-k", 6, "--out", tmp_path / "out"),
        *("--judge-base-url", server.url, "--judge-model", "judge", "--answer-model", "writer"),
        *("--metrics", "faithfulness,context_precision,noise_sensitivity", "--resume"),
    ]
    first = CliRunner().invoke(app, [str(one) for one in options], catch_exceptions=False)
    assert first.exit_code == 0
    assert "calls of the judge" in first.output
    assert {one[2]["model"] for one in server.requests} == {"judge", "writer"}
    report = RagasReport.load(tmp_path / "out")
    measures = report.systems["reranked"].measures
    assert measures["faithfulness"].mean == 1.0
    assert measures["noise_sensitivity"].n == 1
    server.requests.clear()
    second = CliRunner().invoke(app, [str(one) for one in options], catch_exceptions=False)
    assert second.exit_code == 0
    assert server.requests == []
    assert RagasReport.load(tmp_path / "out").systems == report.systems


SCRIPT = """
import sys
addresses = set()
def hook(event, arguments):
    if event == "socket.connect":
        addresses.add(arguments[1])
    elif event == "socket.getaddrinfo":
        addresses.add(arguments[:2])
sys.addaudithook(hook)
import atexit, json
atexit.register(lambda: print(json.dumps(sorted(map(str, addresses)))))

from langchain_core.documents import Document
from langchain_rerank import CrossEncoderRerankRetriever
from langchain_rerank.evaluation.ragas import Judge, RagasEvaluation
from langchain_rerank.testing import WordOverlapScorer

corpus = [Document("lora is explained", id="a"), Document("cats sleep", id="b")]
retriever = CrossEncoderRerankRetriever(
    base_retriever=lambda _: corpus, model=WordOverlapScorer(), first_stage_k=2, top_n=1
)
judge = Judge.at(sys.argv[1], "tiny")
metrics = "context_precision,context_recall,context_relevance"
questions = [{"question": "lora?", "reference": "lora is explained."}]
report = RagasEvaluation(retriever, judge=judge, metrics=metrics).invoke(questions)
assert {one.status for one in report.cells} == {"ok"}, report.cells
"""


def test_no_connection_is_tried_except_to_the_judge(server):
    # From the first import to the last thread at exit, with the telemetry of ragas left alone.
    without = {"RAGAS_DO_NOT_TRACK", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}
    settings = {key: one for key, one in os.environ.items() if key.upper() not in without}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, server.url],
        env=settings,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    port = server.server_address[1]
    tried = json.loads(done.stdout.splitlines()[-1])
    assert str(("127.0.0.1", port)) in tried
    assert set(tried) <= {str(("127.0.0.1", port)), str((b"127.0.0.1", port))}
