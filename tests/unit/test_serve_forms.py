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


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
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
