"""Prometheus metrics of a replica."""

from __future__ import annotations

from typing import Any

from langchain_rerank.optional import require


class Metrics:
    """Counts what a replica does, in a registry of its own.

    Args:
        replica: Tells the replicas of a server apart.
    """

    def __init__(self, replica: str) -> None:
        self._client = client = require("prometheus_client", extra="ray")
        self.registry = client.CollectorRegistry()
        common: dict[str, Any] = {"registry": self.registry, "labelnames": ["replica"]}

        def counter(name: str, what: str, *labels: str) -> Any:
            names = ["replica", *labels]
            made = client.Counter(f"rerank_{name}", what, names, registry=self.registry)
            return made if labels else made.labels(replica)

        self.replica = replica
        self.requests = counter("requests", "Requests answered, by path and status", "path", "code")
        self.texts = counter("texts", "Texts scored")
        self.truncated = counter("truncated_texts", "Texts cut to the model's limit")
        self.errors = counter("errors", "Requests that failed inside the server")
        self.seconds = client.Histogram("rerank_seconds", "From body to scores", **common).labels(
            replica
        )
        self.under_way = client.Gauge("rerank_under_way", "Requests being scored", **common).labels(
            replica
        )

    def answered(self, path: str, code: int) -> None:
        """Count an answer."""
        self.requests.labels(self.replica, path, str(code)).inc()

    def page(self) -> bytes:
        """Return the metrics in Prometheus's text form."""
        page: bytes = self._client.generate_latest(self.registry)
        return page
