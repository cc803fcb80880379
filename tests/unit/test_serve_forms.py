"""What the server reads and answers, without a server."""

from __future__ import annotations

import json

import pytest

from langchain_rerank.serve.forms import Limits, RefusedError, answer, read, sigmoid

LIMITS = Limits(body_bytes=1000, documents=3, characters=50, concurrent=2)


def asked(fields, path="/rerank"):
    return read(path, json.dumps(fields).encode(), LIMITS)


def answered(fields, logits, path="/rerank"):
    return answer(
        asked(fields, path), logits, activation=lambda xs: [10 * x for x in xs], name="tiny"
    )


def test_the_tei_form_gives_the_sigmoid_or_the_logit_best_first():
    fields = {"query": "q", "texts": ["a", "b", "c"]}
    assert answered(fields, [0.0, 2.0, -1.0]) == [
        {"index": 1, "score": sigmoid(2.0)},
        {"index": 0, "score": 0.5},
        {"index": 2, "score": sigmoid(-1.0)},
    ]
    raw = answered(fields | {"raw_scores": True, "return_text": True}, [0.0, 2.0, -1.0])
    assert raw[0] == {"index": 1, "score": 2.0, "text": "b"}


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_the_cohere_form_gives_predicts_number_and_nulls_are_absent_fields(path):
    fields = {
        "query": "q",
        "documents": ["a", {"text": "b"}],
        "top_n": None,
        "max_tokens_per_doc": None,
        "return_documents": None,
        "model": "m",
    }
    got = answered(fields, [1.0, 2.0], path)
    assert got["model"] == "m"
    assert got["results"] == [
        {"index": 1, "relevance_score": 20.0},
        {"index": 0, "relevance_score": 10.0},
    ]
    cut = answered(fields | {"top_n": 1, "return_documents": True}, [1.0, 2.0], path)
    assert cut["results"] == [{"index": 1, "relevance_score": 20.0, "document": {"text": "b"}}]


def test_equal_scores_keep_the_order_of_the_texts():
    got = answered({"query": "q", "texts": ["a", "b", "c"]}, [1.0, 1.0, 1.0])
    assert [one["index"] for one in got] == [0, 1, 2]


@pytest.mark.parametrize(
    ("fields", "status", "path"),
    [
        ([], 422, "/rerank"),
        ({}, 422, "/rerank"),
        ({"query": "q"}, 422, "/rerank"),
        ({"query": "q", "texts": ["a"], "documents": ["a"]}, 422, "/rerank"),
        ({"query": "q", "texts": ["a"]}, 422, "/v1/rerank"),
        ({"query": None, "texts": ["a"]}, 422, "/rerank"),
        ({"query": "q", "texts": "a"}, 422, "/rerank"),
        ({"query": "q", "texts": []}, 400, "/rerank"),
        ({"query": "q", "texts": [None]}, 422, "/rerank"),
        ({"query": "q", "texts": [{"text": "a"}]}, 422, "/rerank"),
        ({"query": "q", "documents": [{"content": "a"}]}, 422, "/rerank"),
        ({"query": "q", "texts": ["a"] * 4}, 422, "/rerank"),
        ({"query": "q", "texts": ["a" * 51]}, 413, "/rerank"),
        ({"query": "q" * 51, "texts": ["a"]}, 413, "/rerank"),
        ({"query": "q", "texts": ["a"], "raw_scores": "yes"}, 422, "/rerank"),
        ({"query": "q", "texts": ["a"], "raw_scores": []}, 422, "/rerank"),
        ({"query": "q", "texts": ["a"], "return_text": {}}, 422, "/rerank"),
        ({"query": "q", "texts": ["a"], "truncate": "no"}, 422, "/rerank"),
        ({"query": "q", "texts": ["a"], "truncation_direction": "Left"}, 422, "/rerank"),
        ({"query": "q", "texts": None, "documents": None}, 422, "/rerank"),
        ({"query": "q", "documents": ["a"], "return_documents": 1}, 422, "/rerank"),
        ({"query": "q", "documents": ["a"], "top_n": 0}, 422, "/rerank"),
        ({"query": "q", "documents": ["a"], "top_n": 1.0}, 422, "/rerank"),
        ({"query": "q", "documents": ["a"], "top_n": [1]}, 422, "/rerank"),
        ({"query": "q", "documents": ["a"], "top_n": True}, 422, "/rerank"),
        ({"query": "q", "documents": ["a"], "max_tokens_per_doc": -1}, 422, "/rerank"),
        ({"query": "q", "documents": ["a"], "max_tokens_per_doc": "many"}, 422, "/rerank"),
        ({"query": "q", "documents": ["a"], "max_chunks_per_doc": 0}, 422, "/v1/rerank"),
        ({"query": "q", "documents": [{"a": "b"}], "rank_fields": ["a", "c"]}, 422, "/v1/rerank"),
        ({"query": "q", "documents": [{"a": 1}], "rank_fields": ["a"]}, 422, "/v1/rerank"),
        ({"query": "q", "documents": [{"a": "b"}], "rank_fields": "a"}, 422, "/v1/rerank"),
        ({"query": "q", "documents": ["a"], "rank_fields": []}, 422, "/v1/rerank"),
        ({"query": "q", "documents": ["a"], "truncation": "END"}, 422, "/v1/rerank"),
    ],
)
def test_what_is_malformed_or_beyond_a_limit_is_refused_without_quoting_a_text(
    fields, status, path
):
    with pytest.raises(RefusedError) as caught:
        asked(fields, path)
    assert caught.value.status == status
    assert "aaa" not in str(caught.value)
    assert "qqq" not in str(caught.value)


def test_a_null_stands_for_an_absent_field_whatever_its_name():
    nulls = dict.fromkeys(
        ["truncate", "truncation_direction", "raw_scores", "return_text", "top_n", "model"]
    )
    assert asked({"query": "q", "texts": ["a"], "documents": None, **nulls}).form == "tei"
    assert asked({"query": "q", "documents": ["a"], "texts": None, **nulls}).form == "cohere"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instruction", "find the opposite"),
        ("instruct", "find the opposite"),
        ("truncation_side", "left"),
        ("truncate_prompt_tokens", 100),
        ("max_tokens_per_query", 5),
        ("max_query_length", 64),
    ],
)
def test_what_would_change_the_scores_and_is_not_served_is_refused_by_name(name, value):
    for texts in ("texts", "documents"):
        with pytest.raises(RefusedError, match=f"'{name}' is not served") as caught:
            asked({"query": "q", texts: ["a"], name: value})
        assert caught.value.status == 422


def test_what_says_what_is_done_anyway_or_changes_no_score_is_no_reason_to_refuse():
    fields = {
        "instruction": "",
        "truncation_side": "right",
        "truncation_direction": "Right",
        "truncate_prompt_tokens": -1,
        "max_tokens_per_query": 0,
        "max_tokens_per_doc": 0,
        "max_chunks_per_doc": 1,
        "truncation": True,
        "use_activation": True,
        "priority": 7,
        "user": "me",
    }
    for texts in ("texts", "documents"):
        found = asked({"query": "q", texts: ["a"], **fields})
        assert (found.cut, found.raw, found.max_tokens) == (True, False, None)


@pytest.mark.parametrize("asked_for", [{"raw_scores": True}, {"use_activation": False}])
def test_raw_scores_are_logits_in_the_cohere_form_too(asked_for):
    got = answered({"query": "q", "documents": ["a", "b"], **asked_for}, [1.0, 2.0])
    assert [one["relevance_score"] for one in got["results"]] == [2.0, 1.0]


def test_top_n_cuts_in_the_tei_form_too():
    got = answered({"query": "q", "texts": ["a", "b"], "top_n": 1}, [1.0, 2.0])
    assert got == [{"index": 1, "score": sigmoid(2.0)}]


def test_objects_are_read_by_their_rank_fields_in_order_and_repeated_as_they_came():
    documents = [{"title": "T", "n": [1], "body": "b\ud800"}, "plain"]
    fields = {"query": "q", "documents": documents, "rank_fields": ["body", "title"]}
    assert asked(fields, "/v1/rerank").texts == ["b\ufffd\nT", "plain"]
    got = answered(fields | {"return_documents": True}, [2.0, 1.0], "/v1/rerank")
    assert [one["document"] for one in got["results"]] == [
        {"title": "T", "n": [1], "body": "b\ufffd"},
        {"text": "plain"},
    ]


@pytest.mark.parametrize(
    "said", [{"truncate": False}, {"truncation": False}, {"max_chunks_per_doc": 10}]
)
def test_whether_texts_may_be_cut_is_read_in_every_words(said):
    assert not asked({"query": "q", "documents": ["a"], **said}).cut


@pytest.mark.parametrize("name", ["max_tokens_per_doc", "max_doc_length"])
def test_how_much_of_a_text_is_read_is_taken_from_the_request(name):
    assert asked({"query": "q", "documents": ["a"], name: 7}).max_tokens == 7


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"query": "q", "documents": [NaN]}']
)
def test_what_is_no_json_is_refused(body):
    with pytest.raises(RefusedError, match="not JSON"):
        read("/rerank", body, LIMITS)


def test_surrogates_are_read_as_something_that_an_answer_can_repeat():
    fields = {"query": "\udc00", "documents": ["\ud83e\udd8a", "a\ud83e"], "model": "\udfff"}
    got = answered(fields | {"return_documents": True}, [2.0, 1.0])
    assert [one["document"]["text"] for one in got["results"]] == ["🦊", "a\ufffd"]
    assert json.dumps(got, ensure_ascii=False).encode()


@pytest.mark.parametrize("logit", [-1e308, -800.0, -1.0, 0.0, 1.0, 800.0, 1e308])
def test_the_sigmoid_never_overflows(logit):
    assert 0.0 <= sigmoid(logit) <= 1.0
