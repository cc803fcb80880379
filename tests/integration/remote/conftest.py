"""Servers that speak each dialect, and scorers that ask them."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from langchain_rerank import RemoteScorer

from .servers import DIALECT_OF, running


@pytest.fixture
def serve():
    """Start a server of a kind; it stops with the test."""
    with ExitStack() as stack:
        yield lambda speaker, **settings: stack.enter_context(running(speaker, **settings))


@pytest.fixture
def connect():
    """Make a scorer that asks a server without long pauses; it closes with the test."""
    with ExitStack() as stack:

        def make(server, speaker="tei", **settings):
            settings = {"backoff": 0.01, "timeout": 20.0, "model": "m"} | settings
            dialect = DIALECT_OF.get(speaker, speaker)
            return stack.enter_context(RemoteScorer(server.url, dialect=dialect, **settings))

        yield make
