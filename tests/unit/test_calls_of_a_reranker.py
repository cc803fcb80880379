"""What one call may change, a chain's config, and warming up."""

import asyncio

import numpy as np
import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.documents import Document
from langchain_core.runnables import (
    ConfigurableField,
    ConfigurableFieldSingleOption,
    RunnableLambda,
    RunnablePassthrough,
)

from langchain_rerank import CrossEncoderReranker, CrossEncoderRerankRetriever
from langchain_rerank.errors import ConfigurationError, ScorerError
from langchain_rerank.testing import CountingScorer, WordOverlapScorer

DOCUMENTS = [Document(f"cats {'sleep ' * n}", id=str(n)) for n in range(6)]


def reranker(**settings):
    return CrossEncoderReranker(model=WordOverlapScorer(), **settings)


def ids(documents):
    return [document.id for document in documents]


async def test_a_compressor_takes_top_n_and_threshold_for_one_call():
    one = reranker(top_n=2)
    for settings, expected in (
        ({}, 2),
        ({"top_n": 3}, 3),
        ({"top_n": np.int64(1)}, 1),
        ({"top_n": None}, 6),
        ({"top_n": None, "score_threshold": 2.0}, 0),
    ):
        found = one.compress_documents(DOCUMENTS, "cats sleep", **settings)
        assert len(found) == expected
        assert ids(await one.acompress_documents(DOCUMENTS, "cats sleep", **settings)) == ids(found)
        assert ids(one.rerank(DOCUMENTS, "cats sleep", **settings).documents) == ids(found)
    assert (one.top_n, one.score_threshold) == (2, None)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"top_n": 0}, "top_n=0"),
        ({"top_n": True}, "top_n=True"),
        ({"top_n": "3"}, "top_n='3'"),
        ({"score_threshold": "high"}, "score_threshold"),
        ({"score_threshold": float("nan")}, "score_threshold"),
        ({"topn": 3}, "topn cannot be set in a call; top_n and score_threshold can"),
        ({"first_stage_weight": 0.1}, "first_stage_weight cannot be set in a call"),
    ],
)
async def test_what_one_call_cannot_have_is_refused(settings, words):
    one = reranker()
    with pytest.raises(ConfigurationError, match=words):
        one.compress_documents(DOCUMENTS, "cats", **settings)
    with pytest.raises(ConfigurationError, match=words):
        await one.acompress_documents(DOCUMENTS, "cats", **settings)


async def test_a_chains_config_sets_what_was_made_configurable():
    compressor = reranker(top_n=1).configurable_fields(
        top_n=ConfigurableField(id="n"), score_threshold=ConfigurableField(id="least")
    )
    retriever = ContextualCompressionRetriever(
        base_compressor=compressor, base_retriever=RunnableLambda(lambda _: DOCUMENTS)
    )
    chain = RunnablePassthrough() | retriever
    assert len(retriever.invoke("cats sleep")) == 1
    for configurable, expected in (({}, 1), ({"n": 3}, 3), ({"n": None, "least": 9.0}, 0)):
        config = {"configurable": configurable}
        assert len(chain.invoke("cats sleep", config)) == expected
        assert len(await chain.ainvoke("cats sleep", config)) == expected
        assert len(chain.with_config(config).invoke("cats sleep")) == expected
    with pytest.raises(ValueError, match="top_n=0"):
        chain.invoke("cats", {"configurable": {"n": 0}})
    assert len(chain.invoke("cats sleep")) == 1


async def test_calls_at_the_same_time_have_their_own_config():
    compressor = reranker().configurable_fields(top_n=ConfigurableField(id="n"))
    chain = RunnablePassthrough() | ContextualCompressionRetriever(
        base_compressor=compressor, base_retriever=RunnableLambda(lambda _: DOCUMENTS)
    )
    found = await asyncio.gather(
        *(chain.ainvoke("cats", {"configurable": {"n": n % 6 + 1}}) for n in range(24))
    )
    assert [len(one) for one in found] == [n % 6 + 1 for n in range(24)]


def test_a_configured_compressor_shares_the_model():
    scorer = CountingScorer(WordOverlapScorer())
    compressor = CrossEncoderReranker(model=scorer).configurable_fields(
        top_n=ConfigurableField(id="n")
    )
    chain = RunnablePassthrough() | RunnableLambda(
        lambda query: compressor.compress_documents(DOCUMENTS, query)
    )
    assert len(chain.invoke("cats", {"configurable": {"n": 2}})) == 2
    assert compressor.reranker.top_n == 5
    assert len(scorer.texts) == len(DOCUMENTS)


def test_a_setting_that_there_is_not_cannot_be_made_configurable():
    with pytest.raises(ConfigurationError, match="has no setting topn; it has model"):
        reranker().configurable_fields(topn=ConfigurableField(id="n"))


def test_langchains_own_options_swap_the_compressor_of_a_direct_call():
    retriever = ContextualCompressionRetriever(
        base_compressor=reranker(top_n=1), base_retriever=RunnableLambda(lambda _: DOCUMENTS)
    ).configurable_fields(
        base_compressor=ConfigurableFieldSingleOption(
            id="shown",
            options={"few": reranker(top_n=1), "more": reranker(top_n=4)},
            default="few",
        )
    )
    assert len(retriever.invoke("cats")) == 1
    assert len(retriever.invoke("cats", {"configurable": {"shown": "more"}})) == 4


async def test_warming_up_scores_one_short_text_and_asks_no_first_stage():
    scorer = CountingScorer(WordOverlapScorer())

    def refused(_):
        raise AssertionError("the first stage was asked")

    for one in (
        CrossEncoderReranker(model=scorer),
        CrossEncoderRerankRetriever(base_retriever=refused, model=scorer),
    ):
        before = len(scorer.texts)
        one.warm_up()
        await one.awarm_up()
        assert len(scorer.texts) == before + 2


async def test_warming_up_forgives_nothing():
    class Broken:
        name = "broken"

        def score(self, query, texts):
            raise ValueError("no such device")

    one = CrossEncoderReranker(model=Broken(), on_error="first_stage")
    with pytest.raises(ScorerError, match="broken failed: ValueError: no such device"):
        one.warm_up()
    with pytest.raises(ScorerError, match="no such device"):
        await one.awarm_up()


def test_warming_up_loads_the_model_that_the_first_query_then_finds():
    with CrossEncoderReranker(model="embedded", device="cpu") as one:
        one.warm_up()
        engine = one.scorer._engine
        assert engine is not None
        one.compress_documents(DOCUMENTS, "cats")
        assert one.scorer._engine is engine


def chunks(*keys):
    return [
        Document(f"cats {place}", id=f"copy-{place}", metadata={} if key is None else {"isbn": key})
        for place, key in enumerate(keys)
    ]


def test_id_key_tells_documents_apart_in_place_of_their_ids():
    documents = chunks("a", "b", "a", None, ["x"], ["x"], None, 5, "5")
    kept = reranker(top_n=None, id_key="isbn").compress_documents(documents, "cats")
    assert sorted(ids(kept)) == [f"copy-{n}" for n in (0, 1, 3, 4, 6, 7, 8)]
    assert len(reranker(top_n=None).compress_documents(documents, "cats")) == len(documents)
    retriever = CrossEncoderRerankRetriever(
        base_retriever=lambda _: documents, model=WordOverlapScorer(), id_key="isbn", top_n=None
    )
    assert ids(retriever.invoke("cats")) == ids(kept)


def test_documents_without_the_key_are_told_apart_by_their_ids():
    same = [Document("cats", id="1", metadata={"isbn": "a"}), *[Document("cats", id="2")] * 2]
    assert len(reranker(top_n=None, id_key="isbn").compress_documents(same, "cats")) == 2


def test_a_key_that_no_document_has_is_said_once():
    one = reranker(id_key="isnb")
    with pytest.warns(UserWarning, match="id_key has 'isnb'.*nearest key is 'isbn'"):
        one.compress_documents(chunks("a", "b"), "cats")
    one.compress_documents(chunks("a", "b"), "cats")


@pytest.mark.parametrize("deduplicate", ["text", "off"])
def test_a_key_that_nothing_would_read_is_refused(deduplicate):
    with pytest.raises(ValueError, match="id_key='isbn' says which"):
        reranker(id_key="isbn", deduplicate=deduplicate)
