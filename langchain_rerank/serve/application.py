"""The Ray Serve application: replicas, autoscaling, health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_rerank.optional import require
from langchain_rerank.serve.forms import Limits


def application(
    model: str,
    *,
    load_settings: Mapping[str, Any] | None = None,
    replicas: int | tuple[int, int] = 1,
    num_cpus: float = 1.0,
    num_gpus: float = 0.0,
    limits: Limits | None = None,
    key: str = "",
) -> Any:
    """Return an application for `ray.serve.run`.

    Args:
        model: A hub name, a folder that all machines have, or "embedded".
        load_settings: As `CrossEncoderScorer` takes them.
        replicas: How many, or the least and the most between which Serve scales by load.
        num_cpus: CPU cores of each.
        num_gpus: GPUs of each; 0.5 puts two on one.
        limits: What is refused.
        key: The bearer token that clients must send; "" wants none.

    Raises:
        MissingExtraError: Ray is not installed.
    """
    serve = require("ray.serve", extra="ray")
    most = limits or Limits()

    class Reranker:
        def __init__(self) -> None:
            from langchain_rerank.serve.model import LogitModel
            from langchain_rerank.serve.replica import Replica

            name = serve.get_replica_context().replica_tag
            loaded = LogitModel(model, dict(load_settings or {}))
            self._replica = Replica(loaded, limits=most, key=key, name=name)

        async def __call__(self, request: Any) -> Any:
            return await self._replica.handle(request)

        def check_health(self) -> None:
            self._replica.check_health()

    scaling: dict[str, Any] = {"num_replicas": replicas}
    if isinstance(replicas, tuple):
        scaling = {
            "autoscaling_config": {
                "min_replicas": replicas[0],
                "max_replicas": replicas[1],
                "target_ongoing_requests": max(1, most.concurrent // 8),
            }
        }
    return serve.deployment(
        name="rerank",
        # Above our own limit, so that it is we who answer what is too much, with 429.
        max_ongoing_requests=most.concurrent + 64,
        ray_actor_options={"num_cpus": num_cpus, "num_gpus": num_gpus},
        **scaling,
    )(Reranker).bind()
