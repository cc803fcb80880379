"""What many tests use: a few documents, a scorer without a model, embeddings without one."""

from __future__ import annotations

import gc
import os

# Before anything imports huggingface_hub, which reads it once: no test asks a hub.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import settings
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_rerank.testing import WordOverlapScorer


def pytest_itemcollected(item: pytest.Item) -> None:
    """Open loopback, and nothing else, to tests with the marker `loopback`."""
    if item.get_closest_marker("loopback"):
        item.add_marker(pytest.mark.allow_hosts(["127.0.0.1"]))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what is imported by now out of later collections.

    A model that is closed is collected at once, and looking through half a million objects of
    PyTorch and its like takes longer than loading a tiny one.
    """
    gc.collect()
    gc.freeze()


# The same examples in every run: a red run can be repeated.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.load_profile("fixed")

TEXTS = (
    "A transformer attends to every token of its input.",
    "Quantisation stores weights in four bits.",
    "LoRA trains two small matrices of low rank.",
    "A vector database finds neighbours of an embedding.",
    "QLoRA trains adapters of low rank over weights quantised to four bits.",
    "Retrieval brings documents into the prompt of a language model.",
    "A cross-encoder reads the query and the document together.",
    "BM25 ranks documents by the words they share with the query.",
)


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Keeps what tests, commands, examples and notebooks keep out of the user's cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGCHAIN_RERANK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def module_cache(tmp_path_factory):
    """A user's cache for one module, whose tests share what takes seconds to make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGCHAIN_RERANK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def documents() -> list[Document]:
    return [
        Document(text, id=f"d{number}", metadata={"source": f"{number}.md", "nested": {"n": [1]}})
        for number, text in enumerate(TEXTS)
    ]


@pytest.fixture
def scorer() -> WordOverlapScorer:
    return WordOverlapScorer()


@pytest.fixture
def embeddings() -> DeterministicFakeEmbedding:
    return DeterministicFakeEmbedding(size=16)


@pytest.fixture
def store(documents, embeddings) -> InMemoryVectorStore:
    store = InMemoryVectorStore(embeddings)
    store.add_documents(documents)
    return store
