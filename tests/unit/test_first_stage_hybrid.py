"""The hybrid: depth, arguments, config, callbacks and concurrency across its stages."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest
from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.retrievers import BM25Retriever as CommunityBM25
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import Field

from langchain_rerank.errors import ConfigurationError, InputError, InputTypeError
from langchain_rerank.first_stage import (
    BM25Retriever,
    DenseRetriever,
    HybridRetriever,
    depth_of,
    hybrid_retriever,
    with_depth,
)

EMBEDDINGS = DeterministicFakeEmbedding(size=8)
N = 30


def documents():
    return [
        Document(f"cat number {i}", id=f"d{i}", metadata={"even": i % 2 == 0}) for i in range(N)
    ]


def ids(found):
    return [document.id for document in found]


def scores(found):
    return [document.metadata["first_stage_score"] for document in found]


def listing(*names):
    return RunnableLambda(lambda query: [Document(name, id=name) for name in names])


class Recorder(BaseRetriever):
    """Takes any argument, and writes down what it was called with."""

    calls: list = Field(default_factory=list)

    def _get_relevant_documents(self, query, *, run_manager, **kwargs):
        self.calls.append(kwargs)
        return [Document("cat", id="recorded")]


class Strict(BaseRetriever):
    """Takes no argument, as most retrievers."""

    def _get_relevant_documents(self, query, *, run_manager):
        return [Document("cat", id="strict")]


class Named(BaseRetriever):
    """Takes one argument by its name."""

    def _get_relevant_documents(self, query, *, run_manager, language="en"):
        return [Document(language, id=language)]


def test_ranks_are_fused_by_the_formula_and_exposed_as_score():
    found = HybridRetriever(retrievers=[listing("a", "b"), listing("b", "c")]).invoke("q")
    assert ids(found) == ["b", "a", "c"]
    assert scores(found) == pytest.approx([1 / 61 + 1 / 62, 1 / 61, 1 / 62])


def test_weights_and_c_decide_who_wins():
    stages = [listing("a", "b"), listing("b", "a")]
    assert ids(HybridRetriever(retrievers=stages, weights=[2, 1]).invoke("q")) == ["a", "b"]
    found = HybridRetriever(retrievers=stages, weights=[1, 2], c=0).invoke("q")
    assert (ids(found), scores(found)) == (["b", "a"], [2.5, 2.0])


def test_the_order_of_the_stages_does_not_matter():
    one, two = BM25Retriever.from_documents(documents()), InMemoryVectorStore(EMBEDDINGS)
    two.add_documents(documents())
    dense = DenseRetriever(vectorstore=two)
    there = HybridRetriever(retrievers=[one, dense], weights=[2, 1]).invoke("cat 7")
    back = HybridRetriever(retrievers=[dense, one], weights=[1, 2]).invoke("cat 7")
    assert ids(there) == ids(back)
    assert scores(there) == scores(back)


def test_the_usual_hybrid_is_built_in_a_line_and_changes_no_document():
    given = [*documents(), Document("cat without a name")]
    before = copy.deepcopy(given)
    hybrid = hybrid_retriever(given, EMBEDDINGS, k=40, weights=[2, 1])
    found = hybrid.invoke("cat without a name")
    assert len(found) == N + 1
    assert found[0].id == f"#{N}"
    assert given == before
    assert hybrid.weights == [2, 1]


def test_documents_that_share_an_id_cannot_be_told_apart():
    twice = [Document("a", id="1"), Document("b", id="1")]
    with pytest.raises(InputError, match=r"documents\[1\] has the id '1'"):
        hybrid_retriever(twice, EMBEDDINGS)
    with pytest.raises(InputTypeError, match=r"documents\[0\] is of type str"):
        hybrid_retriever(["cat"], EMBEDDINGS)
    with pytest.raises(InputError, match="no documents"):
        hybrid_retriever([], EMBEDDINGS)


def test_every_stage_is_asked_for_k_and_none_is_changed():
    bm25 = CommunityBM25.from_documents(documents(), k=4)
    dense = DenseRetriever(vectorstore=InMemoryVectorStore(EMBEDDINGS), k=2)
    dense.vectorstore.add_documents(documents())
    hybrid = HybridRetriever(retrievers=[bm25, dense], k=20)

    assert len(hybrid.invoke("cat")) == 20
    assert len(hybrid.invoke("cat", k=3)) == 3
    assert (bm25.k, dense.k) == (4, 2)
    assert depth_of(hybrid) == 20
    assert len(with_depth(hybrid, 12).invoke("cat")) == 12
    assert hybrid.k == 20
    assert hybrid.retrievers[0] is bm25


def test_a_stage_whose_depth_cannot_be_set_is_cut():
    hybrid = HybridRetriever(retrievers=[listing(*"abcdef"), listing("f")], k=2)
    # The first stage's sixth place is beyond the depth and counts for nothing.
    assert ids(hybrid.invoke("q")) == ["a", "f"]
    assert scores(hybrid.invoke("q")) == [1 / 61, 1 / 61]


def test_a_filter_reaches_every_stage():
    hybrid = hybrid_retriever(documents(), EMBEDDINGS, k=30)
    found = hybrid.invoke("cat", filter=lambda document: document.metadata["even"])
    assert sorted(ids(found)) == sorted(f"d{i}" for i in range(0, N, 2))
    assert hybrid.invoke("cat", filter={"even": True}) == found


async def test_a_stage_that_would_ignore_the_filter_is_an_error():
    hybrid = HybridRetriever(retrievers=[Recorder(), Strict()])
    with pytest.raises(ConfigurationError, match="Strict takes no such argument"):
        hybrid.invoke("q", filter={"even": True})
    with pytest.raises(ConfigurationError, match="Strict takes no such argument"):
        await hybrid.ainvoke("q", filter={"even": True})


async def test_other_arguments_reach_the_stages_that_take_them():
    recorder = Recorder()
    stages = [recorder.with_config(tags=["t"]), Strict(), Named(), listing("plain")]
    hybrid = HybridRetriever(retrievers=stages)
    expected = {"recorded", "strict", "de", "plain"}
    assert set(ids(hybrid.invoke("q", language="de"))) == expected
    # Neither Recorder nor Named has an async method that takes arguments.
    assert set(ids(await hybrid.ainvoke("q", language="de"))) == expected
    assert recorder.calls == [{"language": "de"}, {"language": "de"}]


def test_an_argument_that_no_stage_takes_is_an_error():
    hybrid = HybridRetriever(retrievers=[Strict(), Named()])
    with pytest.raises(ConfigurationError, match=r"languge='de': Strict, Named"):
        hybrid.invoke("q", languge="de")


async def test_stages_run_at_the_same_time_under_async():
    # Each stage waits for the other: one after the other they would wait for ever.
    first, second = asyncio.Event(), asyncio.Event()

    def meeting(mine, theirs, name):
        async def stage(query):
            mine.set()
            await theirs.wait()
            return [Document(name, id=name)]

        return RunnableLambda(stage)

    hybrid = HybridRetriever(retrievers=[meeting(first, second, "a"), meeting(second, first, "b")])
    assert ids(await asyncio.wait_for(hybrid.ainvoke("q"), timeout=30)) == ["a", "b"]


async def test_async_gives_the_same_as_sync():
    hybrid = hybrid_retriever(documents(), EMBEDDINGS)
    assert await hybrid.ainvoke("cat 3", k=7) == hybrid.invoke("cat 3", k=7)


class Runs(BaseCallbackHandler):
    """Writes down each retriever run with its parent and tags."""

    def __init__(self):
        self.started = []

    def on_retriever_start(self, serialized, query, *, run_id, parent_run_id, tags, **kwargs):
        self.started.append((kwargs.get("name"), run_id, parent_run_id, tags))


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_each_stage_is_a_child_run(asynchronous):
    runs = Runs()
    hybrid = hybrid_retriever(documents(), EMBEDDINGS)
    config = {"callbacks": [runs], "run_name": "first"}
    if asynchronous:
        await hybrid.ainvoke("cat", config)
    else:
        hybrid.invoke("cat", config)
    (name, run_id, parent, _), *children = runs.started
    assert (name, parent) == ("first", None)
    assert sorted(
        (child, child_parent, [tag for tag in tags if tag.startswith("stage")])
        for child, _, child_parent, tags in children
    ) == [("BM25Retriever", run_id, ["stage_1"]), ("DenseRetriever", run_id, ["stage_2"])]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_the_configurable_fields_of_a_stage_are_reached_in_a_direct_call(asynchronous):
    bm25 = BM25Retriever.from_texts(["cat dog", "cat"], preprocess_func=str.split)
    stage = bm25.configurable_fields(preprocess_func=ConfigurableField(id="terms"))
    hybrid = HybridRetriever(retrievers=[stage])
    config = {"configurable": {"terms": lambda text: ["dog"]}}
    assert [spec.id for spec in hybrid.config_specs] == ["terms"]
    found = await hybrid.ainvoke("cat", config) if asynchronous else hybrid.invoke("cat", config)
    assert [document.page_content for document in found] == ["cat dog"]
    assert len(hybrid.invoke("cat")) == 2


def test_it_nests_and_takes_an_ensemble_of_langchain():
    ensemble = EnsembleRetriever(retrievers=[listing("a", "b"), listing("b")])
    inner = HybridRetriever(retrievers=[listing("c"), listing("c")])
    assert set(ids(HybridRetriever(retrievers=[ensemble, inner]).invoke("q"))) == {"a", "b", "c"}


def test_a_failing_stage_fails_the_hybrid():
    def fail(query):
        raise RuntimeError("index is gone")

    hybrid = HybridRetriever(retrievers=[listing("a"), RunnableLambda(fail)])
    with pytest.raises(RuntimeError, match="index is gone"):
        hybrid.invoke("q")


def test_a_function_is_a_stage_and_gives_its_documents_in_any_series():
    found = [Document("a", id="a"), Document("b", id="b")]
    for series in (tuple(found), iter(found), (one for one in found)):
        hybrid = HybridRetriever(retrievers=[lambda query, series=series: series])
        assert [one.id for one in hybrid.invoke("q")] == ["a", "b"]


def test_documents_of_an_empty_id_are_told_apart_by_their_texts():
    found = [Document(text, id="") for text in ("a", "b", "a")]
    hybrid = HybridRetriever(retrievers=[lambda query: found, lambda query: found[1:2]])
    assert [one.page_content for one in hybrid.invoke("q")] == ["b", "a"]


@pytest.mark.parametrize("answer", ["text", ["text"], None, {}, Document("alone")])
def test_a_stage_that_returns_no_documents_is_an_error(answer):
    hybrid = HybridRetriever(retrievers=[RunnableLambda(lambda query: answer)])
    with pytest.raises(InputTypeError, match="must return a list of documents"):
        hybrid.invoke("q")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"retrievers": []}, "at least 1 item"),
        ({"retrievers": ["bm25"]}, r"retrievers\[0\] must be a LangChain retriever"),
        ({"weights": [1, 2]}, "2 weights for 1 rankings"),
        ({"weights": [0]}, "one of them above"),
        ({"weights": [-1]}, "at least 0"),
        ({"depths": [1, 2]}, "2 depths for 1 retrievers"),
        ({"depths": [0]}, "depths=0"),
        ({"fusion": "votes"}, "'ranks' or 'scores'"),
        ({"k": 0}, "k=0: it must be a whole number of at least 1"),
        ({"c": -1}, "greater than or equal to 0"),
        ({"top_k": 3}, "top_k"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        HybridRetriever(**{"retrievers": [Strict()], **settings})


def test_a_depth_of_nothing_is_refused_in_a_call():
    with pytest.raises(ConfigurationError, match="k=0"):
        HybridRetriever(retrievers=[Strict()]).invoke("q", k=0)


def test_pickled_and_deep_copied_it_finds_the_same():
    hybrid = hybrid_retriever(documents(), EMBEDDINGS)
    expected = hybrid.invoke("cat 3")
    assert copy.deepcopy(hybrid).invoke("cat 3") == expected
    loaded = pickle.loads(pickle.dumps(hybrid))
    assert loaded.invoke("cat 3") == expected


def scored(*pairs):
    return RunnableLambda(
        lambda query: [
            Document(name, id=name, metadata={"first_stage_score": score}) for name, score in pairs
        ]
    )


def test_each_stage_has_a_depth_of_its_own_where_one_is_given():
    bm25 = BM25Retriever.from_documents(documents())
    dense = DenseRetriever(vectorstore=InMemoryVectorStore.from_documents(documents(), EMBEDDINGS))
    asked = []

    class Asked(HybridRetriever):
        def _fused(self, stages, rankings, k):
            asked.append([len(ranking) for ranking in rankings])
            return super()._fused(stages, rankings, k)

    hybrid = Asked(retrievers=[bm25, dense], depths=[20, None], k=5)
    assert len(hybrid.invoke("cat")) == 5
    assert len(hybrid.invoke("cat", k=8)) == 8
    # A reranker sets the number of candidates, not how they are put together.
    assert len(with_depth(hybrid, 9).invoke("cat")) == 9
    assert asked == [[20, 5], [20, 8], [20, 9]]


async def test_a_stage_of_weight_0_is_not_asked():
    silent = Recorder()
    hybrid = HybridRetriever(retrievers=[silent, listing("a", "b")], weights=[0, 1])
    assert ids(hybrid.invoke("q")) == ["a", "b"]
    assert ids(await hybrid.ainvoke("q")) == ["a", "b"]
    assert silent.calls == []
    # What is not asked need not take the filter either.
    bm25 = BM25Retriever.from_documents(documents())
    hybrid = HybridRetriever(retrievers=[Strict(), bm25], weights=[0, 1], k=3)
    assert len(hybrid.invoke("cat", filter={"even": True})) == 3


def test_scores_are_fused_by_their_place_between_best_and_last():
    one = scored(("a", 20.0), ("b", 15.0), ("c", 10.0))
    other = scored(("c", 0.9), ("d", 0.1))
    found = HybridRetriever(retrievers=[one, other], fusion="scores").invoke("q")
    assert ids(found) == ["a", "c", "b", "d"]
    assert scores(found) == pytest.approx([0.5, 0.5, 0.25, 0.0])
    found = HybridRetriever(retrievers=[one, other], fusion="scores", weights=[1, 3]).invoke("q")
    assert ids(found)[0] == "c"


@pytest.mark.parametrize("odd", [None, float("nan"), 10**400, "high"])
def test_fusing_scores_that_are_none_is_one_clear_error(odd):
    stages = [scored(("a", 1.0)), scored(("b", odd))]
    with pytest.raises(ConfigurationError, match=r"Stage 2 gave no finite number"):
        HybridRetriever(retrievers=stages, fusion="scores").invoke("q")
    assert len(HybridRetriever(retrievers=stages).invoke("q")) == 2


def test_huge_scores_are_fused_without_overflow():
    stages = [scored(("a", 1.7e308), ("b", 1e200), ("c", -1.7e308))]
    found = HybridRetriever(retrievers=stages, fusion="scores").invoke("q")
    assert scores(found) == pytest.approx([1.0, 0.5, 0.0])


def test_an_id_key_tells_documents_apart_and_brings_copies_together():
    def pages(*numbers):
        return RunnableLambda(
            lambda query: [
                Document(f"{n}", id=f"{numbers}-{n}", metadata={"page": n}) for n in numbers
            ]
        )

    stages = [pages(1, 2, 2), pages(2, 3)]
    assert len(HybridRetriever(retrievers=stages).invoke("q")) == 4
    found = HybridRetriever(retrievers=stages, id_key="page").invoke("q")
    assert [document.metadata["page"] for document in found] == [2, 1, 3]
    # Documents without that metadata are told apart as ever.
    stages = [listing("a"), RunnableLambda(lambda query: [Document("b", metadata={"page": [1]})])]
    assert len(HybridRetriever(retrievers=stages, id_key="page").invoke("q")) == 2


def test_odd_metadata_is_no_obstacle_to_fusion():
    cyclic = {}
    cyclic["self"] = cyclic
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for odd in ({1: "a", "b": 2, None: 3, (1, 2): 4}, cyclic, {"deep": deep}):
        stages = [
            RunnableLambda(lambda query, odd=odd: [Document("same", id="s", metadata=odd)]),
            listing("s"),
        ]
        assert ids(HybridRetriever(retrievers=stages).invoke("q")) == ["s"]


def test_a_dense_stage_with_a_score_that_is_no_number_is_fused():
    class Odd(InMemoryVectorStore):
        def similarity_search_with_score(self, query, k=4, **kwargs):
            found = super().similarity_search_with_score(query, k, **kwargs)
            return [*found[:-1], (found[-1][0], float("nan"))]

    store = Odd.from_documents(documents(), EMBEDDINGS)
    assert len(HybridRetriever(retrievers=[DenseRetriever(vectorstore=store)]).invoke("cat")) == N


def test_the_usual_hybrid_takes_a_language_depths_and_a_fusion():
    given = [Document("In der Straße stehen alte Häuser.", id="a"), Document("Wasser.", id="b")]
    hybrid = hybrid_retriever(
        given, EMBEDDINGS, language="german", depths=[2, 1], fusion="scores", weights=[1, 0]
    )
    assert ids(hybrid.invoke("ein altes Haus")) == ["a"]
    hybrid = hybrid_retriever(given, EMBEDDINGS, preprocess_func=list, weights=[1, 0])
    assert ids(hybrid.invoke("W")) == ["b"]
