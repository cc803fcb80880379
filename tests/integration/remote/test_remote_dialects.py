"""Every dialect over real HTTP: the contract, the same scores, and what is sent."""

from __future__ import annotations

import asyncio
import math

import pytest
from langchain_core.documents import Document

from langchain_rerank import (
    BM25Retriever,
    CrossEncoderReranker,
    CrossEncoderRerankRetriever,
    CrossEncoderScorer,
    RemoteScorer,
)
from langchain_rerank.errors import RequestRejectedError
from langchain_rerank.scorers.contract import Scores
from langchain_rerank.testing import ScorerContract, WordOverlapScorer
from langchain_rerank.wrappers import CachedScorer, CascadeScorer, LongDocumentScorer, ShardedScorer

from .servers import DIALECT_OF, SPEAKERS, running, sigmoid

pytestmark = pytest.mark.loopback

QUERY = "which vitamin prevents scurvy"
TEXTS = ["Vitamin C prevents scurvy.", "Paris.", "Scurvy is known.", "", "vitamin", "Paris."]
RAW = {"tei", "vllm", "sglang", "llama.cpp"}
LOCAL = WordOverlapScorer().score(QUERY, TEXTS)


def expected(speaker, scores=LOCAL):
    return pytest.approx([x if speaker in RAW else sigmoid(x) for x in scores], abs=1e-12)


@pytest.fixture(scope="module", params=SPEAKERS)
def asked(request):
    with running(request.param) as server:
        dialect = DIALECT_OF.get(request.param, request.param)
        with RemoteScorer(server.url, dialect=dialect, model="m") as scorer:
            yield scorer


class TestRemoteScorer(ScorerContract):
    @pytest.fixture
    def scorer(self, asked):
        return asked


@pytest.mark.parametrize("speaker", SPEAKERS)
async def test_scores_come_back_in_the_order_of_the_texts(speaker, serve, connect):
    scorer = connect(serve(speaker), speaker)
    assert scorer.score(QUERY, TEXTS) == expected(speaker)
    assert await scorer.ascore(QUERY, TEXTS) == expected(speaker)
    assert scorer.score_many([(QUERY, TEXTS), (QUERY, []), ("Paris", ["Paris"])]) == [
        expected(speaker),
        [],
        expected(speaker, [1.0]),
    ]


@pytest.mark.parametrize("speaker", sorted(RAW - {"llama.cpp"}))
def test_what_only_speeds_up_may_split_a_call(speaker, serve, connect):
    server = serve(speaker)
    scorer = connect(server, speaker, max_texts=2)
    assert scorer.score(QUERY, TEXTS) == expected(speaker)
    assert len(server.seen) == 3


async def test_the_retriever_gives_what_the_local_model_gives(serve, connect):
    documents = [Document(text, id=str(i)) for i, text in enumerate(dict.fromkeys(TEXTS)) if text]
    base = BM25Retriever.from_documents(documents)
    with CrossEncoderScorer("embedded", dtype="float32") as local:
        remotes = [connect(serve(one, scorer=local), one) for one in ("tei", "vllm")]
        found = []
        for scorer in (local, *remotes):
            retriever = CrossEncoderRerankRetriever(base_retriever=base, model=scorer, top_n=3)
            found += [retriever.search(QUERY), await retriever.asearch(QUERY)]
    first, *others = found
    assert len(first.scores) >= 2
    for other in others:
        assert [one.id for one in other.documents] == [one.id for one in first.documents]
        assert other.scores == pytest.approx(first.scores, abs=1e-5)


def test_a_large_call_is_split_sent_at_once_and_put_together(serve, connect):
    server = serve("tei")
    server.delay = 0.02
    texts = [f"vitamin {i} " + "scurvy" * (i % 2) for i in range(150)]
    scorer = connect(server, max_concurrency=3)
    assert scorer.score(QUERY, texts) == WordOverlapScorer().score(QUERY, texts)
    assert sorted(len(body["texts"]) for _, _, body in server.seen) == [22, 32, 32, 32, 32]
    assert 2 <= server.most <= 3
    assert server.connections <= 3


def test_the_bound_on_requests_holds_for_all_callers_together(serve, connect):
    server = serve("tei")
    server.delay = 0.02
    scorer = connect(server, max_concurrency=2)

    async def many():
        return await asyncio.gather(*(scorer.ascore(QUERY, TEXTS) for _ in range(6)))

    assert asyncio.run(many()) == [LOCAL] * 6
    assert server.most == 2


def test_a_request_with_too_many_bytes_is_halved(serve, connect):
    server = serve("tei")
    server.payload_limit = 1000
    texts = [f"vitamin {'x' * 200} {i}" for i in range(10)]
    assert connect(server).score(QUERY, texts) == WordOverlapScorer().score(QUERY, texts)
    with pytest.raises(RequestRejectedError, match=r"HTTP 413: \"length limit exceeded\""):
        connect(server).score(QUERY, ["y" * 1000])


def test_a_server_with_a_lower_limit_is_asked_for_less(serve, connect):
    server = serve("tei")
    server.max_texts = 4
    texts = [f"vitamin {i}" for i in range(10)]
    assert connect(server).score(QUERY, texts) == WordOverlapScorer().score(QUERY, texts)


def test_a_listwise_model_gets_all_texts_of_a_query_or_none(serve, connect):
    server = serve("jina")
    scorer = connect(server, "jina", pointwise=False, max_texts=3)
    with pytest.raises(RequestRejectedError, match="6 texts are more than max_texts=3"):
        scorer.score(QUERY, TEXTS)
    assert server.seen == []
    assert len(scorer.score(QUERY, TEXTS[:3])) == 3


@pytest.mark.parametrize(
    ("speaker", "path", "body"),
    [
        ("tei", "/rerank", {"query": "q", "texts": ["a"], "raw_scores": True, "truncate": True}),
        ("cohere", "/v2/rerank", {"query": "q", "documents": ["a"], "top_n": 1}),
        (
            "jina",
            "/v1/rerank",
            {"query": "q", "documents": ["a"], "top_n": 1, "return_documents": False},
        ),
        (
            "vllm",
            "/score",
            {
                "text_1": "q",
                "text_2": ["a"],
                "use_activation": False,
                "truncate_prompt_tokens": -1,
            },
        ),
    ],
)
def test_what_is_sent_is_what_the_dialect_documents(speaker, path, body, serve, connect):
    server = serve(speaker)
    connect(server, speaker, extra_body={"instruction": "find"}).score("q", ["a"])
    (seen,) = server.seen
    assert (seen[0], seen[2]) == (path, body | {"model": "m", "instruction": "find"})


def test_a_lone_surrogate_is_replaced_since_json_in_utf8_cannot_hold_it(serve, connect):
    server = serve("tei")
    assert connect(server).score("vitamin", ["vitamin \ud800"]) == [1.0]
    assert server.seen[0][2]["texts"] == ["vitamin \ufffd"]


def test_how_many_were_truncated_is_unknown_unless_the_server_says(serve, connect):
    server = serve("tei")
    scorer = connect(server, max_texts=3)
    reranker = CrossEncoderReranker(model=scorer)
    result = reranker.rerank([Document(text) for text in TEXTS], QUERY)
    assert result.truncated is None
    assert "truncated" not in result.summary()
    stacks = [
        ShardedScorer(scorer, scorer),
        LongDocumentScorer(scorer),
        CascadeScorer(WordOverlapScorer(), scorer, keep=3),
        CachedScorer(connect(server, revision="1")),
    ]
    for stack in stacks:
        scores = stack.score(QUERY, TEXTS)
        assert isinstance(scores, Scores)
        assert scores.truncated is None

    def says(count):
        return lambda handler, answer: handler.reply(200, answer(), x_truncated_texts=str(count))

    server.faults.extend([says(1), says(2)])
    assert scorer.score(QUERY, TEXTS).truncated == 3
    server.faults.extend([says(1)])
    assert scorer.score(QUERY, TEXTS).truncated is None


def test_saturated_scores_keep_their_order_since_raw_ones_are_asked_for(serve, connect):
    class Certain:
        def score(self, query, texts):
            return [40.0 + len(text) for text in texts]

    scores = connect(serve("tei", scorer=Certain())).score("q", ["a", "aaa", "aa"])
    assert scores == [41.0, 43.0, 42.0]
    assert math.isclose(sigmoid(41.0), sigmoid(43.0))


def test_a_url_that_ends_in_a_rerank_path_is_used_as_it_is(serve):
    server = serve("tei")
    for url in (f"{server.url}/rerank", f"{server.url}/rerank/", f"{server.url}/"):
        with RemoteScorer(url, dialect="tei") as scorer:
            assert scorer.score(QUERY, TEXTS) == LOCAL
    assert {path for path, _, _ in server.seen} == {"/rerank"}
