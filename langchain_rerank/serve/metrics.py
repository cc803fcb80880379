"""Prometheus metrics of a replica."""

from __future__ import annotations

from typing import Any

from langchain_rerank.optional import require
from langchain_rerank.scorers.contract import Scores


class Metrics:
    """Counts what a replica does, in a registry of its own."""

    def __init__(self, replica: str) -> None:
        self._client = client = require("prometheus_client", extra="ray")
        self.registry = client.CollectorRegistry()

        def counter(name: str, what: str, *labels: str, kind: Any = client.Counter) -> Any:
            made = kind(f"rerank_{name}", what, ["replica", *labels], registry=self.registry)
            return made if labels else made.labels(replica)

        self.replica = replica
        self.requests = counter("requests", "Requests answered, by path and status", "path", "code")
        self.texts = counter("texts", "Texts scored")
        self.truncated = counter("truncated_texts", "Texts cut to the model's limit")
        self.errors = counter("errors", "Requests that failed inside the server")
        self.stages = counter("stage_seconds", "Waiting, tokenising and computing", "stage")
        self.tokens = counter("tokens", "Tokens of the pairs that were scored")
        self._tokens_before = 0
        self.queue = counter("queue", "Texts that wait", kind=client.Gauge)
        self.under_way = counter("under_way", "Requests being scored", kind=client.Gauge)
        self.seconds = counter("seconds", "From body to scores", kind=client.Histogram)

    def answered(self, path: str, code: int) -> None:
        """Count an answer."""
        self.requests.labels(self.replica, path, str(code)).inc()

    def scored(self, scores: Scores) -> None:
        """Count the texts of a request, and where the time went if the engine says so."""
        self.texts.inc(len(scores))
        self.truncated.inc(scores.truncated or 0)
        for stage, milliseconds in (getattr(scores, "timings", None) or {}).items():
            self.stages.labels(self.replica, stage).inc(milliseconds / 1000.0)

    def page(self, engine: Any) -> bytes:
        """Return the metrics in Prometheus's text form.

        Args:
            engine: What the engine counts itself, or None.
        """
        if engine is not None:
            self.tokens.inc(engine.tokens - self._tokens_before)
            self._tokens_before = engine.tokens
            self.queue.set(engine.queue)
        page: bytes = self._client.generate_latest(self.registry)
        return page
