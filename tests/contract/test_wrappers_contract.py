"""Every wrapper and every stack of wrappers keeps the scorer contract."""

from __future__ import annotations

import pytest

from langchain_rerank.errors import ScorerUnavailableError
from langchain_rerank.testing import (
    CountingScorer,
    ScorerContract,
    WordOverlapScorer,
    check_scorer,
)
from langchain_rerank.wrappers import (
    CachedScorer,
    CascadeScorer,
    FallbackScorer,
    LongDocumentScorer,
    MixedScorer,
    ShardedScorer,
)


class Letters:
    """A bi-encoder that counts letters."""

    def embed_query(self, text):
        return [float(text.lower().count(letter)) for letter in "abcdefghijklmnopqrstuvwxyz"]

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]


class Down:
    def score(self, query, texts):
        raise ScorerUnavailableError("no answer")


def _long(scorer, aggregate="max"):
    return LongDocumentScorer(scorer, passage_words=5, overlap_words=2, aggregate=aggregate)


STACKS = {
    "word overlap": lambda path: WordOverlapScorer(),
    "counting": lambda path: CountingScorer(WordOverlapScorer()),
    "cached": lambda path: CachedScorer(WordOverlapScorer()),
    "cached, tiny": lambda path: CachedScorer(WordOverlapScorer(), max_entries=2),
    "cached on disk": lambda path: CachedScorer(WordOverlapScorer(), path=path),
    "long, max": lambda path: _long(WordOverlapScorer()),
    "long, first": lambda path: _long(WordOverlapScorer(), "first"),
    "long, mean": lambda path: _long(WordOverlapScorer(), "mean"),
    "cascade": lambda path: CascadeScorer(WordOverlapScorer(), _long(WordOverlapScorer()), keep=3),
    "fallback": lambda path: FallbackScorer(WordOverlapScorer(), Down()),
    "fallback, fallen": lambda path: FallbackScorer(Down(), WordOverlapScorer()),
    "long over cached on disk": lambda path: _long(CachedScorer(WordOverlapScorer(), path=path)),
    "cached on disk over long": lambda path: CachedScorer(_long(WordOverlapScorer()), path=path),
    "sharded": lambda path: ShardedScorer(WordOverlapScorer(), WordOverlapScorer()),
    "sharded over long": lambda path: ShardedScorer(*[_long(WordOverlapScorer())] * 3),
    "mixed": lambda path: MixedScorer(WordOverlapScorer(), Letters(), weight=0.3),
    "mixed over cached": lambda path: MixedScorer(
        CachedScorer(WordOverlapScorer(), path=path), Letters()
    ),
    "everything": lambda path: FallbackScorer(
        Down(),
        CascadeScorer(
            CachedScorer(WordOverlapScorer(), path=path),
            CachedScorer(_long(CountingScorer(WordOverlapScorer()), "mean"), path=path),
            keep=4,
        ),
    ),
}


class TestWrapperStacks(ScorerContract):
    @pytest.fixture(params=STACKS)
    def scorer(self, request, tmp_path):
        scorer = STACKS[request.param](tmp_path / "scores.db")
        yield scorer
        getattr(scorer, "close", lambda: None)()


@pytest.mark.parametrize("stack", STACKS)
def test_the_plain_function_agrees(stack, tmp_path):
    check_scorer(lambda: STACKS[stack](tmp_path / "scores.db"))
