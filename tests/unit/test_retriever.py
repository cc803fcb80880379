"""The retriever: depth, per-call overrides, config, results, what it leaves untouched."""

from __future__ import annotations

import asyncio
import copy
import warnings

import pytest
from langchain_classic.retrievers import (
    ContextualCompressionRetriever,
    EnsembleRetriever,
    MultiQueryRetriever,
)
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    ConfigurableField,
    RunnableBranch,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)

from langchain_rerank import (
    BM25Retriever,
    CrossEncoderReranker,
    CrossEncoderRerankRetriever,
    HybridRetriever,
    RerankWarning,
)
from langchain_rerank.errors import (
    ConfigurationError,
    InputError,
    InputTypeError,
    ScorerUnavailableError,
)
from langchain_rerank.testing import CountingScorer, WordOverlapScorer

QUERY = "adapters of low rank over weights"


def ids(documents):
    return [document.id for document in documents]


def over(base, scorer, **settings):
    return CrossEncoderRerankRetriever(base_retriever=base, model=scorer, **settings)


class Filtered(BaseRetriever):
    """A base whose sync method takes a filter, and whose async method is LangChain's default."""

    found: list[Document]

    def _get_relevant_documents(self, query, *, run_manager, filter=None):  # noqa: A002 - the field's word
        return [d for d in self.found if filter is None or filter(d)]


class Plain(BaseRetriever):
    found: list[Document]

    def _get_relevant_documents(self, query, *, run_manager):
        return list(self.found)


def test_the_candidates_of_the_base_come_back_reranked(store, scorer):
    kept = over(store.as_retriever(), scorer, top_n=2).invoke(QUERY)
    assert ids(kept) == ["d4", "d2"]
    assert [d.metadata["rerank_rank"] for d in kept] == [1, 2]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_settings_can_be_overridden_for_one_call(store, scorer, asynchronous):
    counting = CountingScorer(scorer)
    retriever = over(store.as_retriever(), counting, top_n=2)

    def call(**kwargs):
        if asynchronous:
            return asyncio.run(retriever.ainvoke(QUERY, **kwargs))
        return retriever.invoke(QUERY, **kwargs)

    assert len(call(top_n=4)) == 4
    assert len(call(top_n=None)) == 8
    assert ids(call(score_threshold=0.6)) == ["d4"]
    assert len(counting.asked[-1][0][1]) == 8
    call(first_stage_k=3)
    assert len(counting.asked[-1][0][1]) == 3
    assert len(call()) == 2, "an override is for its call only"


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("kind", ["store", "sync only"])
def test_arguments_that_are_not_ours_reach_the_base(store, documents, scorer, kind, asynchronous):
    base = store.as_retriever() if kind == "store" else Filtered(found=documents)
    retriever = over(base, scorer)
    keep = {"filter": lambda document: document.id == "d1"}
    found = (
        asyncio.run(retriever.ainvoke(QUERY, **keep))
        if asynchronous
        else retriever.invoke(QUERY, **keep)
    )
    assert ids(found) == ["d1"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_argument_that_the_base_would_drop_is_an_error(documents, scorer, asynchronous):
    retriever = over(Plain(found=documents), scorer)
    call = (
        (lambda **kw: asyncio.run(retriever.ainvoke(QUERY, **kw)))
        if asynchronous
        else (lambda **kw: retriever.invoke(QUERY, **kw))
    )
    with pytest.raises(ConfigurationError, match="Plain, takes no filter in a call"):
        call(filter={"tenant": 1})


def only_d1(document):
    return document.id == "d1"


def asked(retriever, asynchronous, **kwargs):
    if asynchronous:
        return asyncio.run(retriever.ainvoke(QUERY, **kwargs))
    return retriever.invoke(QUERY, **kwargs)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "compose",
    [
        lambda good, bad: good.with_fallbacks([bad]),
        lambda good, bad: bad.with_fallbacks([good]),
        lambda good, bad: RunnablePassthrough() | good,
        lambda good, bad: bad | RunnableLambda(list),
        lambda good, bad: RunnableBranch((lambda query: True, good), bad),
        lambda good, bad: RunnableParallel(found=good) | RunnableLambda(lambda one: one["found"]),
        lambda good, bad: good.configurable_alternatives(ConfigurableField("which"), bad=bad),
        lambda good, bad: good.configurable_alternatives(
            ConfigurableField("which"), bad=lambda: bad
        ),
        lambda good, bad: ContextualCompressionRetriever(
            base_compressor=CrossEncoderReranker(model=WordOverlapScorer()), base_retriever=bad
        ),
        lambda good, bad: HybridRetriever(
            retrievers=[
                good,
                ContextualCompressionRetriever(
                    base_compressor=CrossEncoderReranker(model=WordOverlapScorer()),
                    base_retriever=bad,
                ),
            ]
        ),
        lambda good, bad: good.with_fallbacks([bad]).with_config(tags=["tag"]),
    ],
    ids=lambda compose: None,
)
def test_a_filter_that_a_composed_base_would_drop_is_an_error(
    documents, scorer, compose, asynchronous
):
    retriever = over(compose(Filtered(found=documents), Plain(found=documents)), scorer)
    with pytest.raises(ConfigurationError, match="filter"):
        asked(retriever, asynchronous, filter=only_d1)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    "compose",
    [
        lambda good: good.with_fallbacks([good]),
        lambda good: good | RunnableLambda(list),
        lambda good: RunnableBranch((lambda query: False, good), good),
        lambda good: good.configurable_alternatives(
            ConfigurableField("which"), other=good, made=lambda: good
        ),
        lambda good: ContextualCompressionRetriever(
            base_compressor=CrossEncoderReranker(model=WordOverlapScorer()), base_retriever=good
        ),
        lambda good: CrossEncoderRerankRetriever(base_retriever=good, model=WordOverlapScorer()),
        lambda good: RunnableLambda(lambda query, filter: good.invoke(query, filter=filter)),  # noqa: A006 - the field's word
    ],
    ids=lambda compose: None,
)
def test_a_filter_reaches_every_part_of_a_composed_base(documents, scorer, compose, asynchronous):
    retriever = over(compose(Filtered(found=documents)), scorer)
    assert ids(asked(retriever, asynchronous, filter=only_d1)) == ["d1"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_alternative_that_is_not_chosen_is_never_made(documents, scorer, asynchronous):
    def unavailable():
        raise RuntimeError("no key for this store")

    base = Filtered(found=documents).configurable_alternatives(
        ConfigurableField("which"), other=unavailable
    )
    assert len(ids(asked(over(base, scorer), asynchronous))) > 0


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("setting", "advice"),
    [
        ({"first_stage_weight": 0.5}, "model_copy"),
        ({"deduplicate": "off", "on_error": "raise"}, "deduplicate, on_error cannot be set"),
        ({"k": 3}, "say top_n"),
    ],
)
def test_a_setting_that_cannot_change_per_call_is_refused(
    store, scorer, setting, advice, asynchronous
):
    with pytest.raises(ConfigurationError, match=advice):
        asked(over(store.as_retriever(), scorer), asynchronous, **setting)


def test_weight_1_is_the_bases_order_where_its_scores_are_of_several_scales(documents, scorer):
    bm25 = BM25Retriever.from_documents(documents)
    dense = Plain(
        found=[
            d.model_copy(update={"metadata": {"first_stage_score": 0.9 - i / 10}})
            for i, d in enumerate(documents)
        ]
    )
    nested = over(bm25, scorer, top_n=None)
    for base in (EnsembleRetriever(retrievers=[bm25, dense], weights=[0.2, 0.8]), nested):
        retriever = over(base, scorer, first_stage_weight=1.0, top_n=None)
        found = retriever.invoke("adapters of low rank weights transformer")
        assert len(found) > 2
        assert [d.metadata["first_stage_rank"] for d in found] == list(range(1, len(found) + 1))


@pytest.mark.parametrize(
    "override", [{"top_n": 0}, {"first_stage_k": 0}, {"score_threshold": "high"}]
)
def test_an_impossible_override_is_refused(store, scorer, override):
    with pytest.raises(ConfigurationError, match=next(iter(override))):
        over(store.as_retriever(), scorer).invoke(QUERY, **override)


class TestDepth:
    def test_first_stage_k_sets_the_depth_of_the_base_and_leaves_the_base_alone(
        self, store, scorer
    ):
        base = store.as_retriever(search_kwargs={"k": 1})
        counting = CountingScorer(scorer)
        over(base, counting, first_stage_k=6).invoke(QUERY)
        assert len(counting.texts) == 6
        assert base.search_kwargs == {"k": 1}
        assert len(base.invoke(QUERY)) == 1

    def test_what_a_base_gives_beyond_first_stage_k_is_cut_off(self, documents, scorer):
        counting = CountingScorer(scorer)
        base = RunnableLambda(lambda query: documents)
        assert len(over(base, counting, first_stage_k=6).invoke(QUERY)) == 5
        assert counting.texts == [d.page_content for d in documents[:6]]

    def test_a_depth_that_leaves_nothing_to_find_is_warned_about_once(self, store, scorer):
        with pytest.warns(RerankWarning, match="first_stage_k=3 is not more than top_n=5"):
            retriever = over(store.as_retriever(), scorer, first_stage_k=3)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            retriever.invoke(QUERY)

    def test_a_base_that_cannot_give_more_than_top_n_is_warned_about_once(self, documents, scorer):
        retriever = over(RunnableLambda(lambda query: documents[:4]), scorer)
        with pytest.warns(RerankWarning, match="gave 4 documents, not more than top_n=5"):
            retriever.invoke(QUERY)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            retriever.invoke(QUERY)

    def test_a_small_corpus_is_no_reason_to_warn(self, documents, scorer):
        small = BM25Retriever.from_documents(documents[:3])
        configurable = small.configurable_fields(k=ConfigurableField("k"))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert len(over(small, scorer).invoke("transformer")) == 1
            assert len(over(configurable, scorer).invoke("transformer")) == 1

    def test_what_every_query_of_a_multi_query_base_found_is_reranked(self, scorer):
        kinds = ("cat number", "feline animal", "kitten pet")
        texts = [f"{kind} {i}" for kind in kinds for i in range(80)]
        base = MultiQueryRetriever.from_llm(
            BM25Retriever.from_texts(texts),
            FakeListChatModel(responses=["cat number\nfeline animal"]),
            include_original=True,
        )
        counting = CountingScorer(scorer)
        best = over(base, counting).invoke("kitten pet")
        assert {text.rsplit(" ", 1)[0] for text in counting.texts} == set(kinds)
        assert all(document.page_content.startswith("kitten pet") for document in best)

    def test_more_candidates_than_max_candidates_are_refused_at_once(self, store, scorer):
        with pytest.raises(ValueError, match="first_stage_k=2000 is more than max_candidates=1000"):
            over(store.as_retriever(), scorer, first_stage_k=2000)


class TestConfig:
    def test_the_bases_configurable_fields_show(self, documents, scorer):
        base = Plain(found=documents).configurable_fields(found=ConfigurableField(id="found"))
        assert [spec.id for spec in over(base, scorer).config_specs] == ["found"]

    def test_our_own_fields_can_be_configured(self, store, scorer):
        retriever = over(store.as_retriever(), scorer).configurable_fields(
            top_n=ConfigurableField(id="top_n")
        )
        assert len(retriever.invoke(QUERY)) == 5
        assert len(retriever.invoke(QUERY, config={"configurable": {"top_n": 2}})) == 2

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_the_bases_configuration_reaches_it_on_a_direct_call(
        self, documents, scorer, asynchronous
    ):
        base = Plain(found=documents).configurable_fields(found=ConfigurableField(id="found"))
        retriever = over(base, scorer, top_n=None)
        config = {"configurable": {"found": documents[:6]}}
        found = (
            asyncio.run(retriever.ainvoke(QUERY, config))
            if asynchronous
            else retriever.invoke(QUERY, config)
        )
        assert len(found) == 6

    def test_both_stages_are_named_runs_below_the_retriever(self, store, scorer):
        runs = {}

        class Handler(BaseCallbackHandler):
            def on_retriever_start(self, serialized, query, *, run_id, parent_run_id, **kwargs):
                runs[run_id] = (kwargs["name"], parent_run_id)

            def on_chain_start(self, serialized, inputs, *, run_id, parent_run_id, **kwargs):
                runs[run_id] = (kwargs["name"], parent_run_id)

        over(store.as_retriever(), scorer).invoke(QUERY, {"callbacks": [Handler()], "tags": ["t"]})
        (top, (name, parent)), *children = runs.items()
        assert (name, parent) == ("CrossEncoderRerankRetriever", None)
        assert [child for _, child in children] == [("VectorStoreRetriever", top), ("rerank", top)]


class TestResult:
    def test_search_tells_ranks_scores_and_times(self, store, scorer):
        result = over(store.as_retriever(), scorer, top_n=3).search(QUERY)
        assert result.documents == over(store.as_retriever(), scorer, top_n=3).invoke(QUERY)
        assert result.scores == [d.metadata["relevance_score"] for d in result.documents]
        assert result.rerank_ranks == [1, 2, 3]
        assert list(result.timings) == ["first_stage", "rerank", "total"]
        assert result.timings["total"] >= result.timings["rerank"] >= 0.0
        assert (result.candidates, result.model) == (8, "word-overlap")

    async def test_asearch_tells_the_same(self, store, scorer):
        retriever = over(store.as_retriever(), scorer)
        assert (await retriever.asearch(QUERY)).documents == retriever.search(QUERY).documents

    def test_a_result_prints_with_its_rank_movement(self, documents, scorer):
        result = over(RunnableLambda(lambda query: documents), scorer, top_n=3).search(QUERY)
        lines = str(result).splitlines()
        assert lines[0] == QUERY
        assert lines[1].startswith("1  1.0000  ↑4 (was 5)  ")
        assert "↓" in str(result)
        assert "3 of 8 candidates, word-overlap" in lines[-1]

    def test_html_and_rich_show_document_text_as_text(self, scorer):
        from rich.console import Console

        evil = [Document("<script>alert(1)</script> [bold]low[/bold] rank", id="<b>")] * 1
        with pytest.warns(RerankWarning):
            result = over(RunnableLambda(lambda query: evil), scorer).search(QUERY)
        assert "<script>" not in result._repr_html_()
        assert "&lt;script&gt;" in result._repr_html_()
        console = Console(record=True, width=120)
        with console.capture() as capture:
            console.print(result)
        assert "[bold]low[/bold]" in capture.get()

    def test_a_result_is_plain_data_for_json(self, documents, scorer):
        import json

        odd = [documents[0].model_copy(update={"metadata": {"when": {1, 2}, "n": [None]}})] * 1
        with pytest.warns(RerankWarning):
            result = over(RunnableLambda(lambda query: odd), scorer).search(QUERY)
        data = json.loads(json.dumps(result.to_dict()))
        assert data["documents"][0]["metadata"]["when"] == "{1, 2}"
        assert data["documents"][0]["id"] == "d0"


class TestBatch:
    def test_a_batch_gives_what_single_calls_give(self, store, scorer):
        retriever = over(store.as_retriever(), scorer)
        queries = [QUERY, "vector database", "language model prompt"]
        assert retriever.batch(queries) == [retriever.invoke(query) for query in queries]
        assert asyncio.run(retriever.abatch(queries)) == retriever.batch(queries)

    def test_one_bad_query_loses_none_of_the_others(self, store, scorer):
        retriever = over(store.as_retriever(), scorer)
        good, bad, other = retriever.batch([QUERY, " ", "vector"], return_exceptions=True)
        assert isinstance(bad, InputError)
        assert len(good) == len(other) == 5


class TestUntouched:
    def test_stored_documents_and_base_stay_as_they_are(self, documents, scorer):
        base = BM25Retriever.from_documents(documents, k=3)
        before = copy.deepcopy(documents)
        first = base.invoke(QUERY)
        retriever = over(base, scorer, first_stage_k=8)
        retriever.invoke(QUERY)
        retriever.invoke(QUERY, top_n=1, score_threshold=0.1)
        assert documents == before
        assert base.k == 3
        assert base.invoke(QUERY) == first
        assert all("relevance_score" not in d.metadata for d in first)


class TestBadInput:
    def test_a_base_that_is_no_retriever_is_refused(self, scorer):
        with pytest.raises(ValueError, match="base_retriever must be"):
            over(["a document"], scorer)

    def test_a_function_is_a_base(self, documents, scorer):
        assert len(over(lambda query: documents, scorer).invoke(QUERY)) == 5

    def test_a_base_that_returns_no_documents_is_refused(self, scorer):
        with pytest.raises(InputTypeError, match="got dict"):
            over(lambda query: {"documents": []}, scorer).invoke(QUERY)

    @pytest.mark.parametrize("series", [tuple, iter, lambda found: (one for one in found)])
    def test_a_base_may_return_any_series_of_documents(self, scorer, series):
        given = [Document("weights", id="a"), Document("ranks", id="b")]
        found = over(lambda query: series(given), scorer, top_n=None).invoke(QUERY)
        assert sorted(ids(found)) == ["a", "b"]

    @pytest.mark.parametrize("answer", [None, "text", ["text"], Document("alone")])
    def test_whatever_is_no_series_of_documents_is_refused(self, scorer, answer):
        with pytest.raises(InputTypeError, match="must return a list of documents, got"):
            over(lambda query: answer, scorer).invoke(QUERY)

    @pytest.mark.parametrize(("query", "error"), [("", InputError), (7, InputTypeError)])
    def test_a_query_without_words_never_reaches_the_base(self, scorer, query, error):
        def unreachable(query):
            raise AssertionError(query)

        with pytest.raises(error, match="query"):
            over(unreachable, scorer).invoke(query)

    def test_an_error_of_the_base_stays_its_own(self, scorer):
        def broken(query):
            raise ScorerUnavailableError("The index is away.")

        with pytest.raises(ScorerUnavailableError, match="index is away"):
            over(broken, scorer, on_error="first_stage").invoke(QUERY)

    def test_an_unknown_setting_is_an_error(self, store, scorer):
        with pytest.raises(ValueError, match="first_stage_depth"):
            over(store.as_retriever(), scorer, first_stage_depth=50)

    def test_no_documents_found_is_an_empty_list(self):
        retriever = CrossEncoderRerankRetriever(base_retriever=lambda query: [], model="no/such")
        assert retriever.invoke(QUERY) == []
        assert not retriever.scorer.loaded
