"""Servers that bend HTTP or JSON: a right answer is read, all else is named, none is guessed."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_rerank import RemoteScorer
from langchain_rerank.errors import (
    RequestRejectedError,
    ScorerContractError,
    ScorerError,
    ScorerTimeoutError,
    ScorerUnavailableError,
)
from langchain_rerank.scorers.remote import attempts
from langchain_rerank.testing import WordOverlapScorer
from langchain_rerank.testing.fakes import CountingScorer

from .servers import LOCAL, QUERY, TEXTS, sigmoid

pytestmark = pytest.mark.loopback

KEY = 'sk-a/b+c"d%'


def as_json(value):
    return json.dumps(value).encode()


def sends(encode, **headers):
    """Answer right, in the bytes that `encode` makes of the answer's data."""
    return lambda handler, answer: handler.reply(200, encode(answer()), **headers)


def says(body, status=200, **headers):
    return lambda handler, answer: handler.reply(status, body, **headers)


def http_1_0(handler, answer):
    handler.protocol_version = "HTTP/1.0"
    handler.send_response(200)
    handler.end_headers()  # no length: the answer ends where the connection does
    handler.wfile.write(as_json(answer()))
    handler.close_connection = True


def in_chunks(handler, answer):
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    for byte in as_json(answer()):
        handler.wfile.write(b"1\r\n%c\r\n" % byte)
    handler.wfile.write(b"0\r\n\r\n")


def hints_first(handler, answer):
    handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 3)
    handler.reply(200, answer())


def with_more(answer):
    return [one | {"usage": None, "document": {"text": "é", "n": [1]}} for one in answer]


RIGHT = {
    "as HTML": sends(as_json, content_type="text/html"),
    "as nothing": sends(as_json, content_type=""),
    "with a mark of its byte order": sends(lambda data: b"\xef\xbb\xbf" + as_json(data)),
    "in UTF-16": sends(lambda data: json.dumps(data).encode("utf-16")),
    "gzipped": sends(lambda data: gzip.compress(as_json(data)), content_encoding="GZIP"),
    "deflated": sends(lambda data: zlib.compress(as_json(data)), content_encoding="deflate"),
    "in HTTP/1.0": http_1_0,
    "in chunks of a byte": in_chunks,
    "after hints": hints_first,
    "with more fields": sends(lambda data: as_json(with_more(data))),
    "worst first": sends(lambda data: as_json(data[::-1])),
}


@pytest.mark.parametrize("way", RIGHT)
def test_a_right_answer_is_read_whatever_it_comes_in(way, serve, connect):
    server = serve("tei")
    server.faults.append(RIGHT[way])
    assert connect(server).score(QUERY, TEXTS) == LOCAL
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "scores",
    [[-3.4e38, 1e308, -0.0], [3, -2, 10**300], [5e-324, -1.0, 1e-300], [-1e5, -1e7, -1e6 + 1]],
)
def test_every_finite_number_is_a_score(scores, serve, connect):
    server = serve("tei")
    server.faults.append(says(as_json([{"index": i, "score": s} for i, s in enumerate(scores)])))
    assert connect(server).score(QUERY, TEXTS) == [float(one) for one in scores]


def test_cohere_and_jina_need_neither_usage_nor_id(serve, connect):
    for speaker in ("cohere", "jina"):
        server = serve(speaker)
        server.faults.append(
            lambda handler, answer: handler.reply(200, {"results": answer()["results"]})
        )
        scores = connect(server, speaker).score(QUERY, TEXTS)
        assert scores == pytest.approx([sigmoid(one) for one in LOCAL])


TWICE = (
    b'[{"index": 0, "index": 1, "score": 1}, {"index": 0, "score": 2}, {"index": 2, "score": 3}]'
)
ITEMS = [{"index": i, "score": float(i)} for i in range(3)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (TWICE, "an object in it has 'index' twice"),
        (b'[{"index": 0, "score": 1, "score": 2}]', "has 'score' twice"),
        (as_json([ITEMS[0] | {"relevance_score": 0.5}, *ITEMS[1:]]), "index 0 has two scores"),
        (as_json([ITEMS[0] | {"score": -1e6}, *ITEMS[1:]]), "llama.cpp says that it could not"),
        (as_json([ITEMS[0] | {"index": "0"}, *ITEMS[1:]]), "a whole number 'index'"),
        (as_json([*ITEMS, ITEMS[0]]), "scores index 0 twice"),
        (as_json({str(i): one for i, one in enumerate(ITEMS)}), "a list was expected"),
        (as_json([1.0, 0.5, 0.2]), "'index'"),
        (as_json([[0, 1.0], [1, 0.5], [2, 0.2]]), "'index'"),
        (as_json(json.dumps(ITEMS)), "a list was expected"),
        (as_json(ITEMS) + as_json(ITEMS), "is not JSON"),
        (as_json(ITEMS)[:-1] + b",]", "is not JSON"),
        (b'[{"index": 0, "score": 1' + b"0" * 5000 + b"}]", "is not JSON"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(body, said, serve, connect):
    server = serve("tei")
    server.faults.append(says(body))
    with pytest.raises(ScorerContractError, match="cannot be used") as caught:
        connect(server).score(QUERY, TEXTS)
    assert said in str(caught.value)


def test_two_scores_that_agree_are_one(serve, connect):
    server = serve("tei")
    server.faults.append(says(as_json([one | {"relevance_score": one["score"]} for one in ITEMS])))
    assert connect(server).score(QUERY, TEXTS) == [0.0, 1.0, 2.0]


def endless(handler, answer):
    handler.send_response(200)
    handler.end_headers()
    handler.close_connection = True
    handler.server.sent = 0
    while handler.server.sent < 1_000_000_000:
        handler.server.sent += handler.wfile.write(b" " * 65_536)


def bomb(handler, answer):
    handler.reply(200, gzip.compress(bytes(100_000_000), 1), content_encoding="gzip")


@pytest.mark.parametrize("fault", [endless, bomb])
def test_an_answer_without_end_is_not_kept(fault, serve, connect, monkeypatch):
    monkeypatch.setattr(attempts, "_ANSWER_BYTES", 1_000_000)
    server = serve("tei")
    server.faults.append(fault)
    with pytest.raises(ScorerContractError, match=r"larger than 1,00\d,\d+ bytes"):
        connect(server).score(QUERY, TEXTS)
    assert getattr(server, "sent", 0) < 50_000_000
    assert connect(server).score(QUERY, TEXTS) == LOCAL


def test_an_error_without_end_is_read_by_its_beginning(serve, connect):
    server = serve("tei")
    server.faults.append(says(b"no such thing " + b"x" * 30_000_000, status=404))
    with pytest.raises(RequestRejectedError, match='HTTP 404: "no such thing') as caught:
        connect(server).score(QUERY, TEXTS)
    assert len(str(caught.value)) < 800


def test_no_encoding_is_asked_for(serve, connect):
    server = serve("tei")
    assert connect(server).score(QUERY, TEXTS) == LOCAL
    headers = {name.lower(): value for name, value in server.seen[0][1].items()}
    assert headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "x" * 500])
def test_an_encoding_that_was_not_asked_for_is_refused_unread(encoding, serve, connect):
    server = serve("tei")
    server.faults.append(says(as_json(ITEMS), content_encoding=encoding))
    with pytest.raises(ScorerContractError, match="content-encoding") as caught:
        connect(server).score(QUERY, TEXTS)
    assert encoding[:40] in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "fault", [says(b"not gzip", content_encoding="gzip"), says(b"", status=500)]
)
def test_a_damaged_answer_is_asked_for_again(fault, serve, connect):
    server = serve("tei")
    server.faults.append(fault)
    assert connect(server).score(QUERY, TEXTS) == LOCAL


@pytest.mark.parametrize("status", [201, 202, 204, 206, 300, 304, 307, 405, 418, 511, 599])
def test_any_other_status_is_an_error_that_names_it(status, serve, connect):
    server = serve("tei")
    server.faults.append(says(b"" if status in {204, 304} else as_json(ITEMS), status=status))
    with pytest.raises(RequestRejectedError, match=f"HTTP {status}"):
        connect(server).score(QUERY, TEXTS)


@pytest.mark.parametrize(
    "place", ["/rerank/", "rerank?x=1", "//127.0.0.1/rerank#x", "https://%zz", ""]
)
def test_a_redirect_on_the_same_host_is_not_followed_either(place, serve, connect):
    server = serve("tei")
    server.faults.append(says(b"", status=307, location=place))
    with pytest.raises(RequestRejectedError, match="HTTP 307 and sends to"):
        connect(server).score(QUERY, TEXTS)
    assert len(server.seen) == 1


def headers_without_end(handler, answer):
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 100_000)


def goes_on_for_ever(handler, answer):
    handler.close_connection = True
    for _ in range(100):
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        handler.server.stopped.wait(0.02)


@pytest.mark.parametrize("fault", [headers_without_end, goes_on_for_ever])
def test_headers_without_end_are_no_answer(fault, serve, connect):
    server = serve("tei")
    server.stopped = threading.Event()
    server.faults.extend([fault] * 2)
    with pytest.raises((ScorerUnavailableError, ScorerTimeoutError)):
        connect(server, max_attempts=2, attempt_timeout=0.3).score(QUERY, TEXTS)
    server.stopped.set()
    assert connect(server).score(QUERY, TEXTS) == LOCAL


def closes_afterwards(handler, answer):
    """Answer as if the connection stayed open, and close it."""
    handler.reply(200, answer())
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True


def test_connections_that_are_closed_between_requests_lose_nothing(serve, connect):
    server = serve("tei")
    server.faults.extend([closes_afterwards] * 60)
    scorer = connect(server, max_attempts=10)
    queries = [f"vitamin {i}" for i in range(60)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda query: scorer.score(query, TEXTS), queries))
    assert answers == [WordOverlapScorer().score(query, TEXTS) for query in queries]


@pytest.mark.parametrize("said", ["-1", "4", "999", "9" * 5000, "1.5", "²", "True", "1 2", ""])
def test_a_count_of_truncated_texts_that_cannot_be_is_none(said, serve, connect):
    server = serve("tei")
    fault = sends(as_json, x_truncated_texts=said)
    if said.isascii():
        server.faults.append(fault)
    assert connect(server).score(QUERY, TEXTS).truncated is None


@pytest.mark.parametrize(
    "body",
    [
        b" " * 31_990 + f"x {KEY}".encode() + b" " * 100_000,
        b" " * 31_997 + KEY.encode() + b"  x" * 20_000,
        as_json({"error": f"bad key {KEY}"}),
        b"/login?key=sk-a%2Fb%2Bc%22d%25",
        as_json([{"index": f"{'x' * 50}{KEY}", "score": 1}]),
        as_json([f"{'x' * 70}{KEY}"]),
        as_json([{f"{'x' * 70}{KEY}": 1, "index": 0, "score": "a"}]),
    ],
)
@pytest.mark.parametrize("status", [200, 400, 503])
def test_the_key_is_hidden_however_the_server_writes_it(body, status, serve, connect, caplog):
    server = serve("tei", key=KEY)
    server.faults.extend([says(body, status=status)] * 2)
    with caplog.at_level(logging.INFO), pytest.raises(ScorerError) as caught:
        connect(server, api_key=KEY, max_attempts=2).score(QUERY, TEXTS)
    assert server.seen[0][1]["authorization"] == f"Bearer {KEY}"
    shown = str(caught.value) + "".join(one.getMessage() for one in caplog.records)
    assert "sk-" not in shown


def test_texts_of_any_kind_arrive_as_they_are(serve, connect):
    counting = CountingScorer(WordOverlapScorer())
    texts = [
        "",
        " ",
        "\x00\x1b[31m",
        "🦊 é ى 漢字",
        "e\u0301",
        "a\r\nb\u2028c",
        '"\\',
        "word " * 200_000,
    ]
    assert connect(serve("tei", scorer=counting)).score("hen", texts) == [0.0] * len(texts)
    assert counting.texts == texts


def test_surrogates_are_what_a_local_model_makes_of_them(serve, connect):
    counting = CountingScorer(WordOverlapScorer())
    connect(serve("tei", scorer=counting)).score("fox", ["\ud83e\udd8a", "a\udd8a", "\ud83e"])
    assert counting.texts == ["🦊", "a\ufffd", "\ufffd"]


def test_loops_that_end_take_nothing_with_them(serve, connect):
    server = serve("tei")
    scorer = connect(server)
    for _ in range(3):
        assert asyncio.run(scorer.ascore(QUERY, TEXTS)) == LOCAL

    async def gives_up():
        await asyncio.wait_for(scorer.ascore(QUERY, TEXTS), 0.02)

    server.delay = 0.2
    with pytest.raises(TimeoutError):
        asyncio.run(gives_up())

    async def leaves_it():
        task = asyncio.create_task(scorer.ascore(QUERY, TEXTS))
        await asyncio.sleep(0.02)
        return task

    assert asyncio.run(leaves_it()).cancelled()
    server.delay = 0.0
    assert scorer.score(QUERY, TEXTS) == LOCAL
    assert server.connections <= 4


@pytest.mark.parametrize("path", ["", "/", "/rerank", "/rerank/", "//", "/rerank//"])
def test_slashes_at_the_end_of_an_address_make_no_difference(path, serve):
    server = serve("tei")
    with RemoteScorer(server.url + path, dialect="tei") as scorer:
        assert scorer.score(QUERY, TEXTS) == LOCAL
    assert server.seen[0][0] == "/rerank"
