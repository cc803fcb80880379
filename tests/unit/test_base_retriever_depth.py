"""Setting the depth of every kind of first stage, against the real classes."""

from __future__ import annotations

import copy

import pytest
from langchain_chroma import Chroma
from langchain_classic.retrievers import (
    ContextualCompressionRetriever,
    EnsembleRetriever,
    MergerRetriever,
    MultiQueryRetriever,
    MultiVectorRetriever,
    ParentDocumentRetriever,
    RePhraseQueryRetriever,
    TimeWeightedVectorStoreRetriever,
)
from langchain_classic.retrievers.document_compressors import DocumentCompressorPipeline
from langchain_classic.retrievers.self_query.base import SelfQueryRetriever
from langchain_community.document_transformers import LongContextReorder
from langchain_community.retrievers import BM25Retriever as CommunityBM25
from langchain_community.retrievers import KNNRetriever, TFIDFRetriever
from langchain_community.vectorstores import FAISS
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListLLM
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_core.stores import InMemoryStore
from langchain_core.structured_query import StructuredQuery, Visitor
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import CharacterTextSplitter

from langchain_rerank.base_retrievers.depth import depth_of, with_depth
from langchain_rerank.errors import ConfigurationError

N = 60
EMBEDDINGS = DeterministicFakeEmbedding(size=8)


@pytest.fixture
def documents():
    return [Document(f"apple number {i}", id=f"d{i}", metadata={"i": i}) for i in range(N)]


@pytest.fixture
def store(documents):
    store = InMemoryVectorStore(EMBEDDINGS)
    store.add_documents(documents)
    return store


def community_bm25(documents, **kwargs):
    # A word per document keeps the scores of rank_bm25's Okapi form above zero.
    return CommunityBM25.from_documents(documents, **kwargs)


def test_a_vector_store_retriever_returns_k_and_the_base_stays_as_it_was(store):
    base = store.as_retriever(search_kwargs={"k": 3, "filter": None})
    deeper = with_depth(base, 20)

    assert type(deeper) is type(base)
    assert len(deeper.invoke("apple")) == 20
    assert depth_of(deeper) == 20
    assert deeper.vectorstore is store
    assert base.search_kwargs == {"k": 3, "filter": None}
    assert len(base.invoke("apple")) == 3


async def test_depth_also_holds_for_async_calls(store):
    assert len(await with_depth(store.as_retriever(), 20).ainvoke("apple")) == 20


@pytest.mark.parametrize("make", [InMemoryVectorStore, FAISS, Chroma])
def test_the_default_of_the_store_counts_where_nothing_is_set(make, documents):
    if make is InMemoryVectorStore:
        store = make(EMBEDDINGS)
        store.add_documents(documents)
    else:
        store = make.from_documents(documents, EMBEDDINGS)
    base = store.as_retriever()

    assert depth_of(base) == len(base.invoke("apple")) == 4
    assert len(with_depth(base, 30).invoke("apple")) == 30
    assert len(with_depth(base, 2).invoke("apple")) == 2


def test_a_store_that_names_no_default_has_unknown_depth():
    class Odd(InMemoryVectorStore):
        def similarity_search(self, query, **kwargs):
            return super().similarity_search(query, **kwargs)

    assert depth_of(Odd(EMBEDDINGS).as_retriever()) is None


@pytest.mark.parametrize(
    ("search_kwargs", "k", "fetch_k"),
    [({}, 50, 250), ({"k": 4, "fetch_k": 8}, 10, 20), ({"k": 40, "fetch_k": 50}, 10, 50)],
)
def test_mmr_keeps_the_proportion_it_picks_from(store, search_kwargs, k, fetch_k):
    base = store.as_retriever(search_type="mmr", search_kwargs=search_kwargs)
    deeper = with_depth(base, k)

    assert deeper.search_kwargs == {"k": k, "fetch_k": fetch_k}
    assert len(deeper.invoke("apple")) == min(k, N)
    assert base.search_kwargs == search_kwargs


def test_a_score_threshold_stays_and_only_the_depth_grows(documents):
    store = FAISS.from_documents(documents, EMBEDDINGS, normalize_L2=True)
    base = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": -10.0}
    )
    with pytest.warns(UserWarning, match="Relevance scores"):
        found = with_depth(base, 30).invoke("apple")
    assert len(found) == 30
    assert base.search_kwargs == {"score_threshold": -10.0}


def test_a_store_that_filters_after_the_search_fetches_enough_to_filter(documents):
    # FAISS filters 20 documents unless told otherwise, whatever k is.
    store = FAISS.from_documents(documents, EMBEDDINGS)
    base = store.as_retriever(search_kwargs={"filter": lambda metadata: metadata["i"] % 2 == 0})
    deeper = with_depth(base, 30)
    assert len(deeper.invoke("apple")) == 30
    assert deeper.search_kwargs["fetch_k"] == 150
    assert set(base.search_kwargs) == {"filter"}


def test_community_bm25_shares_its_vectorizer_and_keeps_its_own_k(documents):
    base = community_bm25(documents, k=4)
    deeper = with_depth(base, 15)

    assert len(deeper.invoke("apple")) == 15
    assert deeper.vectorizer is base.vectorizer
    assert deeper.docs is base.docs
    assert (base.k, len(base.invoke("apple"))) == (4, 4)


def test_tfidf_and_knn_of_community_are_set_by_their_field_k(documents):
    texts = [document.page_content for document in documents]
    for base in (TFIDFRetriever.from_texts(texts), KNNRetriever.from_texts(texts, EMBEDDINGS)):
        assert depth_of(base) == 4
        assert len(with_depth(base, 9).invoke("apple")) == 9
        assert base.k == 4


def test_an_ensemble_sets_its_members_down_to_nested_ones(store, documents):
    bm25, dense = community_bm25(documents), store.as_retriever()
    inner = EnsembleRetriever(retrievers=[bm25], weights=[1.0])
    base = EnsembleRetriever(retrievers=[dense.with_config(tags=["dense"]), inner], weights=[1, 2])
    deeper = with_depth(base, 25)

    assert depth_of(base) == 8
    assert depth_of(deeper) == 50
    assert 25 <= len(deeper.invoke("apple")) <= 50
    assert deeper.weights == base.weights
    assert base.retrievers[1] is inner
    assert inner.retrievers[0] is bm25
    assert (bm25.k, dense.search_kwargs) == (4, {})
    assert len(base.invoke("apple")) <= 8


def test_an_ensemble_with_a_member_of_unknown_depth_has_unknown_depth(store):
    base = MergerRetriever(retrievers=[store.as_retriever(), Plain()])
    assert depth_of(base) is None
    deeper = with_depth(base, 12)
    assert deeper.retrievers[1] is base.retrievers[1]
    assert depth_of(deeper.retrievers[0]) == 12


def test_the_base_of_a_compression_retriever_grows_and_never_shrinks(store):
    def compressed(k):
        return ContextualCompressionRetriever(
            base_retriever=store.as_retriever(search_kwargs={"k": k}),
            base_compressor=DocumentCompressorPipeline(transformers=[LongContextReorder()]),
        )

    shallow, deep = compressed(3), compressed(40)
    assert len(with_depth(shallow, 10).invoke("apple")) == 10
    assert len(shallow.invoke("apple")) == 3
    assert with_depth(deep, 10) is deep
    assert depth_of(shallow) is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_multi_query_and_rephrase_set_the_retriever_they_ask(store):
    answers = FakeListLLM(responses=["apple one\napple two"])
    for cls in (MultiQueryRetriever, RePhraseQueryRetriever):
        base = cls.from_llm(retriever=store.as_retriever(), llm=answers)
        deeper = with_depth(base, 20)
        assert deeper.llm_chain is base.llm_chain
        # A multi-query retriever asks three times, as its default prompt has it.
        assert depth_of(deeper.retriever) == (7 if cls is MultiQueryRetriever else 20)
        assert len(deeper.invoke("apple")) >= depth_of(deeper.retriever)
        assert base.retriever.search_kwargs == {}
        assert depth_of(base) is None


def parents_of_many_children(**search_kwargs):
    # Ten parents of six children each; every child names its parent.
    retriever = ParentDocumentRetriever(
        vectorstore=InMemoryVectorStore(EMBEDDINGS),
        docstore=InMemoryStore(),
        child_splitter=CharacterTextSplitter(separator=".", chunk_size=12, chunk_overlap=0),
        search_kwargs=search_kwargs,
    )
    parents = [Document(".".join(f"part {i} {j}" for j in range(6))) for i in range(10)]
    retriever.add_documents(parents, ids=[f"p{i}" for i in range(10)])
    return retriever


def test_a_parent_retriever_counts_children_so_its_depth_only_grows():
    base = parents_of_many_children(k=4)
    deeper = with_depth(base, 60)
    assert len(base.invoke("part 3 1")) <= 4
    assert len(deeper.invoke("part 3 1")) == 10  # sixty children are all of them
    assert deeper.docstore is base.docstore
    assert base.search_kwargs == {"k": 4}

    wide = parents_of_many_children(k=60)
    assert with_depth(wide, 5) is wide


def test_a_multi_vector_retriever_with_mmr_raises_what_it_picks_from(store):
    base = MultiVectorRetriever(vectorstore=store, docstore=InMemoryStore(), search_type="mmr")
    assert with_depth(base, 30).search_kwargs == {"k": 30, "fetch_k": 150}
    assert base.search_kwargs == {}


def test_a_self_query_retriever_sets_its_search(store):
    base = SelfQueryRetriever(
        vectorstore=store,
        query_constructor=RunnableLambda(lambda _: StructuredQuery(query="apple", filter=None)),
        structured_query_translator=PassThrough(),
    )
    assert len(base.invoke("apple")) == 4
    assert len(with_depth(base, 11).invoke("apple")) == 11
    assert base.search_kwargs == {}


def test_a_time_weighted_retriever_sets_k_and_keeps_its_wider_search(store):
    base = TimeWeightedVectorStoreRetriever(vectorstore=store)
    assert (with_depth(base, 30).k, with_depth(base, 30).search_kwargs) == (30, {"k": 100})
    assert with_depth(base, 130).search_kwargs == {"k": 130}
    assert (base.k, base.search_kwargs, depth_of(base)) == (4, {"k": 100}, 4)


def test_a_bound_argument_that_the_retriever_drops_counts_for_nothing(documents):
    base = community_bm25(documents, k=4).bind(k=9)
    assert depth_of(base) == len(base.invoke("apple")) == 4
    assert depth_of(with_depth(base, 12)) == len(with_depth(base, 12).invoke("apple")) == 12


def test_bound_arguments_win_so_they_are_set_too(store):
    base = store.as_retriever().bind(k=3)
    deeper = with_depth(base, 12)
    assert (depth_of(base), depth_of(deeper)) == (3, 12)
    assert len(deeper.invoke("apple")) == 12
    assert len(base.invoke("apple")) == 3
    assert base.kwargs == {"k": 3}

    mmr = store.as_retriever(search_type="mmr").bind(k=2, fetch_k=6)
    assert len(with_depth(mmr, 12).invoke("apple")) == 12
    assert mmr.kwargs == {"k": 2, "fetch_k": 6}


def test_with_config_with_retry_and_with_types_are_looked_through(store):
    base = store.as_retriever()
    for wrapped in (
        base.with_config(run_name="stage", tags=["t"]),
        base.with_retry(stop_after_attempt=2),
        base.with_types(input_type=str),
    ):
        deeper = with_depth(wrapped, 12)
        assert type(deeper) is type(wrapped)
        assert deeper.config == wrapped.config
        assert depth_of(deeper) == len(deeper.invoke("apple")) == 12
        assert len(wrapped.invoke("apple")) == 4
    assert base.search_kwargs == {}


def test_configurable_fields_set_the_default_and_the_call_wins(store):
    base = store.as_retriever().configurable_fields(search_kwargs=ConfigurableField(id="kw"))
    deeper = with_depth(base, 12)
    assert len(deeper.invoke("apple")) == 12
    assert len(deeper.invoke("apple", {"configurable": {"kw": {"k": 7}}})) == 7
    assert len(base.invoke("apple")) == 4


def test_configurable_alternatives_are_all_set(store, documents):
    base = store.as_retriever().configurable_alternatives(
        ConfigurableField(id="stage"),
        bm25=community_bm25(documents),
        made=lambda: store.as_retriever(search_kwargs={"k": 2}),
    )
    deeper = with_depth(base, 12)
    for name in ("default", "bm25", "made"):
        config = {"configurable": {"stage": name}}
        assert len(deeper.invoke("apple", config)) == 12
        assert len(base.invoke("apple", config)) < 12


def test_fallbacks_are_all_set(store, documents):
    def fail(query):
        raise RuntimeError(query)

    base = RunnableLambda(fail).with_fallbacks([store.as_retriever()])
    assert len(with_depth(base, 12).invoke("apple")) == 12
    assert len(base.invoke("apple")) == 4
    assert depth_of(base) is None
    known = store.as_retriever().with_fallbacks([community_bm25(documents, k=9)])
    assert depth_of(known) == 9


def test_the_last_step_of_a_sequence_is_set(store):
    base = RunnableLambda(str.lower) | store.as_retriever()
    assert len(with_depth(base, 12).invoke("APPLE")) == 12
    assert (depth_of(base), len(base.invoke("APPLE"))) == (4, 4)


class Plain(BaseRetriever):
    """A retriever without any setting; `k` is an attribute of the class, not a field."""

    def _get_relevant_documents(self, query, *, run_manager):
        return [Document("x")] * 3


class PassThrough(Visitor):
    """Translates a structured query without filters."""

    def visit_structured_query(self, structured_query):
        return structured_query.query, {}

    def visit_comparison(self, comparison):
        raise NotImplementedError

    visit_operation = visit_comparison


class Configured(Plain):
    """A retriever whose field `k` is no number of documents."""

    k: str = "kind"


@pytest.mark.parametrize(
    "base", [Plain(), Configured(), RunnableLambda(lambda _: [Document("x")])], ids=repr
)
def test_what_has_no_depth_comes_back_as_it_is(base):
    assert with_depth(base, 12) is base
    assert depth_of(base) is None


def test_an_ensemble_of_what_has_no_depth_comes_back_as_it_is():
    base = EnsembleRetriever(retrievers=[Plain(), Plain()])
    assert with_depth(base, 12) is base


def test_the_depth_it_already_has_needs_no_copy(store):
    base = store.as_retriever(search_kwargs={"k": 12})
    assert with_depth(base, 12) is base


def test_private_attributes_are_shared(documents):
    class Indexed(BaseRetriever):
        k: int = 4
        _index: object = object()

        def _get_relevant_documents(self, query, *, run_manager):
            return documents[: self.k]

    base = Indexed()
    deeper = with_depth(base, 12)
    assert deeper._index is base._index
    assert len(deeper.invoke("apple")) == 12


def test_a_copy_of_a_deeper_retriever_is_independent(store):
    deeper = with_depth(store.as_retriever(), 12)
    other = copy.copy(deeper)
    assert len(with_depth(other, 3).invoke("apple")) == 3
    assert deeper.search_kwargs == {"k": 12}


@pytest.mark.parametrize("k", [0, -1, True, 2.0, "5", None])
def test_a_depth_that_is_no_number_of_documents_is_refused(store, k):
    with pytest.raises(ConfigurationError, match="at least 1"):
        with_depth(store.as_retriever(), k)
