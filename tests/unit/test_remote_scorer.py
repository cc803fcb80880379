"""A remote scorer without a server: settings, names, identity, copies, and who shares it."""

from __future__ import annotations

import copy
import pickle
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from pydantic import SecretStr, ValidationError

from langchain_rerank import CrossEncoderReranker, RemoteScorer
from langchain_rerank.errors import ConfigurationError, InputTypeError
from langchain_rerank.scorers.remote.attempts import retry_after
from langchain_rerank.scorers.remote.dialects import DIALECTS, endpoint

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"dialect": "infinity"}, "dialect='infinity' is unknown; name what the server speaks"),
        ({"url": "127.0.0.1:8080"}, "is not an http or https URL"),
        ({"url": "ftp://host"}, "is not an http or https URL"),
        ({"url": "http://"}, "is not an http or https URL"),
        ({"url": "http://host:port"}, "is no URL"),
        ({"url": "http://[::1"}, "is no URL"),
        ({"url": "http://a..b"}, "is no URL"),
        ({"url": "http://" + 70 * "a"}, "is no URL"),
        ({"url": "http://host/a b\n"}, "is no URL"),
        ({"url": "http://user:pw123@host"}, "names a user or a password"),
        ({"url": "http://host?key=pw123"}, "'\\?' or '#'"),
        ({"url": 7}, "url must be a string"),
        ({"api_key": "pw 123"}, "no HTTP header can carry"),
        ({"api_key": "pw123ö"}, "no HTTP header can carry"),
        ({"api_key": "pw\r\n123"}, "no HTTP header can carry"),
        ({"api_key": "pw\t123"}, "no HTTP header can carry"),
        ({"api_key": b"pw123"}, "api_key must be a string"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"attempt_timeout": None}, "attempt_timeout=None"),
        ({"max_attempts": 0}, "max_attempts=0"),
        ({"backoff": -1}, "backoff=-1"),
        ({"max_texts": 0}, "max_texts=0"),
        ({"max_concurrency": True}, "max_concurrency=True"),
        ({"extra_body": {"query": "other"}}, "extra_body has query"),
        ({"extra_body": {"priority": {1}}}, "cannot be sent as JSON"),
    ],
)
def test_an_impossible_setting_is_refused_with_its_value_and_without_a_secret(settings, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        RemoteScorer(**{"url": URL, "dialect": "tei"} | settings)
    assert "pw" not in str(caught.value)
    assert "123" not in str(caught.value)


def test_a_key_from_the_environment_that_cannot_be_sent_is_named_by_its_variable(monkeypatch):
    monkeypatch.setenv("RERANK_API_KEY", "two words")
    with pytest.raises(ConfigurationError, match="variable RERANK_API_KEY has a character"):
        RemoteScorer(URL, dialect="tei")


def test_only_model_and_revision_together_make_an_identity_and_it_has_no_key():
    def identity(**settings):
        return RemoteScorer(URL, dialect="tei", api_key="secret", **settings).identity

    assert identity() is None
    assert identity(model="m") is None
    assert identity(revision="1") is None
    whole = {"url": URL, "dialect": "tei", "model": "m", "revision": "1"}
    assert identity(model="m", revision="1") == whole
    extra = {"instruction": "find"}
    assert identity(model="m", revision="1", extra_body=extra) == whole | {"extra_body": extra}


def test_its_name_has_model_and_host():
    assert RemoteScorer(URL, dialect="tei").name == "tei at 127.0.0.1:9"
    assert RemoteScorer(URL, dialect="vllm", model="bge").name == "bge at 127.0.0.1:9"


@pytest.mark.parametrize(
    ("url", "dialect", "expected"),
    [
        ("http://h", "tei", "http://h/rerank"),
        ("http://h/", "tei", "http://h/rerank"),
        ("http://h/prefix", "jina", "http://h/prefix/v1/rerank"),
        ("https://api.cohere.com", "cohere", "https://api.cohere.com/v2/rerank"),
        ("https://api.cohere.com/v1", "cohere", "https://api.cohere.com/v1/rerank"),
        ("https://api.jina.ai/v1", "jina", "https://api.jina.ai/v1/rerank"),
        ("http://h/v1", "vllm", "http://h/v1/score"),
        ("http://h/reranking", "tei", "http://h/reranking"),
        ("http://h/invocations", "tei", "http://h/invocations"),
        ("http://h/v1/score", "vllm", "http://h/v1/score"),
        ("http://rerank", "tei", "http://rerank/rerank"),
        ("http://score:80/", "vllm", "http://score:80/score"),
    ],
)
def test_requests_go_below_the_base_or_to_the_path_that_was_given(url, dialect, expected):
    assert endpoint(url, DIALECTS[dialect]) == expected


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda one: one])
def test_copies_and_pickles_keep_the_settings(duplicate):
    scorer = RemoteScorer(URL, dialect="jina", model="m", api_key=SecretStr("secret"), max_texts=7)
    twin = pickle.loads(pickle.dumps(duplicate(scorer)))
    assert repr(twin) == repr(scorer)
    assert twin.name == scorer.name
    assert twin._server == scorer._server
    assert twin._api_key == scorer._api_key


def test_a_key_from_the_environment_is_not_pickled(monkeypatch):
    monkeypatch.setenv("RERANK_API_KEY", "from-outside")
    assert b"from-outside" not in pickle.dumps(RemoteScorer(URL, dialect="tei"))


def test_no_texts_ask_nobody_and_wrong_types_are_refused_before_anybody_is_asked():
    scorer = RemoteScorer(URL, dialect="tei")  # sockets are off in this test
    assert scorer.score("q", []) == []
    assert scorer.score_many([("q", []), ("r", [])]) == [[], []]
    with pytest.raises(InputTypeError):
        scorer.score("q", [None])
    assert scorer._connection is None


async def test_async_is_the_same():
    scorer = RemoteScorer(URL, dialect="tei")
    assert await scorer.ascore("q", []) == []
    with pytest.raises(InputTypeError):
        await scorer.ascore(7, ["a"])


def test_a_reranker_takes_it_and_does_not_close_what_it_was_given():
    scorer = RemoteScorer(URL, dialect="tei")
    reranker = CrossEncoderReranker(model=scorer)
    assert reranker.scorer is scorer
    with pytest.raises(ValidationError, match="dtype cannot be applied to a RemoteScorer"):
        CrossEncoderReranker(model=scorer, dtype="float32")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("SSL_CERT_FILE", "/no/such/file", "FileNotFoundError"),
        ("SSLKEYLOGFILE", "/no/such/folder/keys", "FileNotFoundError"),
        ("ALL_PROXY", "gopher://user:pw123@proxy", "ValueError"),
        ("HTTP_PROXY", "http://user:pw123/@proxy", "InvalidURL"),
        ("HTTPS_PROXY", "http://user:pw123\n@proxy", "InvalidURL"),
        ("https_proxy", "http://proxy:port", "InvalidURL"),
    ],
)
async def test_what_the_environment_says_wrong_of_connections_is_named_without_its_value(
    variable, value, said, monkeypatch
):
    monkeypatch.setenv(variable, value)
    scorer = RemoteScorer(URL, dialect="tei")
    expected = rf"{said}.*Look at .*{variable}.*values are not shown"
    with pytest.raises(ConfigurationError, match=expected) as caught:
        scorer.score("q", ["a"])
    assert "pw123" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ConfigurationError, match=expected):
        await scorer.ascore("q", ["a"])


@pytest.mark.parametrize(
    "said",
    [
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
        "Wed, 21 Oct 20150 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 +99999999999999999999",
        "1e400",
        "-1",
        ", ,",
    ],
)
def test_a_pause_that_no_calendar_has_is_not_waited_for(said):
    assert retry_after({"retry-after": said}) is None


@pytest.mark.parametrize("hours", [-5, 0, 5])
def test_a_pause_that_ends_at_a_time_is_told_by_the_clock_that_named_it(hours):
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)
    until = now + timedelta(seconds=7)
    headers = {"date": format_datetime(now, usegmt=True)}
    headers["retry-after"] = format_datetime(until, usegmt=True)
    assert retry_after(headers) == 7.0
    assert retry_after(headers | {"date": "today"}) == pytest.approx(
        max(0.0, 7.0 + 3600 * hours), abs=60.0
    )
