"""LangChain's own retriever tests, run on every first stage."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests

from langchain_rerank.first_stage import (
    BM25Retriever,
    DenseRetriever,
    HybridRetriever,
    hybrid_retriever,
)

EMBEDDINGS = DeterministicFakeEmbedding(size=16)
DOCUMENTS = [Document(f"an example of document {i}", id=str(i)) for i in range(10)]


class FirstStageTests(RetrieversIntegrationTests):
    """What the four classes share."""

    # The standard tests build the retriever anew for each setting.
    @property
    def retriever_constructor_params(self):
        return {}

    @property
    def retriever_query_example(self):
        return "example document"

    @property
    def num_results_arg_name(self):
        return "k"


class TestBM25OfRankBM25(FirstStageTests):
    backend = "rank_bm25"

    @property
    def retriever_constructor(self):
        def build(**settings):
            return BM25Retriever.from_documents(DOCUMENTS, backend=self.backend, **settings)

        return build


class TestBM25OfBM25S(TestBM25OfRankBM25):
    backend = "bm25s"


class TestDense(FirstStageTests):
    @property
    def retriever_constructor(self):
        return DenseRetriever

    @property
    def retriever_constructor_params(self):
        store = InMemoryVectorStore(EMBEDDINGS)
        store.add_documents(DOCUMENTS)
        return {"vectorstore": store}


class TestHybrid(FirstStageTests):
    @property
    def retriever_constructor(self):
        return HybridRetriever

    @property
    def retriever_constructor_params(self):
        return {"retrievers": hybrid_retriever(DOCUMENTS, EMBEDDINGS).retrievers}


def test_the_standard_tests_are_collected(request):
    # They skip silently where a property has another name.
    assert issubclass(TestHybrid, RetrieversIntegrationTests)
    names = {item.name for item in request.session.items if "TestHybrid" in item.nodeid}
    if not names:
        pytest.skip("this test was selected alone")
    assert {
        "test_k_constructor_param",
        "test_invoke_with_k_kwarg",
        "test_ainvoke_returns_documents",
    } <= names
