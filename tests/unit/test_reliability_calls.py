"""What a call of a retriever carries, and what it leaves alone."""

from __future__ import annotations

import asyncio
import copy
import datetime as dt
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from langchain_classic.retrievers import MultiQueryRetriever, TimeWeightedVectorStoreRetriever
from langchain_community.vectorstores import FAISS
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableBranch, RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import ValidationError

from langchain_rerank import BM25Retriever, CrossEncoderReranker, CrossEncoderRerankRetriever
from langchain_rerank.base_retrievers import depth_of, with_depth
from langchain_rerank.errors import (
    ConfigurationError,
    InputTypeError,
    MissingExtraError,
    RerankWarning,
    ScorerError,
)
from langchain_rerank.testing import WordOverlapScorer

TEXTS = [f"document {number} about a red fox" for number in range(30)]


def documents():
    return [
        Document(text, id=str(number), metadata={"tags": ["kept"], "n": number})
        for number, text in enumerate(TEXTS)
    ]


class Filtering(BaseRetriever):
    """A base that takes a filter and keeps what it was given."""

    seen: list

    def _get_relevant_documents(self, query, *, run_manager, filter=None):  # noqa: A002
        self.seen.append(filter)
        return documents()


class Usual(CrossEncoderRerankRetriever):
    """A subclass as LangChain's guide writes one."""

    def _get_relevant_documents(self, query, *, run_manager):
        found = super()._get_relevant_documents(query, run_manager=run_manager)
        return [document for document in found if document.metadata["n"] != 0]


class WithoutSuper(CrossEncoderRerankRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return documents()[:2]


class WithTenant(CrossEncoderRerankRetriever):
    def _get_relevant_documents(self, query, *, run_manager, tenant=None, **kwargs):
        return super()._get_relevant_documents(
            query, run_manager=run_manager, filter={"tenant": tenant}, **kwargs
        )


def make(cls, **settings):
    return cls(base_retriever=Filtering(seen=[]), model=WordOverlapScorer(), **settings)


def test_a_usual_override_keeps_top_n_the_filter_and_the_receipt():
    retriever = make(Usual)
    found = retriever.invoke("document 0", top_n=3, filter={"a": 1})
    assert [document.metadata["n"] for document in found] == [1, 2]  # 3 kept, one taken out
    assert retriever.base_retriever.seen == [{"a": 1}]
    result = retriever.search("document 0", top_n=3)
    assert result.documents == found
    assert result.candidates == 30


async def test_an_override_of_the_sync_method_alone_serves_async_calls_too():
    retriever = make(Usual)
    found = await retriever.ainvoke("document 0", top_n=3, filter={"a": 1})
    assert [document.metadata["n"] for document in found] == [1, 2]
    assert retriever.base_retriever.seen == [{"a": 1}]
    assert (await retriever.asearch("document 0", top_n=3)).documents == found


def test_concurrent_calls_of_one_retriever_keep_their_own_arguments():
    retriever = make(Usual)

    async def all_at_once():
        calls = [retriever.ainvoke("document 5", top_n=n) for n in range(1, 15)]
        return [len(found) for found in await asyncio.gather(*calls)]

    assert asyncio.run(all_at_once()) == [n - (n > 1) for n in range(1, 15)]


def test_what_an_override_leaves_out_is_an_error_and_no_silence():
    retriever = make(WithoutSuper)
    assert len(retriever.search("q").documents) == 2
    with pytest.raises(ConfigurationError, match=r"WithoutSuper overrides .* left out filter"):
        retriever.invoke("q", filter={"a": 1})


def test_what_an_override_declares_is_its_own():
    retriever = make(WithTenant)
    assert len(retriever.invoke("document", tenant="acme", top_n=2)) == 2
    assert retriever.base_retriever.seen == [{"tenant": "acme"}]


def test_a_retriever_below_another_of_ours_does_not_take_its_arguments():
    inner = make(Usual, top_n=None, first_stage_k=20)
    outer = CrossEncoderRerankRetriever(base_retriever=inner, model=WordOverlapScorer(), top_n=3)
    assert len(outer.invoke("document", filter={"a": 1})) == 3
    assert inner.base_retriever.seen == [{"a": 1}]


@pytest.mark.filterwarnings("ignore:Relevance scores must be between")
def test_a_query_of_ours_stamps_no_memory_of_a_time_weighted_base():
    long_ago = dt.datetime(2020, 1, 1)
    base = TimeWeightedVectorStoreRetriever(
        vectorstore=FAISS.from_texts([""], DeterministicFakeEmbedding(size=8)), k=2
    )
    base.add_documents([Document(text, metadata={"last_accessed_at": long_ago}) for text in TEXTS])
    before = copy.deepcopy(base.memory_stream)
    retriever = CrossEncoderRerankRetriever(
        base_retriever=base, model=WordOverlapScorer(), first_stage_k=20
    )
    result = retriever.search("document")
    assert result.candidates == 20
    assert base.memory_stream == before


def test_results_share_no_nested_metadata_with_the_corpus():
    corpus = documents()
    retriever = CrossEncoderRerankRetriever(
        base_retriever=BM25Retriever.from_documents(corpus), model=WordOverlapScorer()
    )
    for found in (retriever.invoke("fox"), retriever.base_retriever.invoke("fox")):
        found[0].metadata["tags"].append("changed")
    again = retriever.base_retriever.invoke("fox")
    assert {tuple(document.metadata["tags"]) for document in [*corpus, *again]} == {("kept",)}


class Lines(BaseOutputParser[list[str]]):
    def parse(self, text):
        return text.splitlines()


@pytest.mark.parametrize("reranked", [False, True])
def test_a_document_of_several_queries_stays_one_for_a_multi_query_retriever(reranked):
    base = BM25Retriever.from_documents(documents()[:4], k=4)
    if reranked:
        base = CrossEncoderRerankRetriever(base_retriever=base, model=WordOverlapScorer(), top_n=4)
    chain = RunnableLambda(lambda _: ["red fox", "document 1", "fox about"])
    found = MultiQueryRetriever(retriever=base, llm_chain=chain).invoke("fox")
    assert sorted(document.id for document in found) == ["0", "1", "2", "3"]


def test_two_results_are_equal_by_their_own_metadata_and_unequal_by_scores_beside_a_dictionary():
    first, second = (
        CrossEncoderReranker(model=WordOverlapScorer()).compress_documents(documents()[:2], query)
        for query in ("document 1", "document 0")
    )
    assert {d.id: d for d in first}["0"] == {d.id: d for d in second}["0"]
    assert first[0] != first[1]
    assert first[0].metadata != dict(second[1].metadata)
    assert pickle.loads(pickle.dumps(first[0])) == first[0]


@pytest.mark.parametrize(
    "missing", [float("nan"), np.nan, pd.NA, pd.NaT, np.datetime64("NaT"), None]
)
def test_a_missing_value_of_a_metadata_field_is_not_read(missing):
    asked = []

    class Keeping(WordOverlapScorer):
        def score(self, query, texts):
            asked.extend(texts)
            return super().score(query, texts)

    reranker = CrossEncoderReranker(model=Keeping(), metadata_fields=["title"])
    found = reranker.compress_documents([Document("text", metadata={"title": missing})], "q")
    assert asked == ["text"]
    assert "title" in found[0].metadata


def test_a_field_that_no_candidate_has_is_named_once():
    reranker = CrossEncoderReranker(model=WordOverlapScorer(), metadata_fields=["titel"])
    titled = [Document("text", metadata={"title": "QLoRA"})]
    with pytest.warns(RerankWarning, match="'titel', which none .* nearest key is 'title'"):
        reranker.compress_documents(titled, "q")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reranker.compress_documents(titled, "q")


def test_the_depth_reaches_the_branches_of_a_branch():
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents(documents())
    default, other = (store.as_retriever(search_kwargs={"k": k}) for k in (2, 3))
    branch = RunnableBranch((lambda query: "?" in query, other), default)
    deeper = with_depth(branch, 20)
    assert [len(deeper.invoke(query)) for query in ("fox", "fox?")] == [20, 20]
    assert [len(branch.invoke(query)) for query in ("fox", "fox?")] == [2, 3]
    assert depth_of(branch) == 3


def test_the_depth_reaches_a_bound_top_n_of_a_reranking_base():
    inner = make(CrossEncoderRerankRetriever, first_stage_k=25)
    outer = CrossEncoderRerankRetriever(
        base_retriever=inner.bind(top_n=2, first_stage_k=10), model=WordOverlapScorer(), top_n=5
    )
    assert len(outer.invoke("document", first_stage_k=20)) == 5
    assert outer.search("document", first_stage_k=20).candidates == 20


@pytest.mark.parametrize(
    ("name", "value"), [("dtype", "foo"), ("max_length", 3), ("top_n", 0), ("first_stage_k", 0)]
)
def test_a_refused_assignment_leaves_the_object_as_it_was(name, value):
    retriever = CrossEncoderRerankRetriever(
        base_retriever=Filtering(seen=[]), model="embedded", top_n=4
    )
    before = (dict(retriever.__dict__), set(retriever.model_fields_set))
    with pytest.raises(ValidationError):
        setattr(retriever, name, value)
    assert (dict(retriever.__dict__), set(retriever.model_fields_set)) == before


@pytest.mark.parametrize("name", ["top_n", "first_stage_k", "max_candidates", "max_length"])
@pytest.mark.parametrize("value", [True, np.bool_(True), 2.0, float("nan")])
def test_booleans_and_fractions_are_no_counts(name, value):
    with pytest.raises(ValidationError):
        make(CrossEncoderRerankRetriever, **{name: value})


def test_numbers_of_numpy_and_objects_of_torch_are_settings():
    retriever = CrossEncoderRerankRetriever(
        base_retriever=Filtering(seen=[]),
        model="embedded",
        top_n=np.int64(2),
        first_stage_k=np.int32(20),
        max_length=np.int16(128),
        score_threshold=np.float32(0.5),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    assert (retriever.top_n, retriever.first_stage_k, retriever.max_length) == (2, 20, 128)
    assert (retriever.device, retriever.dtype) == ("cpu", "float32")
    assert type(retriever.top_n) is type(retriever.max_length) is int


def test_what_the_message_tells_to_install_is_not_forgiven():
    class Uninstalled:
        def score(self, query, texts):
            raise MissingExtraError("Install it with: pip install 'langchain-rerank[openvino]'")

    reranker = CrossEncoderReranker(model=Uninstalled(), on_error="first_stage")
    with pytest.raises(MissingExtraError):
        reranker.compress_documents(documents(), "q")


def test_whatever_a_scorer_raises_is_a_scorer_error_with_its_cause():
    class Failing:
        def score(self, query, texts):
            raise KeyError("weights")

    reranker = CrossEncoderReranker(model=Failing())
    with pytest.raises(ScorerError, match="Failing failed: KeyError") as caught:
        reranker.compress_documents(documents(), "q")
    assert isinstance(caught.value.__cause__, KeyError)


def test_metadata_of_none_counts_as_empty_and_other_things_are_refused():
    empty, odd = Document("text"), Document("text")
    empty.metadata, odd.metadata = None, ["a"]
    reranker = CrossEncoderReranker(model=WordOverlapScorer(), metadata_fields=[])
    assert reranker.compress_documents([empty], "q")[0].metadata["rerank_rank"] == 1
    with pytest.raises(InputTypeError, match=r"metadata of candidate 0 .* got list"):
        reranker.compress_documents([odd], "q")


def test_cyclic_metadata_and_first_stage_scores_beyond_a_float_rank_as_usual():
    cyclic = {"n": 1}
    cyclic["self"] = cyclic
    found = [
        Document("red", metadata=cyclic),
        Document("red fox", metadata={"first_stage_score": 10**400}),
        Document("hen", metadata={"first_stage_score": 1e200}),
    ]
    reranker = CrossEncoderReranker(model=WordOverlapScorer(), first_stage_weight=0.5)
    ranked = reranker.compress_documents(found, "red fox")
    assert [document.page_content for document in ranked] == ["red", "red fox", "hen"]
    assert ranked[0].metadata["self"]["n"] == 1


def test_very_large_scores_mix_without_an_overflow():
    class Large:
        def score(self, query, texts):
            return [1e200, -1e300, 5e307][: len(texts)]

    found = [
        Document(text, metadata={"first_stage_score": s})
        for text, s in zip("abc", (3, 2, 1), strict=True)
    ]
    reranker = CrossEncoderReranker(model=Large(), first_stage_weight=0.3)
    assert [d.page_content for d in reranker.compress_documents(found, "q")] == ["c", "a", "b"]
