"""One request to a rerank server until it is answered: what is tried again, when, and how long."""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from langchain_rerank.errors import (
    RequestRejectedError,
    ScorerContractError,
    ScorerError,
    ScorerTimeoutError,
    ScorerUnavailableError,
    see,
)
from langchain_rerank.optional import require
from langchain_rerank.scorers.remote.dialects import excerpt

if TYPE_CHECKING:
    import httpx

    from langchain_rerank.scorers.remote.connection import Connection

_log = logging.getLogger(__name__)

_LONGEST_PAUSE = 8.0
# An answer has a few numbers a text, and the text once more where a server repeats it, at worst
# escaped. What is far larger is no answer, and is not kept to find out.
_ANSWER_BYTES, _ANSWER_BYTES_A_BYTE = 16_000_000, 8
_REFUSAL_BYTES = 64_000  # what is read of an error
# Not asked for, but understood. Others can unpack a few bytes to more than there is memory.
_ENCODINGS = {"", "identity", "gzip", "deflate"}
# 408, 425 and 429, a server in trouble, 520 to 524, by which Cloudflare says so of the server after
# it, and 529, which some gateways send when they are overloaded. 501 says that the server will
# never do this.
_TRANSIENT = {408, 425, 429, 500, 502, 503, 504, *range(520, 525), 529}
# By this Ray Serve says that it has no application, as while it starts and ends.
_RAY_SERVE = b"Ping http://.../-/routes"
_REDIRECTS = {301, 302, 303, 307, 308}


class TooLargeError(RequestRejectedError):
    """The server takes no request of this size; half of it may pass."""


@dataclass(frozen=True)
class Patience:
    """How long to go on.

    Attributes:
        timeout: Seconds for a whole call, pauses included; None is without limit.
        attempt_timeout: Seconds for one attempt, to the last byte of the answer.
        max_attempts: Attempts, the first included.
        backoff: Seconds before the second attempt, doubled each time.
    """

    timeout: float | None
    attempt_timeout: float
    max_attempts: int
    backoff: float

    def pause(self, attempt: int, asked: float | None) -> float:
        """Return the seconds to wait after attempt number `attempt` (1-based).

        Args:
            attempt: How many were made.
            asked: What the server asked for, which is never cut short.
        """
        longest = min(_LONGEST_PAUSE, self.backoff * 2.0 ** (attempt - 1))
        # Half of it is random, so that clients that failed together do not come back together.
        own = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        return own if asked is None else asked + own * (asked > 0)


class Failure(Exception):  # noqa: N818 - never leaves this package
    """An attempt that may be made again, with what to raise if it is not."""

    def __init__(self, error: ScorerError, retry_after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    content: bytes


async def post(
    connection: Connection, url: str, content: bytes, patience: Patience, name: str
) -> Answer:
    """Return the server's answer with status 200 to `content`; `name` is how messages call it.

    The caller sees to the `timeout`, which here only says whether a pause is worth while.

    Raises:
        RequestRejectedError: The server refuses the request as it stands.
        ScorerContractError: The answer is larger than any answer can be.
        ScorerUnavailableError: It cannot be reached, or is overloaded, after every attempt.
        ScorerTimeoutError: It did not answer in time, after every attempt.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    attempt = 1
    while True:
        try:
            async with connection.slots:
                return await _attempt(connection, url, content, patience.attempt_timeout, name)
        except Failure as failure:
            pause = patience.pause(attempt, failure.retry_after)
            left = None if patience.timeout is None else started + patience.timeout - loop.time()
            if attempt >= patience.max_attempts or (left is not None and pause >= left):
                raise failure.error from failure.__cause__
            _log.info("Attempt %d: %s Trying again in %.1f s.", attempt, failure, pause)
        attempt += 1
        await asyncio.sleep(pause)


async def _attempt(
    connection: Connection, url: str, content: bytes, timeout: float, name: str
) -> Answer:
    http = require("httpx", extra="remote")
    try:
        async with (
            asyncio.timeout(timeout),
            connection.client.stream("POST", url, content=content) as response,
        ):
            answer = await _read(response, len(content), name, connection.redacted)
    except TimeoutError as error:
        raise Failure(
            ScorerTimeoutError(
                f"{name} did not answer within attempt_timeout={timeout:g} s. "
                f"{see('a-rerank-server-does-not-answer')}"
            )
        ) from error
    except http.RequestError as error:
        raise Failure(
            ScorerUnavailableError(
                f"{name} cannot be reached, or broke off: {type(error).__name__}: "
                f"{connection.redacted(str(error))}. {see('a-rerank-server-does-not-answer')}"
            )
        ) from error
    if answer.status == 200:
        return answer
    raise _refusal(answer, connection.redacted, name)


async def _read(
    response: httpx.Response, sent: int, name: str, redacted: Callable[[str], str]
) -> Answer:
    """Return an answer whose body is no larger than one to `sent` bytes can be."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    most = _ANSWER_BYTES + _ANSWER_BYTES_A_BYTE * sent
    refused = response.status_code != 200
    body = bytearray()
    if encoding in _ENCODINGS:
        async for part in response.aiter_bytes():
            body += part
            if len(body) > (_REFUSAL_BYTES if refused else most):
                break
    if not refused and (len(body) > most or encoding not in _ENCODINGS):
        wrong = (
            f"is larger than {most:,} bytes"
            if encoding in _ENCODINGS
            else f"has the content-encoding {redacted(encoding)[:40]!r}, which was not asked for"
        )
        raise ScorerContractError(
            f"The answer of {name} cannot be used: it {wrong}. {see('a-rerank-server-refuses')}"
        )
    return Answer(response.status_code, response.headers, bytes(body))


def _refusal(answer: Answer, redacted: Callable[[str], str], name: str) -> ScorerError | Failure:
    status = answer.status
    said = f'{name} answered HTTP {status}: "{redacted(excerpt(answer.content))}".'
    if status in _TRANSIENT or (status == 404 and _RAY_SERVE in answer.content):
        asked = retry_after(answer.headers)
        wait = f" It asks for a pause of {asked:g} s." if asked else ""
        return Failure(
            ScorerUnavailableError(f"{said}{wait} {see('a-rerank-server-does-not-answer')}"), asked
        )
    if status in _REDIRECTS and "location" in answer.headers:
        # Only the place: what comes after may hold what nobody should read.
        place = redacted(re.split("[?#]", answer.headers["location"])[0])
        return RequestRejectedError(
            f"{name} answered HTTP {status} and sends to {place.rpartition('@')[2]!r}; texts and "
            f"key go to no other place than the url that was given. If that is right, give it."
        )
    if status == 413 or (status == 422 and b'"error_type"' in answer.content):
        # text-embeddings-inference: too many texts in a request, or too many bytes.
        return TooLargeError(f"{said} {see('a-rerank-server-refuses')}")
    if status in {401, 403}:
        return RequestRejectedError(
            f"{said} Give the key as api_key, or in the environment variable RERANK_API_KEY. "
            f"{see('a-rerank-server-refuses')}"
        )
    return RequestRejectedError(f"{said} {see('a-rerank-server-refuses')}")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait, or None where it does not say.

    Examples:
        >>> retry_after({"retry-after": "3"}), retry_after({"retry-after-ms": "250"})
        (3.0, 0.25)
        >>> retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"})  # is past
        0.0
        >>> retry_after({"retry-after": "soon"})
    """
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000.0
    said = headers.get("retry-after", "")
    seconds = _seconds(said)
    if seconds is not None:
        return seconds
    when = _date(said)
    if when is None:
        return None
    # By the server's own clock, where it says what time that shows: ours may be off.
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (when - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # no date, or one that no calendar has
        return None
    return when if when.tzinfo is not None else when.replace(tzinfo=UTC)


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value < float("inf") else None
