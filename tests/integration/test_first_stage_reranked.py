"""The first stages under the reranking retriever, and the reranking retriever as a first stage."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from langchain_rerank import CrossEncoderRerankRetriever
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.first_stage import BM25Retriever, depth_of, hybrid_retriever, with_depth
from langchain_rerank.testing import WordOverlapScorer

N = 60


def documents():
    return [
        Document(f"cat number {i}", id=f"d{i}", metadata={"even": i % 2 == 0}) for i in range(N)
    ]


def reranking(base, **settings):
    return CrossEncoderRerankRetriever(base_retriever=base, model=WordOverlapScorer(), **settings)


async def test_depth_filter_and_scores_go_through_a_hybrid():
    hybrid = hybrid_retriever(documents(), DeterministicFakeEmbedding(size=8), k=4)
    retriever = reranking(hybrid, first_stage_k=30, top_n=20)
    call = {"filter": {"even": True}, "top_n": 25}
    found = retriever.invoke("cat number 8", **call)
    assert len(found) == 25
    assert found[0].id == "d8"
    assert all(document.metadata["even"] for document in found)
    assert all(document.metadata["first_stage_score"] > 0 for document in found)
    assert await retriever.ainvoke("cat number 8", **call) == found
    assert (hybrid.k, [stage.k for stage in hybrid.retrievers]) == (4, [4, 4])


def test_a_misspelt_argument_is_not_swallowed_on_the_way():
    retriever = reranking(BM25Retriever.from_documents(documents()))
    with pytest.raises(ConfigurationError, match="fliter"):
        retriever.invoke("cat", fliter={"even": True})


def test_a_reranking_retriever_as_first_stage_gives_as_many_as_it_is_asked_for():
    inner = reranking(BM25Retriever.from_documents(documents(), k=3), first_stage_k=30, top_n=5)
    assert depth_of(inner) == 5
    deeper = with_depth(inner, 20)
    assert (depth_of(deeper), len(deeper.invoke("cat"))) == (20, 20)
    assert (inner.top_n, inner.first_stage_k, len(inner.invoke("cat"))) == (5, 30, 5)
    assert (with_depth(inner, 45).first_stage_k, depth_of(with_depth(inner, 45))) == (45, 45)

    everything = reranking(BM25Retriever.from_documents(documents()), first_stage_k=30, top_n=None)
    assert depth_of(everything) == 30
    assert with_depth(everything, 10) is everything
