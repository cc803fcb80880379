"""A replica: an async endpoint over one engine. It knows of Starlette and nothing of Ray."""

from __future__ import annotations

import asyncio
import hmac
import logging
from time import perf_counter
from typing import TYPE_CHECKING, Any

from langchain_rerank.errors import InputError, InputTypeError, RequestRejectedError, RerankError
from langchain_rerank.optional import require
from langchain_rerank.scorers.contract import Scores
from langchain_rerank.scorers.remote.call import TRUNCATED_HEADER
from langchain_rerank.serve.forms import (
    PATHS,
    Limits,
    RefusedError,
    RerankRequest,
    answer,
    read,
    refusal,
)
from langchain_rerank.serve.metrics import Metrics

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from langchain_rerank.serve.model import LogitModel

_log = logging.getLogger(__name__)

RETRY_AFTER = 1


class Replica:
    """Answers requests with the scores of one model.

    Logs say what happened and never what was asked: no query, no text.
    """

    def __init__(self, model: LogitModel, *, limits: Limits, key: str, name: str) -> None:
        self._model, self._limits, self._key = model, limits, key.encode()
        self._metrics = Metrics(name)
        self._under_way = 0
        self._responses: Any = require("starlette.responses", extra="ray")
        self._gone: type[Exception] = require("starlette.requests", extra="ray").ClientDisconnect

    async def handle(self, request: Request) -> Response:
        """Return the answer to a request."""
        # Below the prefix that Serve may have given the application.
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        path = path.rstrip("/") or "/"
        if path in {"/health", "/ready"}:
            alive = self._model.alive
            return self._json({"status": "ok" if alive else "down"}, 200 if alive else 503)
        try:
            self._check_key(request)
            response = await self._answer(path, request)
        except RefusedError as error:
            response = self._json(refusal(error), error.status)
            if error.retry_after is not None:
                response.headers["retry-after"] = str(error.retry_after)
            if error.status == 405:
                response.headers["allow"] = "POST"
        except Exception as error:  # noqa: BLE001 - else Serve would log it, with what was asked
            response = self._failed(error, 500)
        self._metrics.answered(path if path in PATHS else "other", response.status_code)
        return response

    async def _answer(self, path: str, request: Request) -> Response:
        if path == "/metrics":
            page: Response = self._responses.Response(
                self._metrics.page(self._model.counts()), media_type="text/plain; version=0.0.4"
            )
            return page
        if path not in PATHS:
            raise RefusedError(404, f"nothing at {path}; POST to {', '.join(PATHS)}")
        if request.method != "POST":
            raise RefusedError(405, f"{path} answers POST")
        return await self._rerank(path, request)

    def check_health(self) -> None:
        """Raise if the engine has stopped, so that another replica takes this one's place."""
        if not self._model.alive:
            raise RuntimeError("the engine's thread has stopped")

    def _check_key(self, request: Request) -> None:
        if not self._key:
            return
        scheme, _, given = request.headers.get("authorization", "").strip().partition(" ")
        # In constant time: how long it takes must not tell how much of a guess is right.
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._key):
            raise RefusedError(401, "a bearer token is missing or wrong", "Unauthorized")

    async def _rerank(self, path: str, request: Request) -> Response:
        if self._under_way >= self._limits.concurrent:
            raise RefusedError(429, "too many requests at once", "Overloaded", RETRY_AFTER)
        self._under_way += 1
        self._metrics.under_way.set(self._under_way)
        started = perf_counter()
        try:
            asked = read(path, await self._body(request), self._limits)
            logits = await self._logits(asked)
            self._metrics.scored(logits)
            self._metrics.seconds.observe(perf_counter() - started)
            data = answer(asked, logits, activation=self._model.activation, name=self._model.name)
        except (InputError, InputTypeError, RequestRejectedError) as error:
            raise RefusedError(422, str(error)) from None
        except RerankError as error:
            return self._failed(error, 503 if getattr(error, "retryable", False) else 500)
        finally:
            self._under_way -= 1
            self._metrics.under_way.set(self._under_way)
        response = self._json(data, 200)
        if logits.truncated is not None:
            response.headers[TRUNCATED_HEADER] = str(logits.truncated)
        return response

    async def _logits(self, asked: RerankRequest) -> Scores:
        texts, shortened = asked.texts, 0
        if asked.max_tokens is not None:
            texts, shortened = await self._model.shortened(texts, asked.max_tokens)
        logits = await self._model.logits(asked.query, texts)
        if logits.truncated and not asked.cut:
            raise RefusedError(
                422,
                f"{logits.truncated} texts are longer than the model's limit, and 'truncate', "
                f"'truncation' or 'max_chunks_per_doc' says not to cut them",
            )
        if shortened:
            # Texts that are cut twice are cut to the same length, so that all of them are.
            logits.truncated = max(shortened, logits.truncated or 0)
        return logits

    async def _body(self, request: Request) -> bytes:
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            raise RefusedError(415, "the body must have no content-encoding")
        most, seconds = self._limits.body_bytes, self._limits.body_seconds
        parts, size = [], 0
        try:
            async with asyncio.timeout(seconds):
                async for part in request.stream():
                    size += len(part)
                    if size > most:
                        raise RefusedError(413, f"the body is larger than {most} bytes")
                    parts.append(part)
        except TimeoutError:
            raise RefusedError(408, f"the body did not come within {seconds:g} s") from None
        except self._gone:  # Nobody hears this; it is counted as what it is.
            raise RefusedError(400, "the connection ended before the body did") from None
        return b"".join(parts)

    def _failed(self, error: Exception, status: int) -> Response:
        self._metrics.errors.inc()
        # The class alone: a message may quote what was asked.
        name = type(error).__name__
        _log.error("A request failed: %s", name)
        return self._json(
            refusal(RefusedError(status, f"scoring failed: {name}", "Backend")), status
        )

    def _json(self, data: Any, status: int) -> Response:
        response: Response = self._responses.JSONResponse(data, status)
        return response
