"""Dense retrieval with scores over real vector stores."""

from __future__ import annotations

import copy
import math
import pickle
from uuid import uuid4

import pytest
from langchain_chroma import Chroma
from langchain_community.vectorstores import FAISS
from langchain_community.vectorstores.utils import DistanceStrategy
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_rerank.errors import ConfigurationError, InputTypeError
from langchain_rerank.first_stage import DenseRetriever, depth_of, with_depth

N = 40


class Circle(Embeddings):
    """The text `x` lies at the angle x / 20 on the unit circle, times `radius`."""

    def __init__(self, radius=1.0):
        self.radius = radius

    def embed_query(self, text):
        angle = float(text) / 20
        return [self.radius * math.cos(angle), self.radius * math.sin(angle)]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


def documents():
    return [
        Document(str(i), id=f"d{i}", metadata={"parity": "odd" if i % 2 else "even"})
        for i in range(N)
    ]


def memory(radius=1.0):
    store = InMemoryVectorStore(Circle(radius))
    store.add_documents(documents())
    return store


def faiss(strategy):
    return FAISS.from_documents(documents(), Circle(), distance_strategy=strategy)


def chroma(space):
    store = Chroma(
        f"circle-{uuid4()}",
        Circle(),
        collection_metadata={"hnsw:space": space},
    )
    store.add_documents(documents())
    return store


STORES = {
    "memory": memory,
    "faiss l2": lambda: faiss(DistanceStrategy.EUCLIDEAN_DISTANCE),
    "faiss inner product": lambda: faiss(DistanceStrategy.MAX_INNER_PRODUCT),
    "chroma l2": lambda: chroma("l2"),
    "chroma cosine": lambda: chroma("cosine"),
    "chroma inner product": lambda: chroma("ip"),
}


@pytest.fixture(params=STORES)
def store(request):
    return STORES[request.param]()


def scores(found):
    return [document.metadata["first_stage_score"] for document in found]


def test_the_nearest_come_first_and_their_scores_fall(store):
    found = DenseRetriever(vectorstore=store, k=10).invoke("20.2")
    assert [document.page_content for document in found[:4]] == ["20", "21", "19", "22"]
    assert len(found) == 10
    assert scores(found) == sorted(scores(found), reverse=True)
    assert scores(found)[0] > scores(found)[-1]
    assert all(type(score) is float for score in scores(found))


async def test_async_gives_the_same(store):
    retriever = DenseRetriever(vectorstore=store, k=7)
    found = await retriever.ainvoke("3.3", k=5)
    assert found == retriever.invoke("3.3", k=5)
    assert len(found) == 5


def test_one_document_alone_has_the_same_score_as_among_others(store):
    retriever = DenseRetriever(vectorstore=store, k=10)
    assert scores(retriever.invoke("20.2", k=1)) == scores(retriever.invoke("20.2"))[:1]


@pytest.mark.parametrize("name", ["memory", "faiss l2", "chroma l2", "chroma cosine"])
def test_where_only_one_document_is_left_the_store_says_what_its_score_is(name):
    # One document alone shows no direction; the sign must be that of any other query.
    store = STORES[name]()
    retriever = DenseRetriever(vectorstore=store, k=10)
    only = {d.id for d in documents()} - {"d20"}
    all_scores = scores(retriever.invoke("20.2"))
    store.delete(sorted(only))
    assert scores(retriever.invoke("20.2")) == pytest.approx(all_scores[:1], abs=1e-6)


@pytest.mark.parametrize("error", [KeyError("metric"), AttributeError("index"), ValueError("no")])
def test_a_store_that_cannot_say_it_costs_no_answer(error):
    class Unsure(InMemoryVectorStore):
        def _select_relevance_score_fn(self):
            raise error

    store = Unsure(Circle())
    store.add_documents(documents()[:1])
    assert len(DenseRetriever(vectorstore=store).invoke("1")) == 1


def test_no_documents_give_no_documents():
    assert DenseRetriever(vectorstore=InMemoryVectorStore(Circle())).invoke("1") == []


@pytest.mark.parametrize("name", ["faiss l2", "chroma l2", "memory"])
def test_a_filter_reaches_the_store_and_leaves_enough(name):
    odd = {"parity": "odd"}
    retriever = DenseRetriever(vectorstore=STORES[name](), k=18)
    found = retriever.invoke("20.2", filter=odd)
    # FAISS filters 20 documents unless told otherwise: ten would be left.
    assert len(found) == 18
    assert {document.metadata["parity"] for document in found} == {"odd"}
    always = DenseRetriever(vectorstore=retriever.vectorstore, k=18, search_kwargs={"filter": odd})
    assert always.invoke("20.2") == found


def test_a_store_that_takes_functions_still_takes_functions():
    retriever = DenseRetriever(vectorstore=memory(), k=18)
    by_function = retriever.invoke(
        "20.2", filter=lambda document: document.metadata["parity"] == "odd"
    )
    assert by_function == retriever.invoke("20.2", filter={"parity": "odd"})


def test_a_fetch_k_of_the_user_is_kept():
    retriever = DenseRetriever(vectorstore=STORES["faiss l2"](), k=18)
    found = retriever.invoke("20.2", filter={"parity": "odd"}, fetch_k=10)
    assert len(found) == 5


def test_stored_documents_are_never_changed():
    store = memory()
    before = copy.deepcopy(store.store)
    found = DenseRetriever(vectorstore=store).invoke("3")
    found[0].metadata["new"] = True
    assert store.store == before


def test_its_depth_is_set_on_a_copy_that_shares_the_store():
    base = DenseRetriever(vectorstore=memory(), k=3)
    deeper = with_depth(base, 12)
    assert (depth_of(base), depth_of(deeper)) == (3, 12)
    assert deeper.vectorstore is base.vectorstore
    assert deeper.search_kwargs is base.search_kwargs
    assert (len(deeper.invoke("3")), len(base.invoke("3"))) == (12, 3)


def test_a_store_without_scores_is_an_error_that_says_what_to_use():
    class NoScores(InMemoryVectorStore):
        def similarity_search_with_score(self, *args, **kwargs):
            raise NotImplementedError

    with pytest.raises(ConfigurationError, match=r"NoScores gives no scores.*as_retriever"):
        DenseRetriever(vectorstore=NoScores(Circle())).invoke("1")


def test_a_second_depth_and_unknown_settings_are_refused():
    store = memory()
    with pytest.raises(ValueError, match=r"DenseRetriever\(k=3\)"):
        DenseRetriever(vectorstore=store, search_kwargs={"k": 3})
    with pytest.raises(ValueError, match="top_k"):
        DenseRetriever(vectorstore=store, top_k=3)
    with pytest.raises(ValueError, match="k=0: it must be a whole number"):
        DenseRetriever(vectorstore=store, k=0)
    with pytest.raises(ConfigurationError, match="at least 1"):
        DenseRetriever(vectorstore=store).invoke("1", k=0)


def test_pickled_and_deep_copied_it_finds_the_same():
    retriever = DenseRetriever(vectorstore=memory(), k=3)
    expected = retriever.invoke("3.3")
    assert copy.deepcopy(retriever).invoke("3.3") == expected
    assert pickle.loads(pickle.dumps(retriever)).invoke("3.3") == expected


class Given(InMemoryVectorStore):
    """Answers every search with these scores."""

    given: tuple[object, ...] = ()

    def similarity_search_with_score(self, query, k=4, **kwargs):
        return [(Document(str(i), id=str(i)), score) for i, score in enumerate(self.given)][:k]


def giving(*scores):
    store = Given(Circle())
    store.given = scores
    return DenseRetriever(vectorstore=store, k=10)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 10**400])
def test_a_score_that_is_no_finite_number_turns_no_sign_and_is_not_passed_on(odd, place):
    similarities = [0.9, 0.5]
    similarities.insert(place, odd)
    found = giving(*similarities).invoke("1")
    assert [d.metadata.get("first_stage_score") for d in found] == [
        None if position == place else score for position, score in enumerate(similarities)
    ]
    distances = [0.1, 0.7]
    distances.insert(place, odd)
    found = giving(*distances).invoke("1")
    assert [d.metadata.get("first_stage_score") for d in found] == [
        None if position == place else -score for position, score in enumerate(distances)
    ]


@pytest.mark.parametrize("odd", [None, "high", [1]])
def test_a_score_that_is_no_number_at_all_is_one_clear_error(odd):
    with pytest.raises(InputTypeError, match=r"Given gave .* as the score of a document"):
        giving(0.9, odd).invoke("1")


def test_without_a_filter_the_store_is_asked_to_filter_nothing():
    asked = []

    class Watched(InMemoryVectorStore):
        def similarity_search_with_score(self, query, k=4, **kwargs):
            asked.append(kwargs.get("filter"))
            return super().similarity_search_with_score(query, k, **kwargs)

    store = Watched(Circle())
    store.add_documents(documents())
    retriever = DenseRetriever(vectorstore=store, k=3)
    retriever.invoke("1")
    retriever.invoke("1", filter=None)
    assert asked == [None, None]
    assert len(retriever.invoke("1", filter={"parity": "odd"})) == 3
    assert callable(asked[-1])
