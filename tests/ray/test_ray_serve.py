"""Our Serve application over real HTTP: the forms, others' clients, limits, and no mix-up."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
import torch
from langchain_core.documents import Document

from langchain_rerank import (
    BM25Retriever,
    CrossEncoderRerankRetriever,
    CrossEncoderScorer,
    RemoteScorer,
)
from langchain_rerank.errors import RequestRejectedError
from langchain_rerank.serve.application import application
from langchain_rerank.serve.forms import Limits
from langchain_rerank.testing import ScorerContract

pytest.importorskip("ray", reason="needs the extra `ray`: make ray")

pytestmark = [
    pytest.mark.ray,
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
]

KEY = "sk-test"
SETTINGS = {"dtype": "float32", "device": "cpu"}
QUERY = "red fox"
TEXTS = [f"a fox number {i} " * (1 + i % 5) for i in range(40)]


@pytest.fixture(scope="module")
def url(local_ray, tiny_model):
    from ray import serve

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    limits = Limits(documents=100, characters=100_000, body_bytes=300_000, concurrent=8)
    app = application(tiny_model, load_settings=SETTINGS, limits=limits, key=KEY)
    serve.run(app, name="rerank", route_prefix="/")
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


@pytest.fixture(scope="module")
def local(tiny_model):
    return CrossEncoderScorer(tiny_model, **SETTINGS)


@pytest.fixture(scope="module")
def remote(url):
    with RemoteScorer(url, dialect="tei", api_key=KEY, max_attempts=20) as scorer:
        yield scorer


@pytest.fixture
def client(url):
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}) as client:
        yield client


class TestRemoteScorerOnServe(ScorerContract):
    @pytest.fixture
    def scorer(self, remote):
        return remote


@pytest.mark.parametrize("dialect", ["cohere", "jina"])
def test_the_cohere_forms_give_the_scores_of_the_local_model(dialect, url, local):
    with RemoteScorer(url, dialect=dialect, model="m", api_key=KEY) as scorer:
        scores = scorer.score(QUERY, TEXTS)
    expected = local.score(QUERY, TEXTS)
    assert scores == pytest.approx(expected, abs=1e-5)
    assert scores.truncated == expected.truncated


async def test_the_tei_form_gives_logits_whose_activation_is_the_local_score(remote, local):
    logits = remote.score(QUERY, TEXTS)
    assert await remote.ascore(QUERY, TEXTS) == pytest.approx(logits, abs=1e-5)
    expected = local.score(QUERY, TEXTS)
    order = sorted(range(40), key=lambda i: -expected[i])
    assert sorted(range(40), key=lambda i: -logits[i])[:5] == order[:5]
    model = local._loaded_engine()._open_worker()._forward.activation
    applied = model(torch.tensor(logits)[:, None])[:, 0].tolist()
    assert applied == pytest.approx(list(expected), abs=1e-5)


async def test_the_retriever_is_the_same_over_http(url, local):
    documents = [Document(text, id=str(i)) for i, text in enumerate(TEXTS)]
    base = BM25Retriever.from_documents(documents)
    found = []
    with RemoteScorer(url, dialect="jina", api_key=KEY) as scorer:
        for model in (local, scorer):
            retriever = CrossEncoderRerankRetriever(
                base_retriever=base, model=model, first_stage_k=20
            )
            found += [retriever.search(QUERY), await retriever.asearch(QUERY)]
    for other in found[1:]:
        assert other.scores == pytest.approx(found[0].scores, abs=1e-5)


def test_langchain_coheres_client_reranks_through_it(url, local):
    cohere = pytest.importorskip("langchain_cohere")
    client = cohere.CohereRerank(base_url=url, model="m", cohere_api_key=KEY, top_n=3)
    documents = [Document(text, id=str(i)) for i, text in enumerate(TEXTS)]
    found = client.compress_documents(documents, QUERY)
    expected = sorted(local.score(QUERY, TEXTS), reverse=True)[:3]
    scores = [one.metadata["relevance_score"] for one in found]
    assert scores == pytest.approx(expected, abs=1e-5)


def test_langchain_communitys_infinity_client_reranks_through_it(url, local):
    pytest.importorskip("infinity_client", reason="needs infinity_client, which wants httpx<0.28")
    infinity = pytest.importorskip("langchain_community.document_compressors.infinity_rerank")
    from infinity_client.client import Client

    client = Client(base_url=url, headers={"authorization": f"Bearer {KEY}"})
    reranker = infinity.InfinityRerank(client=client, model="m", top_n=3)
    found = reranker.compress_documents([Document(text) for text in TEXTS], QUERY)
    expected = sorted(local.score(QUERY, TEXTS), reverse=True)[:3]
    scores = [one.metadata["relevance_score"] for one in found]
    assert scores == pytest.approx(expected, abs=1e-5)


def test_what_an_infinity_client_sends_is_answered_in_its_form(client, local):
    body = {"query": QUERY, "documents": TEXTS, "return_documents": False, "model": "m"}
    answer = client.post("/rerank", json=body).raise_for_status().json()
    scores = {one["index"]: one["relevance_score"] for one in answer["results"]}
    expected = local.score(QUERY, TEXTS)
    assert [scores[i] for i in range(40)] == pytest.approx(list(expected), abs=1e-5)


def test_no_key_or_a_wrong_one_is_refused_and_health_needs_none(url):
    for key in (None, "other", KEY[:-1], "schlüssel"):
        headers = {} if key is None else {"authorization": f"Bearer {key}".encode()}
        for path in ("/rerank", "/v1/rerank", "/metrics"):
            assert httpx.post(url + path, headers=headers, json={}).status_code == 401
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}
    assert httpx.get(f"{url}/ready").status_code == 200
    with (
        RemoteScorer(url, dialect="tei", api_key="other") as scorer,
        pytest.raises(RequestRejectedError, match="HTTP 401"),
    ):
        scorer.score("q", ["a"])


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/rerank", b"x" * 300_001, 413),
        ("/rerank", b"not json", 400),
        ("/nothing", b"{}", 404),
        ("/rerank", b'{"query": "q", "texts": []}', 400),
    ],
)
def test_what_is_beyond_a_limit_is_refused(path, content, status, client):
    answer = client.post(path, content=content)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_too_many_requests_at_once_get_429_with_a_pause_and_nobody_anothers_scores(url, local):
    queries = [f"fox {i}" for i in range(60)]
    expected = [local.score(query, TEXTS) for query in queries]
    refused = []

    async def one(client, query):
        body = {"query": query, "documents": TEXTS}
        while True:
            answer = await client.post("/v1/rerank", json=body)
            if answer.status_code != 429:
                results = answer.raise_for_status().json()["results"]
                return {one["index"]: one["relevance_score"] for one in results}
            refused.append(int(answer.headers["retry-after"]))
            await asyncio.sleep(0.05)

    async def all_at_once():
        headers = {"authorization": f"Bearer {KEY}"}
        limits = httpx.Limits(max_connections=60)
        async with httpx.AsyncClient(
            base_url=url, headers=headers, limits=limits, timeout=60
        ) as client:
            return await asyncio.gather(*(one(client, query) for query in queries))

    for got, want in zip(asyncio.run(all_at_once()), expected, strict=True):
        assert [got[i] for i in range(40)] == pytest.approx(list(want), abs=1e-5)
    assert set(refused) == {1}


def test_metrics_count_and_show_no_text(client):
    client.post("/rerank", json={"query": "sec-ret", "texts": ["hid-den"]}).raise_for_status()
    page = client.get("/metrics").text
    assert "rerank_texts_total{" in page
    assert 'code="200"' in page
    assert 'path="/rerank"' in page
    assert "sec-ret" not in page
    assert "hid-den" not in page
