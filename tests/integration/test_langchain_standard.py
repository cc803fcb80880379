"""LangChain's own standard tests for retrievers, over every kind of base."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import RetrieversIntegrationTests

from langchain_rerank import (
    BM25Retriever,
    CrossEncoderRerankRetriever,
    DenseRetriever,
    hybrid_retriever,
)
from langchain_rerank.testing import WordOverlapScorer

WORDS = [
    "adapters",
    "attention",
    "embeddings",
    "quantisation",
    "retrieval",
    "transformers",
    "vectors",
]
DOCUMENTS = [Document(f"{word} and {WORDS[0]}", id=word) for word in WORDS]
EMBEDDINGS = DeterministicFakeEmbedding(size=16)


class StandardTests(RetrieversIntegrationTests):
    """The retriever over `base()`, which each subclass names."""

    @staticmethod
    def base() -> Any:
        raise NotImplementedError

    @property
    def retriever_constructor(self) -> type[CrossEncoderRerankRetriever]:
        return CrossEncoderRerankRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"base_retriever": self.base(), "model": WordOverlapScorer()}

    @property
    def retriever_query_example(self) -> str:
        return "adapters for retrieval"

    @property
    def num_results_arg_name(self) -> str:
        return "top_n"


class TestOverInMemoryVectorStore(StandardTests):
    @staticmethod
    def base() -> Any:
        return InMemoryVectorStore.from_documents(DOCUMENTS, EMBEDDINGS).as_retriever()


class TestOverChroma(StandardTests):
    @staticmethod
    def base() -> Any:
        from langchain_chroma import Chroma

        # A name of its own: collections of one process share their store.
        store = Chroma.from_documents(DOCUMENTS, EMBEDDINGS, collection_name="standard-tests")
        return store.as_retriever()


class TestOverFaiss(StandardTests):
    @staticmethod
    @pytest.mark.filterwarnings("ignore:builtin type .* has no __module__:DeprecationWarning")
    def base() -> Any:
        from langchain_community.vectorstores import FAISS

        return FAISS.from_documents(DOCUMENTS, EMBEDDINGS).as_retriever()


class TestOverOurBM25(StandardTests):
    @staticmethod
    def base() -> Any:
        return BM25Retriever.from_documents(DOCUMENTS)


class TestOverOurDense(StandardTests):
    @staticmethod
    def base() -> Any:
        return DenseRetriever(vectorstore=InMemoryVectorStore.from_documents(DOCUMENTS, EMBEDDINGS))


class TestOverOurHybrid(StandardTests):
    @staticmethod
    def base() -> Any:
        return hybrid_retriever(DOCUMENTS, EMBEDDINGS)


class TestOverLangChainsBM25(StandardTests):
    @staticmethod
    def base() -> Any:
        from langchain_community.retrievers import BM25Retriever as Theirs

        return Theirs.from_documents(DOCUMENTS)


class TestOverLangChainsEnsemble(StandardTests):
    @staticmethod
    def base() -> Any:
        from langchain_classic.retrievers import EnsembleRetriever
        from langchain_community.retrievers import BM25Retriever as Theirs

        return EnsembleRetriever(
            retrievers=[
                Theirs.from_documents(DOCUMENTS),
                InMemoryVectorStore.from_documents(DOCUMENTS, EMBEDDINGS).as_retriever(),
            ]
        )
