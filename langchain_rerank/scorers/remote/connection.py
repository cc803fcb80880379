"""One pool of connections to a server, for callers in any thread and any event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_rerank.errors import ConfigurationError, ScorerClosedError
from langchain_rerank.optional import require
from langchain_rerank.scorers.remote.keys import Hiding

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_MOST_SHOWN = 300  # characters of what a server says
# What httpx reads of the environment.
_ENVIRONMENT = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSLKEYLOGFILE",
)


class Connection:
    """An HTTP client with an event loop and a thread of its own.

    A pool of connections belongs to one event loop, but a scorer is called from many threads and
    loops; here all of them share one pool, and a deadline or a cancellation ends a request in
    whatever state it is.
    """

    def __init__(self, key: str, *, max_concurrency: int, name: str) -> None:
        self.process = os.getpid()
        self._name, self._hiding = name, Hiding(key)
        self._closed = False
        self._lock = threading.Lock()
        headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "accept-encoding": "identity",  # httpx would ask for all that it can read
        }
        if key:
            headers["authorization"] = f"Bearer {key}"
        self.client = _client(headers, max_concurrency)
        # Not in the context of the call that comes first: the loop would keep it for ever.
        self._loop = Context().run(asyncio.new_event_loop)
        self.slots = asyncio.Semaphore(max_concurrency)
        self._thread = threading.Thread(
            target=_run, args=(self._loop,), name="langchain-rerank-remote", daemon=True
        )
        self._thread.start()

    def redacted(self, said: str) -> str:
        """Return the beginning of what a server or a library said, without the key in it."""
        shown = self._hiding(said)
        return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"

    def submit(self, work: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        """Return the future result of `work()`, which runs in the connection's loop.

        Raises:
            ScorerClosedError: The connection is closed.
        """
        with self._lock:
            if self._closed:
                raise self._closed_error()
            return asyncio.run_coroutine_threadsafe(self._guarded(work), self._loop)

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await work()
        except asyncio.CancelledError:
            if self._closed:
                raise self._closed_error() from None
            raise

    def _closed_error(self) -> ScorerClosedError:
        return ScorerClosedError(f"{self._name} was closed before it answered.")

    def close(self, *, wait: bool = True) -> None:
        """Answer everyone who waits with `ScorerClosedError`, and close every connection.

        Args:
            wait: Return when that is done; not from a finalizer, which may run in any thread.
        """
        if self.process != os.getpid():
            return  # Forked: the thread is the parent's, and so are the connections.
        with self._lock:
            if self._closed:
                return
            self._closed = True
            asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop)
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()

    async def _shut_down(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.client.aclose()
        self._loop.stop()


def _client(headers: Mapping[str, str], max_concurrency: int) -> httpx.AsyncClient:
    """Return a client with as many connections as requests can be under way.

    Raises:
        ConfigurationError: What the environment says of proxies or certificates cannot be used.
    """
    http = require("httpx", extra="remote")
    try:
        client: httpx.AsyncClient = http.AsyncClient(
            headers=headers,
            follow_redirects=False,  # a redirect could carry the texts and the key elsewhere
            timeout=None,
            limits=http.Limits(
                max_connections=max_concurrency, max_keepalive_connections=max_concurrency
            ),
        )
    except (OSError, ImportError, ValueError, http.InvalidURL) as error:
        # Of an address that cannot be read the library quotes a part, which may be a password.
        said = f": {error}" if isinstance(error, (OSError, ImportError)) else ""
        found = sorted(name for name in os.environ if name.upper() in _ENVIRONMENT)
        raise ConfigurationError(
            f"No connection can be opened with what the environment says of proxies and "
            f"certificates ({type(error).__name__}{said}). Look at {', '.join(found)}, whose "
            f"values are not shown here: a proxy is http://host:port, a certificate an existing "
            f"PEM file."
        ) from None
    return client


def _run(loop: asyncio.AbstractEventLoop) -> None:
    # Not a method: a running thread would keep the connection alive for ever.
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
