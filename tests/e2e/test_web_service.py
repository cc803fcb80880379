"""The FastAPI example serves real HTTP: many at once, none swapped, a limit, health, metrics."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import socket
import threading
import time
from pathlib import Path

import pytest

from langchain_rerank import CrossEncoderScorer
from langchain_rerank.testing.tiny_models import build_tiny_model

httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")

EXAMPLE = Path(__file__).parents[2] / "examples" / "web_service.py"
QUESTIONS = ["What is QLoRA?", "What is HyDE?", "What is product quantization?", "What is BM25?"]
pytestmark = pytest.mark.loopback


@pytest.fixture
def example(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    spec = importlib.util.spec_from_file_location("web_service", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, "web_service", module)
    spec.loader.exec_module(module)
    # A tiny model in place of the embedded one: what is tested is the service.
    folder = build_tiny_model("bert", tmp_path, activation="Identity")
    module.scorer = CrossEncoderScorer(folder, device="cpu", dtype="float32")
    module.retriever.model, module.retriever.timeout = module.scorer, 120
    yield module
    module.scorer.close()


@contextlib.contextmanager
def served(app):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 120
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.05)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)


async def ask(url, questions):
    async with httpx.AsyncClient(base_url=url, timeout=240) as client:
        calls = [client.get("/search", params={"q": question}) for question in questions]
        return await asyncio.gather(*calls)


def test_fifty_at_once_each_get_the_answer_to_their_own_question(example):
    expected = {q: [d.id for d in example.retriever.invoke(q)] for q in QUESTIONS}
    with served(example.app) as url:
        assert httpx.get(f"{url}/ready", timeout=60).json() == {"ready": True}
        answers = asyncio.run(ask(url, [QUESTIONS[n % 4] for n in range(50)]))
        page = httpx.get(f"{url}/metrics", timeout=60).text
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        found = answer.json()
        assert [one["id"] for one in found["documents"]] == expected[found["query"]]
    counted = dict(line.rsplit(" ", 1) for line in page.splitlines())
    assert float(counted["langchain_rerank_texts"]) >= 50 * 20
    assert counted["langchain_rerank_queue"] == "0"
    assert not example.scorer.loaded  # The lifespan gave the model back.


def test_beyond_the_limit_the_answer_is_to_come_back_later(example, monkeypatch):
    monkeypatch.setattr(example, "room", asyncio.Semaphore(2))
    with served(example.app) as url:
        answers = asyncio.run(ask(url, QUESTIONS * 5))
        assert httpx.get(f"{url}/search", params={"q": ""}, timeout=60).status_code == 422
        again = httpx.get(f"{url}/search", params={"q": "What is QLoRA?"}, timeout=60)
        assert again.status_code == 200
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "1"


def test_what_cannot_be_answered_is_not_taken_for_a_bug(example):
    def get(question):
        return httpx.get(f"{url}/search", params={"q": question}, timeout=60)

    with served(example.app) as url:
        for blank in (" ", "\t\n", "\N{NO-BREAK SPACE}"):
            assert get(blank).status_code == 422
            assert "nothing to rank by" in get(blank).json()["detail"]
        example.retriever.timeout = 1e-6
        late = get("What is QLoRA?")
        assert (late.status_code, late.headers["retry-after"]) == (503, "1")
        example.retriever.timeout = 120
        assert get("What is QLoRA?").status_code == 200
