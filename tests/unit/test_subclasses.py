"""What a user's subclass overrides counts: in async calls, and for the arguments of a call."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import Field, ValidationError

from langchain_rerank import (
    BM25Retriever,
    CrossEncoderReranker,
    CrossEncoderRerankRetriever,
    DenseRetriever,
    HybridRetriever,
    IndexRetriever,
)
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.testing import WordOverlapScorer

DOCUMENTS = [Document(f"cats {n}", id=str(n), metadata={"n": n}) for n in range(6)]


def settings_of(kind, folder):
    """Return what builds a retriever of ours over the documents."""
    if kind is BM25Retriever:
        built = BM25Retriever.from_documents(DOCUMENTS)
        return {"documents": built.documents, "index": built.index}
    if kind is DenseRetriever:
        store = InMemoryVectorStore(DeterministicFakeEmbedding(size=4))
        store.add_documents(DOCUMENTS)
        return {"vectorstore": store}
    if kind is HybridRetriever:
        return {"retrievers": [BM25Retriever.from_documents(DOCUMENTS)]}
    if kind is IndexRetriever:
        (folder / "cats.txt").write_text("cats", encoding="utf-8")
        return {"files": [folder / "cats.txt"], "kind": "bm25"}
    return {"base_retriever": BM25Retriever.from_documents(DOCUMENTS), "model": WordOverlapScorer()}


RETRIEVERS = [
    BM25Retriever,
    DenseRetriever,
    HybridRetriever,
    IndexRetriever,
    CrossEncoderRerankRetriever,
]


@pytest.mark.parametrize("kind", RETRIEVERS)
async def test_a_sync_override_alone_serves_async_calls_too(kind, tmp_path):
    class OfTheTeam(kind):
        def _get_relevant_documents(self, query, *, run_manager):
            return DOCUMENTS[2:3]

    class AsLangChainsGuideHasIt(kind):
        def _get_relevant_documents(self, query):
            return DOCUMENTS[2:3]

    class Below(OfTheTeam):
        pass

    settings = settings_of(kind, tmp_path)
    for cls in (OfTheTeam, AsLangChainsGuideHasIt, Below):
        retriever = cls(**settings)
        assert retriever.invoke("cats") == await retriever.ainvoke("cats") == DOCUMENTS[2:3], cls


@pytest.mark.parametrize("kind", RETRIEVERS)
async def test_an_override_may_come_from_another_base(kind, tmp_path):
    class ForTheTeam:
        def _get_relevant_documents(self, query, *, run_manager):
            return DOCUMENTS[2:3]

    class OfTheTeam(ForTheTeam, kind):
        pass

    assert await OfTheTeam(**settings_of(kind, tmp_path)).ainvoke("cats") == DOCUMENTS[2:3]


@pytest.mark.parametrize("kind", RETRIEVERS)
async def test_an_async_method_of_its_own_stays(kind, tmp_path):
    class Own(kind):
        def _get_relevant_documents(self, query, *, run_manager):
            return DOCUMENTS[:1]

        async def _aget_relevant_documents(self, query, *, run_manager):
            return DOCUMENTS[1:2]

    assert await Own(**settings_of(kind, tmp_path)).ainvoke("cats") == DOCUMENTS[1:2]


async def test_an_override_of_a_compressor_serves_async_calls_too():
    class OfTheTeam(CrossEncoderReranker):
        def compress_documents(self, documents, query, callbacks=None):
            return super().compress_documents(documents, query, callbacks)[:1]

    compressor = OfTheTeam(model=WordOverlapScorer())
    found = await compressor.acompress_documents(DOCUMENTS, "cats 3")
    assert [one.id for one in found] == ["3"]


async def test_an_override_of_rerank_or_search_serves_their_async_twins_too():
    class Narrow(CrossEncoderReranker):
        def rerank(self, documents, query, callbacks=None, **settings):
            return super().rerank(documents[:2], query, callbacks, **settings)

    class Lowered(CrossEncoderRerankRetriever):
        def search(self, query, config=None, **kwargs):
            return super().search(query.lower(), config, **kwargs)

    found = await Narrow(model=WordOverlapScorer()).acompress_documents(DOCUMENTS, "cats", top_n=5)
    assert [one.id for one in found] == ["0", "1"]
    base = BM25Retriever.from_documents(DOCUMENTS)
    retriever = Lowered(base_retriever=base, model=WordOverlapScorer())
    assert (await retriever.asearch("CATS 4", top_n=2)).query == "cats 4"
    assert [one.id for one in (await retriever.asearch("CATS 4", top_n=1)).documents] == ["4"]


@pytest.mark.parametrize("kind", [BM25Retriever, DenseRetriever, HybridRetriever])
def test_a_filter_that_an_override_no_longer_takes_is_refused(kind, tmp_path):
    class OfTheTeam(kind):
        def _get_relevant_documents(self, query, *, run_manager):
            return super()._get_relevant_documents(query, run_manager=run_manager)

    base = OfTheTeam(**settings_of(kind, tmp_path))
    reranking = CrossEncoderRerankRetriever(base_retriever=base, model=WordOverlapScorer())
    with pytest.raises(ConfigurationError, match="OfTheTeam, takes no filter"):
        reranking.invoke("cats", filter={"n": 1})
    hybrid = HybridRetriever(retrievers=[base, BM25Retriever.from_documents(DOCUMENTS)])
    with pytest.raises(ConfigurationError, match="OfTheTeam takes no such argument"):
        hybrid.invoke("cats", filter={"n": 1})


async def test_an_override_of_a_hybrid_may_take_some_of_its_arguments():
    class OfTheTeam(HybridRetriever):
        def _get_relevant_documents(self, query, *, run_manager, k=None):
            return super()._get_relevant_documents(query, run_manager=run_manager, k=k)

    hybrid = OfTheTeam(retrievers=[BM25Retriever.from_documents(DOCUMENTS)])
    assert len(hybrid.invoke("cats", k=2)) == len(await hybrid.ainvoke("cats", k=2)) == 2


class WithoutManager(BaseRetriever):
    """As LangChain's own guide writes a retriever, with a filter."""

    def _get_relevant_documents(self, query, filter=None):  # noqa: A002 - the name of stores
        return [one for one in DOCUMENTS if one.metadata["n"] == filter]


class OtherAsync(BaseRetriever):
    """Its async method is its own, and takes less."""

    def _get_relevant_documents(self, query, *, run_manager, filter=None):  # noqa: A002
        return [one for one in DOCUMENTS if one.metadata["n"] == filter]

    async def _aget_relevant_documents(self, query, *, run_manager):
        raise AssertionError("without the filter")


@pytest.mark.parametrize("kind", [WithoutManager, OtherAsync])
async def test_what_only_the_sync_method_of_a_base_takes_reaches_it_in_async_calls(kind):
    reranking = CrossEncoderRerankRetriever(base_retriever=kind(), model=WordOverlapScorer())
    assert [one.id for one in await reranking.ainvoke("cats", filter=4)] == ["4"]
    hybrid = HybridRetriever(retrievers=[kind()])
    assert [one.id for one in await hybrid.ainvoke("cats", filter=4)] == ["4"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_n", 0),
        ("top_n", True),
        ("score_threshold", "0.5"),
        ("metadata_fields", "title"),
        ("timeout", -1.0),
        ("trust_remote_code", "no"),
        ("dtype", 16),
        ("max_length", True),
    ],
)
def test_a_setting_with_another_default_is_checked_as_ever(name, value):
    class OfTheTeam(CrossEncoderReranker):
        device: str = "cpu"
        dtype: str = "float32"
        max_length: int | None = 64
        trust_remote_code: bool = False
        calibration_texts: list[str] | None = None
        top_n: int | None = 3
        score_threshold: float | None = 0.1
        metadata_fields: list[str] = Field(default_factory=list)
        timeout: float | None = 3.0

    with pytest.raises(ValidationError) as plain:
        CrossEncoderReranker(model="embedded", **{name: value})
    with pytest.raises(ValidationError) as own:
        OfTheTeam(model="embedded", **{name: value})
    assert [one["msg"] for one in own.value.errors()] == [
        one["msg"] for one in plain.value.errors()
    ]
