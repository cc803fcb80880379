"""`first_stage_score` is the score of the search that ordered the candidates, or there is none."""

import copy
import json

import pytest
from langchain_classic.retrievers import (
    ContextualCompressionRetriever,
    EnsembleRetriever,
    MergerRetriever,
    MultiQueryRetriever,
)
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.runnables import RunnableLambda

from langchain_rerank import (
    BM25Retriever,
    CrossEncoderReranker,
    CrossEncoderRerankRetriever,
    DenseRetriever,
    HybridRetriever,
)
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.first_stage.vectors import VectorIndex
from langchain_rerank.testing import WordOverlapScorer

DOCUMENTS = [
    Document("cats sleep and cats purr", id="cats"),
    Document("dogs bark while cats sleep", id="dogs"),
    Document("birds sing", id="birds"),
]


@pytest.fixture(scope="module")
def bm25():
    return BM25Retriever.from_documents(DOCUMENTS)


@pytest.fixture(scope="module")
def dense():
    store = VectorIndex.from_documents(DOCUMENTS, DeterministicFakeEmbedding(size=8))
    return DenseRetriever(vectorstore=store)


def ensemble(*retrievers):
    return EnsembleRetriever(retrievers=list(retrievers), weights=[0.5] * len(retrievers))


def multi_query(retriever):
    queries = RunnableLambda(lambda _: ["cats", "birds sing"])
    return MultiQueryRetriever(retriever=retriever, llm_chain=queries, include_original=True)


def in_a_compression_retriever(base):
    reranker = CrossEncoderReranker(model=WordOverlapScorer(), top_n=None)
    return ContextualCompressionRetriever(base_compressor=reranker, base_retriever=base)


def in_ours(base):
    return CrossEncoderRerankRetriever(base_retriever=base, model=WordOverlapScorer(), top_n=None)


def below_a_filter(base):
    passes = CrossEncoderReranker(model=WordOverlapScorer(), top_n=None)
    pipeline = DocumentCompressorPipeline(transformers=[passes])
    return in_ours(ContextualCompressionRetriever(base_compressor=pipeline, base_retriever=base))


def bound_and_sorted(base):
    return in_ours(base.with_config(tags=["x"]) | RunnableLambda(lambda found: found))


MERGED = {
    "ensemble": ensemble,
    "ensemble, dense first": lambda bm25, dense: ensemble(dense, bm25),
    "of the same stage twice": lambda bm25, _: ensemble(bm25, bm25),
    "nested ensembles": lambda bm25, dense: ensemble(ensemble(bm25, dense), bm25),
    "one member that is an ensemble": lambda bm25, dense: ensemble(ensemble(bm25, dense)),
    "with a member that gives no scores": lambda bm25, _: ensemble(
        bm25, RunnableLambda(lambda _: [document.model_copy() for document in DOCUMENTS])
    ),
    "merger": lambda bm25, dense: MergerRetriever(retrievers=[bm25, dense]),
    "several queries": lambda bm25, _: multi_query(bm25),
    "over a hybrid": lambda bm25, dense: ensemble(HybridRetriever(retrievers=[bm25, dense]), dense),
}
WRAPPERS = [in_ours, in_a_compression_retriever, below_a_filter, bound_and_sorted]


# A compressor sees the documents alone: of one stage twice, one search in its own order.
CASES = [
    (merged, wrapped)
    for merged in MERGED
    for wrapped in WRAPPERS
    if (merged, wrapped) != ("of the same stage twice", in_a_compression_retriever)
]


@pytest.mark.parametrize(("merged", "wrapped"), CASES)
def test_no_document_has_the_score_of_one_member(merged, wrapped, bm25, dense):
    base = MERGED[merged](bm25, dense)
    found = wrapped(base).invoke("cats sleep")
    assert len(found) >= 2
    for document in found:
        assert "relevance_score" in document.metadata
        assert "first_stage_score" not in document.metadata
        assert "dense_score" not in document.metadata


async def test_nor_has_it_under_async(bm25, dense):
    for wrapped in WRAPPERS:
        found = await wrapped(ensemble(bm25, dense)).ainvoke("cats sleep")
        assert len(found) == 3
        assert not any("first_stage_score" in one.metadata for one in found)


@pytest.mark.parametrize("wrapped", WRAPPERS)
def test_the_score_of_one_search_stays(wrapped, bm25, dense):
    for base in (bm25, dense, ensemble(bm25)):
        expected = {one.id: one.metadata["first_stage_score"] for one in base.invoke("cats sleep")}
        found = wrapped(base).invoke("cats sleep")
        assert {one.id: one.metadata["first_stage_score"] for one in found} == expected


@pytest.mark.parametrize("wrapped", WRAPPERS)
@pytest.mark.parametrize("fusion", ["ranks", "scores"])
def test_the_score_of_a_hybrid_is_the_fused_one(wrapped, fusion, bm25, dense):
    hybrid = HybridRetriever(retrievers=[bm25, dense], fusion=fusion)
    expected = {
        one.id: (one.metadata["first_stage_score"], one.metadata["dense_score"])
        for one in hybrid.invoke("cats sleep")
    }
    found = wrapped(hybrid).invoke("cats sleep")
    assert {
        one.id: (one.metadata["first_stage_score"], one.metadata["dense_score"]) for one in found
    } == expected


def test_a_hybrid_does_not_fuse_the_scores_of_an_ensembles_members(bm25, dense):
    stages = [ensemble(bm25, dense), bm25]
    with pytest.raises(ConfigurationError, match="Stage 1 gave no finite number"):
        HybridRetriever(retrievers=stages, fusion="scores").invoke("cats sleep")
    assert len(HybridRetriever(retrievers=stages).invoke("cats sleep")) == 3


def test_the_first_stage_weight_mixes_ranks_after_an_ensemble(bm25, dense):
    base = ensemble(bm25, dense)
    kept = CrossEncoderRerankRetriever(
        base_retriever=base, model=WordOverlapScorer(), top_n=None, first_stage_weight=1.0
    ).invoke("cats sleep")
    assert [one.id for one in kept] == [one.id for one in base.invoke("cats sleep")]


def test_scores_of_other_packages_stay_where_they_gave_the_order():
    def found(*scores):
        return [
            Document(f"cats {n}", metadata={} if score is None else {"first_stage_score": score})
            for n, score in enumerate(scores)
        ]

    reranker = CrossEncoderReranker(model=WordOverlapScorer(), top_n=None)

    def kept(*scores):
        ranked = reranker.compress_documents(found(*scores), "cats")
        return [one.metadata.get("first_stage_score") for one in ranked]

    assert kept(0.9, 0.5, 0.5) == [0.9, 0.5, 0.5]
    assert kept(0.9, 12.0, 0.5) == [None] * 3
    assert kept(0.9, None, 0.5) == [0.9, None, 0.5]
    assert kept(0.9) == [0.9]


def test_copies_of_documents_are_still_of_their_search(bm25, dense):
    mixed = ensemble(bm25, dense).invoke("cats sleep")
    reranker = CrossEncoderReranker(model=WordOverlapScorer(), top_n=None)
    for documents, stays in ((bm25.invoke("cats sleep"), True), (mixed, False)):
        ranked = reranker.compress_documents(copy.deepcopy(documents), "cats sleep")
        assert all(("first_stage_score" in one.metadata) == stays for one in ranked)
        assert json.dumps([one.metadata for one in ranked])
    assert all("first_stage_score" in one.metadata for one in mixed), "inputs were changed"
