"""A rerank server as a scorer."""

from __future__ import annotations

import asyncio
import json
import os
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_rerank.checks import check_flag, check_seconds, is_one_of, shown, whole_number
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.locks import ProcessLock
from langchain_rerank.optional import require
from langchain_rerank.scorers import deadline
from langchain_rerank.scorers.batching import BatchScorer
from langchain_rerank.scorers.contract import Request, Scores, check_request
from langchain_rerank.scorers.remote.attempts import Patience
from langchain_rerank.scorers.remote.call import Server
from langchain_rerank.scorers.remote.connection import Connection
from langchain_rerank.scorers.remote.dialects import DIALECT_NAMES, DIALECTS, DialectName
from langchain_rerank.scorers.remote.keys import checked_key

if TYPE_CHECKING:
    from pydantic import SecretStr

KEY_VARIABLE = "RERANK_API_KEY"
_OUR_FIELDS = {"query", "texts", "documents", "text_1", "text_2", "top_n", "model"}

# Guards a few assignments of every scorer; one per scorer would break deepcopy and pickle.
_lock = ProcessLock()


class RemoteScorer(BatchScorer):
    """Scores texts with a rerank server over HTTP (extra `remote`).

    The scale of the scores is that of the server, raw where the dialect can ask for it, since a
    sigmoid turns good scores into equal ones:

    - "tei" (text-embeddings-inference, `langchain-rerank serve`; `POST /rerank` with `texts`): raw
      logits.
    - "vllm" (vLLM 0.12 or later, `POST /score`): raw logits.
    - "cohere" (`POST /v2/rerank` with `documents`) and "jina" (`POST /v1/rerank`), which vLLM,
      Infinity, Xinference, llama.cpp and SGLang speak too: what the server gives, from 0 to 1 with
      Cohere, vLLM and Infinity, raw with llama.cpp, as the model says with the others.

    A text beyond the model's limit is cut where the dialect can ask for it ("tei", "vllm"), else
    the server decides. `truncated` is None unless the server says how many were cut.

    Requests are split to what the server takes and sent at the same time, `max_concurrency` at
    once. An answer is used only if it has exactly one finite score per text. What may pass (429,
    5xx, faults of the connection, an attempt that takes too long) is tried again with growing
    pauses, after the `Retry-After` of the server where there is one. A redirect is an error: texts
    and key go to `url` and nowhere else. Scoring raises `RequestRejectedError` where the server
    refuses the request as it stands, `ScorerContractError` where the answer is not one finite score
    per text, `ScorerTimeoutError` and `ScorerUnavailableError` (not reached, or overloaded).

    Cheap to construct: connections open on first use, are shared by all threads and event loops,
    and close with `close`; a closed scorer opens again when it is used.

    Args:
        url: The server's base; one that ends in a rerank path is used as it is.
        dialect: What the server speaks: "tei", "cohere", "jina" or "vllm". Never guessed.
        model: The model's name on the server, where it wants one.
        revision: Says which state of the model the server has. Never sent: it makes, with `model`,
            the `identity` that a cache of scores needs.
        api_key: Sent as bearer token; None takes the environment variable RERANK_API_KEY if it is
            set. Never shown or logged; a key from the environment is not pickled.
        timeout: Seconds for the texts of one query, with all attempts and pauses, from its turn on;
            None is without limit.
        attempt_timeout: Seconds for one attempt.
        max_attempts: Attempts for each request, the first included.
        backoff: Seconds before the second attempt, doubled each time; half of it is random.
        max_texts: Texts in one request; None is 32 for "tei", whose default limit that is, and 1000
            for the others.
        max_concurrency: Requests under way at the same time, from all callers.
        pointwise: Whether the model judges each text alone. A listwise one (jina-reranker-v3) gets
            the texts of a query in one request, or refuses them.
        extra_body: Further fields of each request, such as `{"instruction": ...}` or, for vLLM
            under "cohere", `{"use_activation": False}`.

    Raises:
        ConfigurationError: An impossible setting.
        MissingExtraError: httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        dialect: DialectName,
        model: str | None = None,
        revision: str | None = None,
        api_key: SecretStr | str | None = None,
        timeout: float | None = 120.0,
        attempt_timeout: float = 30.0,
        max_attempts: int = 4,
        backoff: float = 0.25,
        max_texts: int | None = None,
        max_concurrency: int = 8,
        pointwise: bool = True,
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        http = require("httpx", extra="remote")
        if not is_one_of(dialect, DIALECTS):
            raise ConfigurationError(
                f"dialect={shown(dialect)} is unknown; name what the server speaks: "
                f"{', '.join(DIALECT_NAMES)}."
            )
        _check_url(url, http)
        for name, value in (("model", model), ("revision", revision)):
            if not isinstance(value, str | None):
                raise ConfigurationError(f"{name}={shown(value)}: it must be a text or None.")
        self.url, self.dialect = url, dialect
        self.model, self.revision = model, revision
        self.pointwise = check_flag(pointwise, "pointwise")
        self.extra_body = _check_extra_body({} if extra_body is None else extra_body)
        self._api_key = _secret(api_key)
        _key(self._api_key)  # what cannot be sent is refused here, not at the first query
        self._server = Server(
            name=self.name,
            url=url,
            dialect=dialect,
            fields=self.extra_body if model is None else {**self.extra_body, "model": model},
            patience=Patience(
                None if timeout is None else check_seconds("timeout", timeout),
                check_seconds("attempt_timeout", attempt_timeout),
                whole_number(max_attempts, "max_attempts"),
                check_seconds("backoff", backoff, zero=True),
            ),
            max_texts=whole_number(
                DIALECTS[dialect].max_texts if max_texts is None else max_texts, "max_texts"
            ),
            max_concurrency=whole_number(max_concurrency, "max_concurrency"),
            pointwise=pointwise,
        )
        self._connection: Connection | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    @property
    def name(self) -> str:
        """The model where one is named, and the server's host; for traces and reports."""
        host = urlsplit(self.url).netloc
        return f"{self.model} at {host}" if self.model else f"{self.dialect} at {host}"

    @property
    def identity(self) -> dict[str, Any] | None:
        """Everything that changes the scores, or None unless `model` and `revision` are given.

        Only they say which model answers; a server may load another one behind the same address.
        """
        if self.model is None or self.revision is None:
            return None
        identity: dict[str, Any] = {
            "url": self.url,
            "dialect": self.dialect,
            "model": self.model,
            "revision": self.revision,
        }
        return {**identity, "extra_body": self.extra_body} if self.extra_body else identity

    async def ascore(self, query: str, texts: Sequence[str]) -> Scores:
        """Like `score`, without blocking the event loop; cancelling breaks off the requests."""
        texts = check_request(query, texts)
        if not texts:
            return Scores()
        connection = self._open_connection()
        if connection is None:
            connection = await asyncio.to_thread(self._connect)  # Reads certificates from disk.
        return (await asyncio.wrap_future(self._asked(connection, [(query, texts)])))[0]

    def _scored(self, requests: Sequence[Request]) -> list[Scores]:
        asked = self._asked(self._open_connection() or self._connect(), requests)
        return deadline.result_of(asked, self.name)

    def close(self) -> None:
        """Close the connections; requests under way are answered with `ScorerClosedError`."""
        with _lock():
            connection, self._connection = self._connection, None
            finalizer, self._finalizer = self._finalizer, None
        if finalizer is not None:
            finalizer.detach()
        if connection is not None:
            connection.close()

    def _asked(self, connection: Connection, requests: Sequence[Request]) -> Future[list[Scores]]:
        return connection.submit(partial(self._server.answers, connection, requests))

    def _open_connection(self) -> Connection | None:
        connection = self._connection
        # A forked child has the parent's connection without its thread.
        return connection if connection and connection.process == os.getpid() else None

    def _connect(self) -> Connection:
        mine = Connection(
            _key(self._api_key), max_concurrency=self._server.max_concurrency, name=self.name
        )
        with _lock():
            connection = self._open_connection()
            if connection is None:
                self._connection = connection = mine
                self._finalizer = weakref.finalize(self, mine.close, wait=False)
        if connection is not mine:
            mine.close()  # Another thread was first.
        return connection

    def __getstate__(self) -> dict[str, Any]:
        # A copy opens connections of its own.
        return {**self.__dict__, "_connection": None, "_finalizer": None}

    def __repr__(self) -> str:
        return f"RemoteScorer({self.url!r}, dialect={self.dialect!r}, model={self.model!r})"


def _key(api_key: SecretStr | None) -> str:
    """Return the key to send, "" for none.

    Raises:
        ConfigurationError: It cannot be sent. The message does not show it.
    """
    if api_key:
        return checked_key(api_key.get_secret_value(), "api_key")
    return checked_key(os.environ.get(KEY_VARIABLE, ""), f"The environment variable {KEY_VARIABLE}")


def _secret(api_key: SecretStr | str | None) -> SecretStr | None:
    from pydantic import SecretStr

    if api_key is None or isinstance(api_key, SecretStr):
        return api_key
    if not isinstance(api_key, str):
        raise ConfigurationError(
            f"api_key must be a string or a pydantic SecretStr, got {type(api_key).__name__}."
        )
    return SecretStr(api_key)


def _check_url(url: object, http: Any) -> None:
    expected = "give the server's base, such as 'http://127.0.0.1:8080'"
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be a string, got {type(url).__name__}; {expected}.")
    try:
        parts = urlsplit(url)
        has_host, _ = bool(parts.hostname), http.URL(url)
        if parts.hostname and parts.hostname.isascii():
            parts.hostname.encode("idna")  # what would fail only when it is looked up
    except (ValueError, http.InvalidURL) as error:
        raise ConfigurationError(f"url={url!r} is no URL ({error}); {expected}.") from error
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            f"url names a user or a password, which would show up in logs; {expected}, and the key "
            f"as api_key or in the environment variable {KEY_VARIABLE}."
        )
    if parts.query or parts.fragment:
        raise ConfigurationError(
            f"url has a part after '?' or '#', where keys are often put and where logs show them; "
            f"{expected}."
        )
    if parts.scheme not in {"http", "https"} or not has_host:
        raise ConfigurationError(f"url={url!r} is not an http or https URL; {expected}.")


def _check_extra_body(fields: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(fields, Mapping):
        raise ConfigurationError(f"extra_body={shown(fields)}: it must be a dictionary or None.")
    if ours := sorted(_OUR_FIELDS & fields.keys()):
        raise ConfigurationError(
            f"extra_body has {', '.join(ours)}, which the scorer fills in; leave out what the "
            f"arguments of the scorer and its methods say."
        )
    try:
        json.dumps(dict(fields))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"extra_body cannot be sent as JSON: {error}.") from error
    return dict(fields)
