"""Scorers and callbacks that do what they should not: nobody waits for ever, nothing is lost."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document

from langchain_rerank import CrossEncoderReranker
from langchain_rerank.errors import ScorerContractError, ScorerError
from langchain_rerank.scorers import contract
from langchain_rerank.testing import WordOverlapScorer
from langchain_rerank.wrappers import CachedScorer, CascadeScorer, FallbackScorer

DOCUMENTS = [Document("a hen", id="hen"), Document("red fox", id="fox")]


class Stopping:
    def score(self, query, texts):
        return [next(iter([]))]


class StoppingAtOnce(Stopping):
    def ascore(self, query, texts):
        return next(iter([]))


class StoppingWithMany(Stopping):
    def score_many(self, requests):
        return next(iter([]))


STOPPING = [Stopping(), StoppingAtOnce(), StoppingWithMany(), CachedScorer(Stopping())]


@pytest.mark.parametrize("timeout", [None, 30.0])
@pytest.mark.parametrize("scorer", STOPPING, ids=lambda one: type(one).__name__)
async def test_a_stop_iteration_of_a_scorer_ends_the_call(scorer, timeout):
    reranker = CrossEncoderReranker(model=scorer, timeout=timeout)
    with pytest.raises(ScorerContractError, match="raised StopIteration"):
        reranker.compress_documents(DOCUMENTS, "red fox")
    # Without a deadline of its own it was awaited for ever.
    asked = reranker.acompress_documents(DOCUMENTS, "red fox")
    with pytest.raises(ScorerContractError, match="raised StopIteration"):
        await asyncio.wait_for(asked, 20)
    fallback = FallbackScorer(scorer, WordOverlapScorer())
    assert fallback.score_many([("red fox", ["a hen", "red fox"])] * 2) == [[0.0, 1.0]] * 2


class Emptying:
    """Takes the texts out of the list that it is given, and fails."""

    def score(self, query, texts):
        texts.clear()
        raise ScorerError("no")

    async def ascore(self, query, texts):
        self.score(query, texts)

    def score_many(self, requests):
        for request in requests:
            request[1].clear()
        requests.clear()
        raise ScorerError("no")


async def test_texts_that_a_scorer_takes_away_are_there_for_the_next():
    scorer, texts = FallbackScorer(Emptying(), WordOverlapScorer()), ["a hen", "red fox"]
    assert scorer.score("red fox", texts) == [0.0, 1.0]
    assert await scorer.ascore("red fox", texts) == [0.0, 1.0]
    assert scorer.score_many([("red fox", texts)] * 2) == [[0.0, 1.0]] * 2
    assert texts == ["a hen", "red fox"]


def test_a_scorer_that_takes_texts_away_and_answers_has_too_few_scores():
    class Popping:
        def score(self, query, texts):
            texts.pop()
            return [1.0 for _ in texts]

    with pytest.raises(ScorerContractError, match="1 scores for 2 texts"):
        contract.score(Popping(), "q", ["a", "b"])
    with pytest.raises(ScorerContractError, match="1 scores for 2 texts"):
        CascadeScorer(Popping(), WordOverlapScorer(), keep=1).score("q", ["a", "b"])


class Redacting(BaseCallbackHandler):
    """Blanks what it is shown, in place."""

    def on_chain_start(self, serialized, inputs, **kwargs):
        inputs["query"] = "***"

    def on_chain_end(self, outputs, **kwargs):
        outputs["scores"][:] = [0.0] * len(outputs["scores"])
        outputs.clear()


async def test_a_callback_that_changes_what_it_is_shown_changes_no_score():
    reranker = CrossEncoderReranker(model=WordOverlapScorer())
    for found in (
        reranker.compress_documents(DOCUMENTS, "red fox", [Redacting()]),
        await reranker.acompress_documents(DOCUMENTS, "red fox", [Redacting()]),
    ):
        assert [(one.id, one.metadata["relevance_score"]) for one in found] == [
            ("fox", 1.0),
            ("hen", 0.0),
        ]
