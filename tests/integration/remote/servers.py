"""Rerank servers on loopback: each dialect as WIRE-level documents describe it, and every fault."""

from __future__ import annotations

import json
import math
import threading
import time
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from langchain_rerank.scorers import contract
from langchain_rerank.testing import WordOverlapScorer

QUERY = "which vitamin prevents scurvy"
TEXTS = ["Vitamin C prevents scurvy.", "Paris.", "Scurvy is known."]
LOCAL = WordOverlapScorer().score(QUERY, TEXTS)


def sigmoid(logit):
    return 1.0 / (1.0 + math.exp(-logit))


class RefusedError(Exception):
    def __init__(self, status, body):
        self.status, self.body = status, body


def best_first(scores, field, echo=None):
    items = [{"index": i, field: score} for i, score in enumerate(scores)]
    for item in items:
        if echo is not None:
            item["document"] = echo(item["index"])
    return sorted(items, key=lambda item: (-item[field], -item["index"]))


def tei(server, path, body, size):
    if path not in {"/rerank", "/", "/invocations"}:
        raise RefusedError(404, "")
    if size > server.payload_limit:
        raise RefusedError(413, "length limit exceeded")
    texts = body["texts"]
    if not texts:
        raise RefusedError(400, {"error": "`texts` cannot be empty", "error_type": "Empty"})
    if len(texts) > server.max_texts:
        said = f"batch size {len(texts)} > maximum allowed batch size {server.max_texts}"
        raise RefusedError(422, {"error": said, "error_type": "Validation"})
    logits = server.logits(body["query"], texts)
    return best_first(logits if body.get("raw_scores") else map(sigmoid, logits), "score")


def results(server, body, texts, field="relevance_score", echo=None, raw=False):
    top_n = body.get("top_n")
    if top_n is not None and top_n < 1:
        raise RefusedError(422, {"detail": "top_n must be at least 1"})
    logits = server.logits(body["query"], texts)
    return best_first(logits if raw else [sigmoid(x) for x in logits], field, echo)[:top_n]


def cohere(server, path, body, size):
    if path != "/v2/rerank":
        raise RefusedError(404, {"message": "not found", "id": "1"})
    if "model" not in body:
        raise RefusedError(400, {"message": "invalid request: model is required", "id": "1"})
    return {"id": "1", "results": results(server, body, body["documents"]), "meta": {}}


def jina(server, path, body, size):
    if path != "/v1/rerank":
        raise RefusedError(404, {"detail": "Not Found"})
    texts = body["documents"]
    echo = (lambda i: {"text": texts[i]}) if body.get("return_documents", True) else None
    found = results(server, body, texts, echo=echo)
    return {"model": body.get("model"), "object": "list", "usage": {}, "results": found}


def sglang(server, path, body, size):
    if path != "/v1/rerank":
        raise RefusedError(404, {"detail": "Not Found"})
    return results(server, body, body["documents"], field="score", raw=True)


def vllm(server, path, body, size):
    if path not in {"/score", "/v1/score"}:
        raise RefusedError(404, {"error": {"message": "Not Found"}})
    logits = server.logits(body["text_1"], body["text_2"])
    scores = map(sigmoid, logits) if body.get("use_activation", True) else logits
    data = [{"index": i, "object": "score", "score": score} for i, score in enumerate(scores)]
    return {"id": "1", "object": "list", "created": 1, "model": "m", "data": data, "usage": {}}


def llama_cpp(server, path, body, size):
    if path not in {"/rerank", "/v1/rerank", "/reranking"}:
        raise RefusedError(404, {"error": {"message": "File Not Found", "code": 404}})
    if "texts" in body:  # the TEI form; it has no raw switch, and scores are raw
        return results(server, body, body["texts"], field="score", raw=True)
    return {"results": results(server, body, body["documents"], raw=True), "object": "list"}


SPEAKERS = {
    "tei": tei,
    "cohere": cohere,
    "jina": jina,
    "vllm": vllm,
    "sglang": sglang,
    "llama.cpp": llama_cpp,
}
DIALECT_OF = {"sglang": "jina", "llama.cpp": "tei"}


class RerankServer(ThreadingHTTPServer):
    """Answers as `speaker` does, with a scorer's numbers as logits, or fails as it is told.

    Attributes:
        faults: For the next requests, in order: a function of the handler and the right answer.
        seen: Path, headers and body of every request.
        most: The most requests that were under way at the same time.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, speaker, scorer=None, key=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.speaker, self.scorer, self.key = SPEAKERS[speaker], scorer or WordOverlapScorer(), key
        self.faults, self.seen = deque(), []
        self.payload_limit, self.max_texts, self.delay = 2_000_000, 32, 0.0
        self.busy = self.most = self.connections = 0
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def logits(self, query, texts):
        return list(contract.score(self.scorer, query, texts))

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        pass  # a client that goes away is part of the tests


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        server = self.server
        content = self.rfile.read(int(self.headers["content-length"]))
        body = json.loads(content)
        with server.lock:
            server.seen.append((self.path, dict(self.headers), body))
            server.busy += 1
            server.most = max(server.most, server.busy)
            fault = server.faults.popleft() if server.faults else None
        try:
            time.sleep(server.delay)
            if fault is not None:
                fault(self, lambda: server.speaker(server, self.path, body, len(content)))
                return
            if server.key and self.headers["authorization"] != f"Bearer {server.key}":
                self.reply(401, b"")
                return
            try:
                self.reply(200, server.speaker(server, self.path, body, len(content)))
            except RefusedError as refused:
                self.reply(refused.status, refused.body)
        finally:
            with server.lock:
                server.busy -= 1

    def reply(self, status, body, **headers):
        data = body if isinstance(body, bytes) else None
        if data is None:
            data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def break_off(self, content, length):
        """Promise `length` bytes, send `content`, and close."""
        self.send_response(200)
        if length is not None:
            self.send_header("content-length", str(length))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = True

    def log_message(self, *_):
        pass


@contextmanager
def running(speaker, **settings):
    with RerankServer(speaker, **settings) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
