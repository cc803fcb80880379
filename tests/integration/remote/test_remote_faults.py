"""Whatever a server does ends in a retry or in a clear error: in time, and never a wrong order."""

from __future__ import annotations

import json
import logging
import socket
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from langchain_core.documents import Document

from langchain_rerank import CrossEncoderReranker
from langchain_rerank.errors import (
    RequestRejectedError,
    ScorerContractError,
    ScorerError,
    ScorerTimeoutError,
    ScorerUnavailableError,
)
from langchain_rerank.scorers.remote.attempts import Patience
from langchain_rerank.testing import WordOverlapScorer
from langchain_rerank.wrappers import FallbackScorer

from .servers import LOCAL, QUERY, SPEAKERS, TEXTS

pytestmark = pytest.mark.loopback

KEY = "sk-Very.Secret+1"


def status(code, body=b"busy", **headers):
    return lambda handler, answer: handler.reply(code, body, **headers)


def closes(handler, answer):
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(handler, answer):
    content = json.dumps(answer()).encode()
    handler.break_off(content[: len(content) // 2], len(content))


def half_without_a_length(handler, answer):
    content = json.dumps(answer()).encode()
    handler.break_off(content[: len(content) // 2], None)


def hangs(handler, answer):
    time.sleep(0.5)
    handler.close_connection = True


def drips(handler, answer):
    """Send a byte now and then: no read takes long, and the answer never ends."""
    handler.send_response(200)
    handler.send_header("content-length", "1000")
    handler.end_headers()
    for _ in range(20):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def not_http(handler, answer):
    handler.close_connection = True
    handler.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


PASSING = {
    "404 of Ray Serve": status(
        404, b"Path '/rerank' not found. Ping http://.../-/routes for available routes."
    ),
    "408": status(408),
    "425": status(425),
    "429": status(429),
    "429 with a pause": status(429, retry_after="0"),
    "500": status(500),
    "502": status(502),
    "503": status(503),
    "504": status(504),
    "522": status(522),
    "529": status(529),
    "closed": closes,
    "half": half,
    "hangs": hangs,
    "drips": drips,
    "not http": not_http,
}


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_tried_again(fault, serve, connect):
    server = serve("tei")
    scorer = connect(server, attempt_timeout=0.3)
    server.faults.extend([PASSING[fault]] * 2)
    assert scorer.score(QUERY, TEXTS) == LOCAL
    assert len(server.seen) == 3


@pytest.mark.parametrize("fault", PASSING)
async def test_what_does_not_pass_ends_in_an_error_that_may_be_retried(fault, serve, connect):
    server = serve("tei")
    scorer = connect(server, attempt_timeout=0.2, max_attempts=2)
    server.faults.extend([PASSING[fault]] * 2)
    timeout = fault in {"hangs", "drips"}
    expected = ScorerTimeoutError if timeout else ScorerUnavailableError
    with pytest.raises(expected, match=r"^m at 127.0.0.1:\d+ ") as caught:
        await scorer.ascore(QUERY, TEXTS)
    assert caught.value.retryable
    assert len(server.seen) == 2
    assert await scorer.ascore(QUERY, TEXTS) == LOCAL


@pytest.mark.parametrize("fault", [hangs, drips, status(429, retry_after="60"), status(503)])
def test_the_deadline_holds_whatever_the_server_does(fault, serve, connect):
    server = serve("tei")
    server.faults.extend([fault] * 100)
    scorer = connect(server, timeout=0.3, max_attempts=100, backoff=0.05)
    started = time.monotonic()
    with pytest.raises((ScorerTimeoutError, ScorerUnavailableError)):
        scorer.score(QUERY, TEXTS)
    assert time.monotonic() - started < 2.0


def test_a_pause_that_is_longer_than_the_time_left_is_not_waited_for(serve, connect):
    server = serve("tei")
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server.faults.append(status(503, retry_after=in_an_hour))
    with pytest.raises(ScorerUnavailableError, match=r"asks for a pause of 3[56]"):
        connect(server, timeout=10.0).score(QUERY, TEXTS)
    assert len(server.seen) == 1


def test_the_pause_that_the_server_asks_for_is_kept(serve, connect):
    server = serve("tei")
    server.faults.append(status(429, retry_after="0.3"))
    started = time.monotonic()
    assert connect(server).score(QUERY, TEXTS) == LOCAL
    assert time.monotonic() - started >= 0.3


def test_pauses_grow_to_a_bound_and_differ_between_clients():
    patience = Patience(timeout=None, attempt_timeout=1.0, max_attempts=9, backoff=0.5)
    pauses = [[patience.pause(attempt, None) for attempt in range(1, 9)] for _ in range(20)]
    for row in pauses:
        for attempt, pause in enumerate(row):
            longest = min(8.0, 0.5 * 2**attempt)
            assert longest / 2 <= pause <= longest
    assert len({row[0] for row in pauses}) > 1
    assert 2.0 <= patience.pause(1, 2.0) <= 2.5


def items(*pairs, field="score"):
    return [{"index": index, field: score} for index, score in pairs]


RIGHT = [(0, 0.5), (1, 0.25), (2, 0.0)]
WRONG = {
    "a score too few": (RIGHT[:2], "2 scores for 3 texts; the first without one is index 2"),
    "none": ([], "0 scores for 3 texts"),
    "a score too many": ([*RIGHT, (3, 0.5)], "scores index 3, but 3 texts were sent"),
    "a doubled index": ([*RIGHT, (1, 0.25)], "scores index 1 twice"),
    "a missing index": ([(0, 0.5), (1, 0.5), (1, 0.5)], "scores index 1 twice"),
    "an index that counts from 1": ([(1, 0.5), (2, 0.5), (3, 0.5)], "index 3, but 3 texts"),
    "a negative index": ([(-1, 0.5), (0, 0.5), (1, 0.5)], "scores index -1"),
    "NaN": ([(0, float("nan")), *RIGHT[1:]], "the score of index 0 is nan"),
    "infinite": ([(0, float("-inf")), *RIGHT[1:]], "the score of index 0 is -inf"),
    "beyond a float": ([(0, 10**400), *RIGHT[1:]], "the score of index 0 is inf"),
    "null": ([(0, None), *RIGHT[1:]], "a number 'score'"),
    "a string": ([(0, "0.5"), *RIGHT[1:]], "a number 'score'"),
    "true": ([(0, True), *RIGHT[1:]], "a number 'score'"),
    "a true index": ([(True, 0.5), (0, 0.5), (2, 0.5)], "a whole number 'index'"),
    "no index": ([(None, 0.5), *RIGHT[1:]], "a whole number 'index'"),
    "a fraction of an index": ([(0.0, 0.5), *RIGHT[1:]], "a whole number 'index'"),
}


def shaped(speaker, pairs):
    if speaker in {"cohere", "jina"}:
        return {"results": items(*pairs, field="relevance_score")}
    return {"data": items(*pairs)} if speaker == "vllm" else items(*pairs)


@pytest.mark.parametrize("speaker", ["tei", "cohere", "jina", "vllm"])
@pytest.mark.parametrize("wrong", WRONG)
def test_an_answer_that_is_not_one_finite_score_per_text_is_refused(wrong, speaker, serve, connect):
    pairs, message = WRONG[wrong]
    server = serve(speaker)
    server.faults.append(status(200, shaped(speaker, pairs)))
    with pytest.raises(ScorerContractError, match="cannot be used") as caught:
        connect(server, speaker).score(QUERY, TEXTS)
    assert message in str(caught.value)


@pytest.mark.parametrize("speaker", ["tei", "cohere", "jina", "vllm"])
@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Sign in</html>", b"\xff\xfe", b"[" * 100_000, b"7", b'{"error": "no"}', b"[7]"],
)
def test_an_answer_of_another_form_is_refused(body, speaker, serve, connect):
    server = serve(speaker)
    server.faults.append(status(200, body))
    with pytest.raises(ScorerContractError, match=f"dialect='{speaker}'"):
        connect(server, speaker).score(QUERY, TEXTS)


def test_half_an_answer_without_a_length_is_refused(serve, connect):
    server = serve("tei")
    server.faults.append(half_without_a_length)
    with pytest.raises(ScorerContractError, match="is not JSON"):
        connect(server).score(QUERY, TEXTS)


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_one_bad_part_fails_the_whole_call(speaker, serve, connect):
    server = serve(speaker)
    server.faults.append(status(200, b"{}"))
    with pytest.raises(ScorerContractError):
        connect(server, speaker, max_texts=1, max_concurrency=1).score(QUERY, TEXTS)


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 415, 422, 424, 498, 501])
def test_a_refusal_is_not_tried_again_and_says_what_the_server_said(code, serve, connect):
    server = serve("cohere")
    server.faults.append(status(code, {"message": "no such model"}))
    with pytest.raises(RequestRejectedError, match=rf"HTTP {code}: .*no such model") as caught:
        connect(server, "cohere").score(QUERY, TEXTS)
    assert len(server.seen) == 1
    assert not caught.value.retryable
    assert ("RERANK_API_KEY" in str(caught.value)) == (code in {401, 403})


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_neither_key_nor_texts_go_there(code, serve, connect):
    server, elsewhere = serve("tei"), serve("tei")
    place = f"http://user:word@127.0.0.1:{elsewhere.server_address[1]}/rerank?token=abc"
    server.faults.append(status(code, b"", location=place))
    with pytest.raises(RequestRejectedError, match=f"HTTP {code} and sends to") as caught:
        connect(server, api_key=KEY).score(QUERY, TEXTS)
    assert elsewhere.connections == 0
    assert "word" not in str(caught.value)
    assert "abc" not in str(caught.value)


def test_a_server_that_is_gone_is_unavailable(serve, connect):
    server = serve("tei")
    scorer = connect(server, max_attempts=2)
    server.shutdown()
    server.server_close()
    with pytest.raises(ScorerUnavailableError, match="cannot be reached"):
        scorer.score(QUERY, TEXTS)
    documents = [Document(text) for text in TEXTS]
    result = CrossEncoderReranker(model=scorer, on_error="first_stage").rerank(documents, QUERY)
    assert [one.page_content for one in result.documents] == TEXTS
    assert isinstance(result.error, ScorerUnavailableError)
    assert FallbackScorer(scorer, WordOverlapScorer()).score(QUERY, TEXTS) == LOCAL


def test_a_wrong_key_is_refused_and_a_right_one_taken(serve, connect, monkeypatch):
    server = serve("tei", key=KEY)
    with pytest.raises(RequestRejectedError, match="HTTP 401"):
        connect(server, api_key="other").score(QUERY, TEXTS)
    assert connect(server, api_key=KEY).score(QUERY, TEXTS) == LOCAL
    monkeypatch.setenv("RERANK_API_KEY", f"{KEY}\n")
    assert connect(server).score(QUERY, TEXTS) == LOCAL


def everything_shown(error):
    """Return what a traceback would show of an error and of what led to it."""
    shown = []
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(shown)


@pytest.mark.parametrize(
    "fault",
    [
        status(400, f'{{"error": "key {KEY} is wrong"}}'),
        status(403, f"{'x' * 295} {KEY}"),
        status(503, f"Authorization: Bearer {KEY}"),
        status(307, b"", location=f"http://example.com/{KEY}"),
        status(200, f"{'x' * 270} {KEY} {KEY}"),
        status(200, {"results": KEY}),
        status(200, [{"index": KEY, "score": 1}]),
        status(400, b64encode(f"Bearer {KEY}".encode())),
        status(401, f"{KEY[:12]} is not a key"),
        status(200, [], content_encoding=f"x-{KEY}"),
        closes,
    ],
)
def test_the_key_shows_nowhere_even_if_the_server_repeats_it(fault, serve, connect, caplog):
    server = serve("tei")
    server.faults.extend([fault] * 2)
    scorer = connect(server, api_key=KEY, max_attempts=2)
    documents = [Document(text) for text in TEXTS]
    with caplog.at_level(logging.DEBUG), pytest.raises(ScorerError) as caught:
        scorer.score(QUERY, TEXTS)
    with caplog.at_level(logging.DEBUG):
        tolerant = CrossEncoderReranker(model=scorer, on_error="first_stage")
        result = tolerant.rerank(documents, QUERY)
    logged = [one.getMessage() for one in caplog.records]
    shown = "\n".join(
        [
            everything_shown(caught.value),
            # What servers send is httpcore's to log when it is asked to; what is sent is not.
            *(text for text in logged if "receive_response" not in text),
            repr(scorer),
            str(vars(scorer)),
            repr(tolerant),
            str(result.to_dict()),
            scorer.name,
            str(scorer.identity),
        ]
    )
    assert server.seen[0][1]["authorization"] == f"Bearer {KEY}"
    for part in (KEY, KEY[:8], KEY[-8:], b64encode(KEY.encode())[2:12].decode()):
        assert part not in shown
