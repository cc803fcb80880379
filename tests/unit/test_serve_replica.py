"""A replica without Ray: what it answers, counts and keeps to itself."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from types import SimpleNamespace

import httpx
import pytest

from langchain_rerank import CrossEncoderScorer
from langchain_rerank.errors import (
    RequestRejectedError,
    ScorerError,
    ScorerOutOfMemoryError,
    ScorerUnavailableError,
)
from langchain_rerank.scorers.contract import Scores
from langchain_rerank.serve.forms import Limits, sigmoid
from langchain_rerank.serve.model import LogitModel
from langchain_rerank.serve.replica import Replica
from langchain_rerank.testing.tiny_models import build_tiny_model

requests = pytest.importorskip("starlette.requests", reason="needs the extra `ray`")
pytest.importorskip("prometheus_client", reason="needs the extra `ray`")

LIMITS = Limits(body_bytes=2000, documents=10, characters=500, concurrent=2, body_seconds=0.1)


class Model:
    """Stands for an engine whose logits are lengths, or an error."""

    name, alive = "lengths", True

    def __init__(self):
        self.error, self.gate = None, asyncio.Event()
        self.gate.set()

    async def logits(self, query, texts):
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        scores = Scores((float(len(text)) for text in texts), truncated=1)
        scores.timings = {"waiting": 250.0}
        return scores

    def counts(self):
        return SimpleNamespace(tokens=30, queue=2)

    async def shortened(self, texts, tokens):
        return [text[:tokens] for text in texts], sum(len(text) > tokens for text in texts)

    def activation(self, logits):
        return [10 * logit for logit in logits]


@pytest.fixture
def model():
    return Model()


def connected(model, **settings):
    replica = Replica(model, limits=LIMITS, key="k", name="r1")

    async def app(scope, receive, send):
        response = await replica.handle(requests.Request(scope, receive))
        await response(scope, receive, send)

    transport = httpx.ASGITransport(app, **settings)
    headers = {"authorization": "Bearer k"}
    return httpx.AsyncClient(transport=transport, base_url="http://replica", headers=headers)


@pytest.fixture
def client(model):
    return connected(model)


BODY = {"query": "q", "texts": ["a", "aaa"]}


async def test_both_forms_are_answered_and_how_many_were_cut_is_said(client):
    tei = await client.post("/rerank", json=BODY)
    assert [one["index"] for one in tei.json()] == [1, 0]
    assert tei.json()[0]["score"] == pytest.approx(sigmoid(3.0))
    assert tei.headers["x-truncated-texts"] == "1"
    other = await client.post("/v1/rerank", json={"query": "q", "documents": ["a", "aaa"]})
    assert [one["relevance_score"] for one in other.json()["results"]] == [30.0, 10.0]


async def test_a_text_that_may_not_be_cut_is_refused_where_it_was(client):
    refused = await client.post("/rerank", json=BODY | {"truncate": False})
    assert refused.status_code == 422
    assert "1 texts are longer than the model's limit" in refused.json()["error"]
    for said in (True, None):
        assert (await client.post("/rerank", json=BODY | {"truncate": said})).status_code == 200


async def test_texts_are_read_up_to_the_tokens_that_a_request_allows(client):
    body = {"query": "q", "documents": ["aaaa", "a", "aaa"], "max_tokens_per_doc": 2}
    answer = await client.post("/v2/rerank", json=body)
    scores = {one["index"]: one["relevance_score"] for one in answer.json()["results"]}
    assert scores == {0: 20.0, 1: 10.0, 2: 20.0}
    assert answer.headers["x-truncated-texts"] == "2"


async def test_more_at_once_than_the_limit_get_429_and_the_rest_their_scores(client, model):
    model.gate.clear()
    first = [asyncio.create_task(client.post("/rerank", json=BODY)) for _ in range(2)]
    await asyncio.sleep(0.01)
    refused = await client.post("/rerank", json=BODY)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    model.gate.set()
    assert [one.status_code for one in await asyncio.gather(*first)] == [200, 200]
    assert (await client.post("/rerank", json=BODY)).status_code == 200


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ScorerError("sec-ret"), 500),
        (ScorerUnavailableError("sec-ret"), 503),
        (ValueError("sec-ret"), 500),
        (ScorerOutOfMemoryError("sec-ret"), 500),
    ],
)
async def test_a_failure_is_answered_logged_and_counted_without_what_was_asked(
    error, status, client, model, caplog
):
    model.error = error
    with caplog.at_level(logging.DEBUG):
        answer = await client.post("/rerank", json=BODY)
    assert answer.status_code == status
    assert type(error).__name__ in answer.json()["error"]
    page = (await client.get("/metrics")).text
    assert 'rerank_errors_total{replica="r1"} 1.0' in page
    assert type(error).__name__ in caplog.text
    assert "sec-ret" not in caplog.text + answer.text + page


async def test_a_request_that_the_model_refuses_is_the_clients_fault(client, model):
    model.error = RequestRejectedError("The query takes 600 of 512 tokens.")
    answer = await client.post("/rerank", json=BODY)
    assert (answer.status_code, answer.json()["error"]) == (422, str(model.error))
    assert "rerank_errors_total{" in (page := (await client.get("/metrics")).text)
    assert 'rerank_errors_total{replica="r1"} 0.0' in page


@pytest.mark.parametrize("header", ["bearer k", "Bearer   k", " Bearer k "])
async def test_a_token_is_taken_however_it_is_spaced(header, client):
    answer = await client.post("/rerank", json=BODY, headers={"authorization": header})
    assert answer.status_code == 200


async def test_a_body_that_is_packed_is_refused_as_that(client):
    packed = gzip.compress(json.dumps(BODY).encode())
    answer = await client.post("/rerank", content=packed, headers={"content-encoding": "gzip"})
    assert (answer.status_code, answer.json()["error"]) == (
        415,
        "the body must have no content-encoding",
    )


async def test_it_answers_below_a_prefix_too(model):
    client = connected(model, root_path="/search")
    for path in ("/search/rerank", "/search/rerank/", "/search/ready"):
        assert (await client.post(path, json=BODY)).status_code == 200
    assert (await client.post("/search", json=BODY)).status_code == 404


async def test_a_method_that_is_not_served_is_told_which_is(client):
    for method in ("GET", "PUT", "OPTIONS", "DELETE"):
        answer = await client.request(method, "/v2/rerank")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("header", [None, "k", "Bearer", "Bearer K", "Basic k", "Bearer k k"])
async def test_a_wrong_token_is_refused(header, client):
    client.headers.pop("authorization")
    headers = {} if header is None else {"authorization": header}
    for path in ("/rerank", "/v2/rerank", "/metrics", "/nothing"):
        assert (await client.post(path, json=BODY, headers=headers)).status_code == 401
    assert (await client.get("/health", headers=headers)).status_code == 200


async def test_health_says_whether_the_engine_runs(client, model):
    model.alive = False
    assert (await client.get("/ready")).status_code == 503


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/rerank", b"", 405),
        ("POST", "/score", b"{}", 404),
        ("POST", "/rerank", b"x" * 2001, 413),
        ("POST", "/rerank", b"x", 400),
    ],
)
async def test_what_is_not_served_is_refused(method, path, content, status, client):
    answer = await client.request(method, path, content=content)
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "error_type", "message", "detail"}


async def test_a_body_that_does_not_come_gives_its_place_back(client):
    async def slowly():
        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.02)

    answers = await asyncio.gather(*(client.post("/rerank", content=slowly()) for _ in range(2)))
    assert [one.status_code for one in answers] == [408, 408]
    assert (await client.post("/rerank", json=BODY)).status_code == 200


async def test_metrics_count_requests_texts_and_what_was_cut(client):
    for _ in range(2):
        await client.post("/rerank", json=BODY)
    page = (await client.get("/metrics")).text
    for line in (
        'rerank_requests_total{code="200",path="/rerank",replica="r1"} 2.0',
        'rerank_texts_total{replica="r1"} 4.0',
        'rerank_truncated_texts_total{replica="r1"} 2.0',
        'rerank_seconds_count{replica="r1"} 2.0',
        'rerank_under_way{replica="r1"} 0.0',
        'rerank_tokens_total{replica="r1"} 30.0',
        'rerank_queue{replica="r1"} 2.0',
        'rerank_stage_seconds_total{replica="r1",stage="waiting"} 0.5',
    ):
        assert line in page


async def test_the_engines_logits_and_their_activation_are_what_predict_gives(tmp_path):
    path = str(build_tiny_model("bert", tmp_path / "tiny"))
    settings = {"device": "cpu", "dtype": "float32"}
    with CrossEncoderScorer(path, **settings) as local:
        expected = local.score("red fox", ["a fox", "a hen", "a red fox"])
    model = LogitModel(path, settings)
    logits = await model.logits("red fox", ["a fox", "a hen", "a red fox"])
    assert model.activation(logits) == pytest.approx(list(expected), abs=1e-6)
    model.scorer.close()


async def test_texts_are_shortened_to_whole_tokens_of_the_models_own_tokenizer(tmp_path):
    path = str(build_tiny_model("bert", tmp_path / "tiny"))
    model = LogitModel(path, {"device": "cpu", "dtype": "float32"})
    tokenizer = model.scorer._loaded_engine()._model.tokenizer
    texts = ["a  red fox, unbelievably red", "", "fox", "é 🦊 " * 50]
    kept, shortened = await model.shortened(texts, 3)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    again = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in kept]
    assert again == [one[:3] for one in ids]
    assert all(text.startswith(one) for text, one in zip(texts, kept, strict=True))
    assert shortened == sum(len(one) > 3 for one in ids) == 2
    assert await model.shortened(texts, 100_000) == (texts, 0)  # the model reads no more
    model.scorer.close()
