"""The compressor: order, cuts, metadata, bad input, failure."""

from __future__ import annotations

import copy
import json
import logging
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import Document

from langchain_rerank import CrossEncoderReranker, RerankError
from langchain_rerank.errors import (
    ConfigurationError,
    DataFileError,
    InputError,
    InputTypeError,
    ScorerContractError,
    ScorerUnavailableError,
)
from langchain_rerank.testing import CountingScorer, WordOverlapScorer

QUERY = "What is QLoRA over four bits?"


class Table:
    """Scores each text by a table; a text that is not in it fails."""

    def __init__(self, scores):
        self.scores = scores

    def score(self, query, texts):
        return [self.scores[text] for text in texts]


def table(*scores):
    documents = [Document(f"text {number}", id=f"t{number}") for number in range(len(scores))]
    model = Table({d.page_content: s for d, s in zip(documents, scores, strict=True)})
    return documents, model


def ids(documents):
    return [document.id for document in documents]


def test_the_most_relevant_documents_come_first(documents, scorer):
    kept = CrossEncoderReranker(model=scorer, top_n=2).compress_documents(documents, QUERY)
    assert ids(kept) == ["d4", "d1"]


async def test_async_gives_what_sync_gives(documents, scorer):
    reranker = CrossEncoderReranker(model=scorer)
    assert await reranker.acompress_documents(documents, QUERY) == reranker.compress_documents(
        documents, QUERY
    )


def test_returned_documents_carry_score_and_ranks_as_plain_numbers(documents, scorer):
    best = CrossEncoderReranker(model=scorer, top_n=1).compress_documents(documents, QUERY)[0]
    assert best.id == "d4"
    assert best.metadata == {
        "source": "4.md",
        "nested": {"n": [1]},
        "relevance_score": pytest.approx(4 / 6),
        "first_stage_rank": 5,
        "rerank_rank": 1,
    }
    assert type(best.metadata["relevance_score"]) is float
    assert json.loads(json.dumps(best.metadata)) == best.metadata


def test_inputs_stay_as_they_are(documents, scorer):
    before = copy.deepcopy(documents)
    kept = CrossEncoderReranker(model=scorer).compress_documents(documents, QUERY)
    assert documents == before
    assert all(document is not original for document in kept for original in documents)


def test_subclasses_of_document_keep_their_type(scorer):
    class Page(Document):
        number: int = 0

    kept = CrossEncoderReranker(model=scorer).compress_documents([Page("x", number=7)], QUERY)
    assert type(kept[0]) is Page
    assert kept[0].number == 7


def test_ties_keep_first_stage_order():
    documents, model = table(0.5, 0.7, 0.5, 0.7)
    kept = CrossEncoderReranker(model=model).compress_documents(documents, QUERY)
    assert ids(kept) == ["t1", "t3", "t0", "t2"]


def test_top_n_none_returns_all(documents, scorer):
    reranker = CrossEncoderReranker(model=scorer, top_n=None)
    assert len(reranker.compress_documents(documents, QUERY)) == len(documents)


@pytest.mark.parametrize("top_n", [0, -1, True, 2.5, "three"])
def test_an_impossible_top_n_is_refused_with_what_to_do(scorer, top_n):
    with pytest.raises(ValueError, match="top_n"):
        CrossEncoderReranker(model=scorer, top_n=top_n)


@pytest.mark.parametrize(
    ("threshold", "kept"),
    [(0.0, ["t2", "t1"]), (-2.0, ["t2", "t1", "t0"]), (2.0, ["t2"]), (3.0, [])],
)
def test_the_threshold_is_inclusive_and_zero_and_negative_work(threshold, kept):
    documents, model = table(-2.0, 0.0, 2.0)
    reranker = CrossEncoderReranker(model=model, score_threshold=threshold)
    assert ids(reranker.compress_documents(documents, QUERY)) == kept


def test_no_candidates_give_no_documents_and_ask_no_model():
    reranker = CrossEncoderReranker(model="no/such-model")
    assert reranker.compress_documents([], QUERY) == []
    assert not reranker.scorer.loaded


def test_metadata_fields_are_read_before_the_text(scorer):
    counting = CountingScorer(scorer)
    titled = [Document("text", metadata={"title": "QLoRA", "year": 2023}), Document("other")]
    reranker = CrossEncoderReranker(model=counting, metadata_fields=["title", "year"])
    kept = reranker.compress_documents(titled, "QLoRA")
    assert counting.texts == ["QLoRA\n2023\ntext", "other"]
    assert kept[0].page_content == "text"


@pytest.mark.parametrize(
    ("by", "expected"), [("id", ["a", "b", None]), ("text", ["a", "a"]), ("off", 6)]
)
def test_duplicates_are_removed_by_id_by_text_or_not_at_all(by, expected):
    documents = [
        Document("one", id="a"),
        Document("one", id="b"),
        Document("two", id="a"),
        Document("one"),
        Document("two"),
        Document("one", id="b"),
    ]
    model = Table({"one": 1.0, "two": 0.5})
    kept = CrossEncoderReranker(model=model, deduplicate=by, top_n=None).compress_documents(
        documents, QUERY
    )
    assert len(kept) == expected if by == "off" else ids(kept) == expected


def test_more_than_max_candidates_is_an_error_that_names_the_setting(documents, scorer):
    reranker = CrossEncoderReranker(model=scorer, max_candidates=3)
    with pytest.raises(InputError, match="8 candidates are more than max_candidates=3"):
        reranker.compress_documents(documents, QUERY)


@pytest.mark.parametrize("query", ["", "  \n\t"])
def test_an_empty_query_is_refused(documents, scorer, query):
    with pytest.raises(InputError, match="nothing to rank by"):
        CrossEncoderReranker(model=scorer).compress_documents(documents, query)


@pytest.mark.parametrize("query", [None, 3, ["a"], b"bytes"])
def test_a_query_that_is_no_string_is_refused(documents, scorer, query):
    with pytest.raises(InputTypeError, match="must be a string"):
        CrossEncoderReranker(model=scorer).compress_documents(documents, query)


def test_a_text_that_is_no_string_is_refused_even_where_failures_are_tolerated(scorer):
    broken = Document.model_construct(page_content=5, metadata={}, id=None)
    reranker = CrossEncoderReranker(model=scorer, on_error="first_stage")
    with pytest.raises(InputTypeError, match=r"convert it to a string|must be a string"):
        reranker.compress_documents([broken], QUERY)


def test_candidates_that_are_no_documents_are_refused(scorer):
    with pytest.raises(InputTypeError, match="must be a LangChain Document, got str"):
        CrossEncoderReranker(model=scorer).compress_documents(["text"], QUERY)


def test_an_unknown_argument_is_an_error(scorer):
    with pytest.raises(ValueError, match="top_k"):
        CrossEncoderReranker(model=scorer, top_k=3)


def test_an_impossible_model_is_refused_at_once():
    with pytest.raises(ValueError, match="model must be a model name"):
        CrossEncoderReranker(model=42)


def test_load_settings_for_a_loaded_model_are_refused_not_ignored(scorer):
    with pytest.raises(ValueError, match="device, dtype cannot be applied to a WordOverlapScorer"):
        CrossEncoderReranker(model=scorer, device="cuda", dtype="float32")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.1], "returned 1 scores for 2 texts"),
        ([0.1, float("nan")], "must be finite"),
        (None, "returned None; a scorer returns one number"),
        (["high", "low"], "returned \\['high', 'low'\\]; a scorer returns one number"),
    ],
)
def test_a_scorer_that_breaks_its_contract_loses_no_document_silently(scores, message):
    class Broken:
        def score(self, query, texts):
            return scores

    with pytest.raises(ScorerContractError, match=message):
        CrossEncoderReranker(model=Broken()).compress_documents(
            [Document("a"), Document("b")], QUERY
        )


class Down:
    """A scorer whose server is away."""

    def __init__(self, error=None):
        self.error = error or ScorerUnavailableError("The server is away.")

    def score(self, query, texts):
        raise self.error


def test_a_failing_scorer_raises_its_own_error_by_default(documents):
    with pytest.raises(ScorerUnavailableError, match="away"):
        CrossEncoderReranker(model=Down()).compress_documents(documents, QUERY)


@pytest.mark.parametrize("error", [None, RuntimeError("CUDA error"), KeyError("bug")])
def test_a_failing_scorer_can_leave_the_first_stages_order(documents, caplog, error):
    reranker = CrossEncoderReranker(model=Down(error), on_error="first_stage", top_n=2)
    stale = [d.model_copy(update={"metadata": {"relevance_score": 0.9}}) for d in documents]
    with caplog.at_level(logging.WARNING, logger="langchain_rerank"):
        result = reranker.rerank(stale, QUERY)
    assert ids(result.documents) == ["d0", "d1"]
    assert [d.metadata for d in result.documents] == [
        {"first_stage_rank": 1},
        {"first_stage_rank": 2},
    ]
    assert result.error is not None
    assert "NOT reranked" in str(result)
    assert "failed; returning the first stage's order" in caplog.text
    assert caplog.records[0].exc_info, "the traceback keeps a bug visible"


def test_an_earlier_rerankings_score_does_not_survive(documents, scorer):
    stale = [documents[0].model_copy(update={"metadata": {"relevance_score": 9, "rerank_rank": 7}})]
    kept = CrossEncoderReranker(model=scorer).compress_documents(stale, QUERY)
    assert kept[0].metadata == {"relevance_score": 0.0, "first_stage_rank": 1, "rerank_rank": 1}


def test_a_langchain_cross_encoder_is_a_model(documents):
    class Pairs(BaseCrossEncoder):
        def score(self, text_pairs):
            return [float("QLoRA" in text) for _, text in text_pairs]

    kept = CrossEncoderReranker(model=Pairs(), top_n=1).compress_documents(documents, QUERY)
    assert ids(kept) == ["d4"]


class TestInterpolation:
    def test_the_weight_moves_the_order_from_the_reranker_to_the_first_stage(self):
        documents, model = table(0.0, 0.1, 1.0)
        orders = {
            weight: ids(
                CrossEncoderReranker(model=model, first_stage_weight=weight).compress_documents(
                    documents, QUERY
                )
            )
            for weight in (0.0, 0.5, 1.0)
        }
        assert orders[0.0] == ["t2", "t1", "t0"]
        assert orders[0.5] == ["t0", "t2", "t1"]
        assert orders[1.0] == ["t0", "t1", "t2"]

    def test_scores_of_the_first_stage_are_used_where_all_are_known(self):
        documents, model = table(0.0, 0.0)
        scored = [
            d.model_copy(update={"metadata": {"first_stage_score": s}})
            for d, s in zip(documents, [0.9, 0.1], strict=True)
        ]
        kept = CrossEncoderReranker(model=model, first_stage_weight=0.5).compress_documents(
            scored, QUERY
        )
        assert ids(kept) == ["t0", "t1"]
        assert [d.metadata["interpolated_score"] for d in kept] == [0.5, -0.5]
        assert [d.metadata["first_stage_score"] for d in kept] == [0.9, 0.1]
        assert [d.metadata["relevance_score"] for d in kept] == [0.0, 0.0]

    @pytest.mark.parametrize(
        "given", [[0.1, 0.9], [0.9, math.nan], [math.inf, 0.1], [0.9, "high"], [0.9, np.ones(2)]]
    )
    def test_scores_that_did_not_make_the_order_are_not_used(self, given):
        documents, model = table(0.0, 0.0)
        scored = [
            d.model_copy(update={"metadata": {"first_stage_score": s}})
            for d, s in zip(documents, given, strict=True)
        ]
        reranker = CrossEncoderReranker(model=model, first_stage_weight=1.0)
        kept = reranker.compress_documents(scored, QUERY)
        assert ids(kept) == ["t0", "t1"]
        by_rank = reranker.compress_documents(documents, QUERY)
        assert [d.metadata["interpolated_score"] for d in kept] == [
            d.metadata["interpolated_score"] for d in by_rank
        ]

    @pytest.mark.parametrize("weight", [-0.1, 1.1])
    def test_a_weight_outside_0_to_1_is_refused(self, scorer, weight):
        with pytest.raises(ValueError, match="first_stage_weight"):
            CrossEncoderReranker(model=scorer, first_stage_weight=weight)

    @given(st.lists(st.floats(-5, 5), min_size=1, max_size=8))
    def test_weight_0_is_the_rerankers_order_and_weight_1_the_first_stages(self, scores):
        documents, model = table(*scores)
        reranked = CrossEncoderReranker(model=model, top_n=None)
        first = CrossEncoderReranker(model=model, top_n=None, first_stage_weight=1.0)
        expected = sorted(range(len(scores)), key=lambda position: -scores[position])
        assert ids(reranked.compress_documents(documents, QUERY)) == [f"t{p}" for p in expected]
        assert ids(first.compress_documents(documents, QUERY)) == ids(documents)


class TestSettingsChangedLater:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("top_n", -1),
            ("score_threshold", math.nan),
            ("score_threshold", "0.1"),
            ("deduplicate", "none"),
            ("on_error", "typo"),
            ("metadata_fields", "title"),
        ],
    )
    def test_an_assignment_is_checked_like_the_constructor(self, scorer, name, value):
        reranker = CrossEncoderReranker(model=scorer)
        before = getattr(reranker, name)
        with pytest.raises(ValueError, match=name):
            setattr(reranker, name, value)
        assert getattr(reranker, name) == before
        with pytest.raises(ValueError, match=name):
            CrossEncoderReranker(model=scorer, **{name: value})

    @pytest.mark.parametrize(
        "setting",
        [
            {"top_n": -1},
            {"top_n": "3"},
            {"score_threshold": math.nan},
            {"first_stage_weight": 5},  # was mixed in, and ordered the documents
            {"max_candidates": "x"},
            {"deduplicate": "x"},
            {"on_error": "ignore"},
            {"timeout": -1},
            {"topn": 1},
            {"model": 7},
            {"id_key": "isbn", "deduplicate": "text"},
        ],
        ids=str,
    )
    def test_a_setting_of_a_copy_is_checked_like_the_constructor(self, scorer, setting):
        reranker = CrossEncoderReranker(model=scorer)
        before = dict(reranker.__dict__)
        with pytest.raises(ConfigurationError, match=r"\S"):
            reranker.model_copy(update=setting)
        assert reranker.__dict__ == before

    def test_settings_of_a_copy_are_checked_together_and_count(self, documents, scorer):
        reranker = CrossEncoderReranker(model=scorer, deduplicate="text")
        copied = reranker.model_copy(update={"id_key": "source", "deduplicate": "id", "top_n": 1})
        assert len(copied.compress_documents(documents, QUERY)) == 1
        assert (reranker.id_key, reranker.deduplicate, reranker.top_n) == (None, "text", 5)


class TestDuplicates:
    def test_a_document_without_an_id_found_twice_comes_back_once(self, scorer):
        found = [
            Document("QLoRA", metadata={"first_stage_score": 2.0, "page": [1]}),
            Document("QLoRA", metadata={"page": [1], "first_stage_score": 1.0}),
            Document("QLoRA", metadata={"page": [2]}),
            Document("LoRA", metadata={"page": [1]}),
        ]
        kept = CrossEncoderReranker(model=scorer).compress_documents(found, QUERY)
        pages = [(d.page_content, d.metadata["page"]) for d in kept]
        assert pages == [("QLoRA", [1]), ("QLoRA", [2]), ("LoRA", [1])]
        assert kept[0].metadata["first_stage_score"] == 2.0
        everything = CrossEncoderReranker(model=scorer, deduplicate="off")
        assert len(everything.compress_documents(found, QUERY)) == 4

    def test_a_generator_of_documents_loses_none(self, documents, scorer):
        reranker = CrossEncoderReranker(model=scorer, top_n=None)
        kept = reranker.compress_documents((d for d in documents), QUERY)
        assert kept == reranker.compress_documents(documents, QUERY)
        assert len(kept) == len(documents)


class TestTraces:
    def test_the_rerank_step_is_a_named_run_with_model_candidates_and_scores(
        self, documents, scorer
    ):
        seen = []

        class Handler(BaseCallbackHandler):
            def on_chain_start(self, serialized, inputs, **kwargs):
                seen.append((kwargs.get("name"), inputs))

            def on_chain_end(self, outputs, **kwargs):
                seen.append(outputs)

        CrossEncoderReranker(model=scorer).compress_documents(documents, QUERY, [Handler()])
        assert seen[0] == (
            "rerank",
            {"query": QUERY, "model": "word-overlap", "candidates": len(documents)},
        )
        assert len(seen[1]["scores"]) == len(documents)


class TestLife:
    def test_a_reranker_survives_pickle_and_deepcopy(self, documents):
        reranker = CrossEncoderReranker(model=WordOverlapScorer(), top_n=1)
        expected = reranker.compress_documents(documents, QUERY)
        for other in (pickle.loads(pickle.dumps(reranker)), copy.deepcopy(reranker)):
            assert other.compress_documents(documents, QUERY) == expected

    def test_closing_leaves_a_scorer_that_was_passed_in_open(self, documents, scorer):
        counting = CountingScorer(scorer)
        with CrossEncoderReranker(model=counting) as reranker:
            reranker.compress_documents(documents, QUERY)
        assert not counting.closed

    def test_closing_a_copy_leaves_the_original_loaded_until_it_is_closed_too(self, documents):
        reranker = CrossEncoderReranker(model="embedded", top_n=2)
        expected = reranker.compress_documents(documents, QUERY)
        copied = reranker.model_copy(update={"top_n": 1})
        assert copied.scorer is reranker.scorer
        copied.close()
        assert reranker.scorer.loaded
        assert reranker.compress_documents(documents, QUERY) == expected
        scorer = reranker.scorer
        reranker.close()
        assert not scorer.loaded
        assert copied.compress_documents(documents, QUERY) == expected[:1]
        copied.close()

    def test_a_copy_with_another_model_uses_it(self, documents, scorer):
        reranker = CrossEncoderReranker(model=scorer)
        reranker.compress_documents(documents, QUERY)
        other = reranker.model_copy(update={"model": Down()})
        with pytest.raises(ScorerUnavailableError):
            other.compress_documents(documents, QUERY)


def test_errors_survive_pickle():
    error = DataFileError("no header", path="data.csv", line=3)
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is DataFileError
        assert (str(again), again.path, again.line) == (str(error), error.path, 3)


def test_every_error_of_the_package_has_one_root():
    assert issubclass(ConfigurationError, RerankError)
    assert issubclass(InputError, RerankError)
    assert issubclass(ScorerContractError, RerankError)


def test_a_threshold_that_removes_everything_is_named_with_the_best_score(documents, scorer):
    result = CrossEncoderReranker(model=scorer, score_threshold=1.5).rerank(documents, QUERY)
    assert (result.documents, result.score_threshold) == ([], 1.5)
    best = max(scorer.score(QUERY, [document.page_content for document in documents]))
    assert result.best_score == best
    told = (
        f"{len(documents)} candidates, none reaches the threshold 1.5; the best scores {best:.3g}"
    )
    assert told in str(result)
    assert told in result._repr_html_()
    assert "Nothing found" not in str(result)
