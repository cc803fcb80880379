"""Scores and texts of every kind that Python allows: taken right, or refused with what to do."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import fractions
import pickle
import sqlite3
from contextlib import closing
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from langchain_rerank.errors import ConfigurationError, InputTypeError, ScorerContractError
from langchain_rerank.scorers import contract
from langchain_rerank.testing import CountingScorer, WordOverlapScorer
from langchain_rerank.wrappers import CachedScorer, CascadeScorer, LongDocumentScorer, ShardedScorer


class Giving:
    def __init__(self, scores):
        self.scores = scores

    def score(self, query, texts):
        return self.scores


@pytest.mark.parametrize(
    "scores",
    [
        [1, 2.5],
        (1, 2.5),
        np.array([1, 2.5]),
        np.array([1, 2.5], dtype=np.float16),
        [np.float32(1), np.int64(2) + 0.5],
        torch.tensor([1, 2.5]),
        torch.tensor([1, 2.5], dtype=torch.bfloat16),
        [Decimal(1), fractions.Fraction(5, 2)],
        pd.Series([1, 2.5], index=[7, 3]),
        iter([1, 2.5]),
    ],
)
def test_real_numbers_in_order_are_scores(scores):
    found = contract.score(Giving(scores), "q", ["a", "b"])
    assert found == [1.0, 2.5]
    assert {type(score) for score in found} == {float}


@pytest.mark.parametrize(
    "scores",
    [
        "12",
        b"12",
        bytearray(b"12"),
        {0: 1.0, 1: 2.0},
        {1.0, 2.0},
        frozenset({1.0, 2.0}),
        ["1", "2"],
        [True, False],
        [np.bool_(True), 1.0],
        torch.tensor([True, False]),
        [1.0, None],
        [1.0, 1j],
        [[1.0], [2.0]],
        np.array([[1.0], [2.0]]),
        [1.0, 10**400],
        [1.0, 10**5000],
        None,
        1.5,
    ],
)
def test_what_is_no_list_of_real_numbers_breaks_the_contract(scores):
    with pytest.raises(ScorerContractError, match="one number per text"):
        contract.score(Giving(scores), "q", ["a", "b"])


@pytest.mark.parametrize(
    "answer", [[1.0], contract.Scores([1.0]), None], ids=["list", "scores", "none"]
)
def test_an_ascore_that_is_no_coroutine_is_named(answer):
    class AtOnce(Giving):
        def ascore(self, query, texts):
            return answer

    with pytest.raises(ScorerContractError, match="it must be a coroutine"):
        asyncio.run(contract.ascore(AtOnce([1.0]), "q", ["a"]))


SCORERS = [
    WordOverlapScorer(),
    CachedScorer(WordOverlapScorer()),
    LongDocumentScorer(WordOverlapScorer()),
    ShardedScorer(WordOverlapScorer(), WordOverlapScorer()),
    CascadeScorer(WordOverlapScorer(), WordOverlapScorer()),
]


@pytest.mark.parametrize("scorer", SCORERS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize(
    "texts",
    [
        np.array(["a fox", "a hen"]),
        pd.Series(["a fox", "a hen"], index=[4, 2]),
        pd.array(["a fox", "a hen"], dtype="string"),
        ("a fox", "a hen"),
        [np.str_("a fox"), "a hen"],
    ],
    ids=lambda texts: type(texts).__name__,
)
def test_texts_may_come_in_any_ordered_collection(scorer, texts):
    assert contract.score(scorer, "fox", texts) == scorer.score("fox", ["a fox", "a hen"])
    assert scorer.score("fox", texts)[0] == 1.0
    assert scorer.score("fox", texts[:0]) == []


@pytest.mark.parametrize(
    "texts", [{"a": 1}, {"a", "b"}, "text", b"text", 5, None], ids=lambda one: type(one).__name__
)
@pytest.mark.parametrize("scorer", SCORERS, ids=lambda one: type(one).__name__)
def test_what_has_no_order_of_texts_is_refused(scorer, texts):
    with pytest.raises(InputTypeError, match="texts must be a sequence"):
        scorer.score("q", texts)


@pytest.mark.parametrize("setting", [True, np.bool_(True), 1.5, "3", 0, -1, None])
def test_counts_of_wrappers_are_whole_numbers(setting):
    for make in (
        lambda: CachedScorer(WordOverlapScorer(), max_entries=setting),
        lambda: CascadeScorer(WordOverlapScorer(), WordOverlapScorer(), keep=setting),
        lambda: LongDocumentScorer(WordOverlapScorer(), passage_words=setting),
    ):
        with pytest.raises(ConfigurationError, match="must be a whole number of at least 1"):
            make()


TENANT = contextvars.ContextVar("tenant", default="none")


class OfTenant:
    """Scores by what the context says, as a multi-tenant service's scorer does."""

    def score(self, query, texts):
        return [float(TENANT.get() == "acme")] * len(texts)


def test_a_sharded_call_keeps_the_callers_context_on_every_copy():
    sharded = ShardedScorer(OfTenant(), OfTenant())
    TENANT.set("acme")
    assert sharded.score("q", ["text"] * 400) == [1.0] * 400


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_sharded_scorer_can_be_copied_and_pickled(copied):
    again = copied(ShardedScorer(WordOverlapScorer(), WordOverlapScorer()))
    assert len(again.scorers) == 2
    assert again.score("fox", ["a fox"] * 300) == [1.0] * 300


def test_a_full_disk_costs_one_warning_and_no_score(tmp_path, monkeypatch, caplog):
    cached = CachedScorer(WordOverlapScorer(), path=tmp_path / "scores.db")

    def full(entries):
        with cached._disk._errors():
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(cached._disk, "put", full)
    assert cached.score("fox", ["a fox", "a hen"]) == [1.0, 0.0]
    assert cached.score("fox", ["a cow"]) == [0.0]
    assert caplog.text.count("disk is full") == 1
    cached.close()


def test_a_changed_bit_in_the_file_costs_time_and_no_wrong_score(tmp_path):
    path = tmp_path / "scores.db"
    with closing(CachedScorer(WordOverlapScorer(), path=path)) as cached:
        cached.score("fox", ["a fox", "a hen"])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE scores SET score = 0.25 WHERE score = 1.0")
    connection.close()
    counting = CountingScorer(WordOverlapScorer())
    for _ in range(2):  # The second time it is kept anew.
        with closing(CachedScorer(counting, path=path)) as cached:
            assert cached.score("fox", ["a fox", "a hen"]) == [1.0, 0.0]
    assert counting.texts == ["a fox"]


def test_a_cache_of_an_older_version_is_emptied_and_used(tmp_path, caplog):
    path = tmp_path / "scores.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE scores (key BLOB PRIMARY KEY, score REAL NOT NULL)")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    with closing(CachedScorer(WordOverlapScorer(), path=path)) as cached:
        assert cached.score("fox", ["a fox"]) == [1.0]
    assert "older version" in caplog.text
