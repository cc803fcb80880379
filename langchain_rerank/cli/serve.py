"""`langchain-rerank serve`: a rerank server on Ray Serve."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from typing import Annotated, Any

import typer

from langchain_rerank.cli import options
from langchain_rerank.errors import ConfigurationError, ModelLoadError

KEY_VARIABLE = "RERANK_SERVER_API_KEY"
_APPLICATION = "rerank"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def serve(
    model: options.ModelOption = None,
    model_arg: options.ModelArgOption = None,
    replicas: Annotated[
        int, typer.Option("--replicas", min=1, help="Copies of the model, a CPU core each.")
    ] = 1,
    max_replicas: Annotated[
        int | None,
        typer.Option("--max-replicas", min=1, help="Scale by load, from --replicas up to this."),
    ] = None,
    cpus: Annotated[float, typer.Option("--cpus", min=0.1, help="CPU cores of a replica.")] = 1.0,
    gpus: Annotated[
        float, typer.Option("--gpus", min=0.0, help="GPUs of a replica; 0.5 puts two on one.")
    ] = 0.0,
    host: Annotated[str, typer.Option("--host", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=65535, help="Port to listen at; 0: any that is free."),
    ] = 8100,
    max_documents: Annotated[
        int, typer.Option("--max-documents", min=1, help="Texts in a request.")
    ] = 1000,
    max_concurrent: Annotated[
        int,
        typer.Option("--max-concurrent", min=1, help="Requests of a replica; others get 429."),
    ] = 256,
) -> None:
    """Serve a cross-encoder over HTTP until Ctrl-C (extra `ray`).

    Answers Cohere's and Jina's form (/v1/rerank, /v2/rerank) and that of
    text-embeddings-inference (/rerank); /health, /ready and /metrics.
    RERANK_SERVER_API_KEY sets the bearer token that clients must send.

        langchain-rerank serve --model embedded
    """
    from langchain_rerank.cli.console import notes_console
    from langchain_rerank.optional import require
    from langchain_rerank.scorers.remote.keys import checked_key
    from langchain_rerank.serve.application import application
    from langchain_rerank.serve.forms import Limits

    if max_replicas is not None and max_replicas < replicas:
        raise ConfigurationError(
            f"--max-replicas {max_replicas} is less than --replicas {replicas}."
        )
    key = checked_key(os.environ.get(KEY_VARIABLE, ""), f"The environment variable {KEY_VARIABLE}")
    if host not in _LOOPBACK and not key:
        raise ConfigurationError(
            f"--host {host} opens the server to other machines, and anybody there could use it: "
            f"set a key in the environment variable {KEY_VARIABLE}, or listen at 127.0.0.1."
        )
    notes = notes_console()
    ray = require("ray", extra="ray")
    ray_serve = require("ray.serve", extra="ray")
    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # it tells of its own start
    name = model or options.MODEL
    app = application(
        name,
        load_settings=options.load_settings(model_arg),
        replicas=replicas if max_replicas is None else (replicas, max_replicas),
        num_cpus=cpus,
        num_gpus=gpus,
        limits=Limits(documents=max_documents, concurrent=max_concurrent),
        key=key,
    )
    port = _free(host, port)
    started = False
    try:
        with notes.status(f"Starting Ray and loading {name}…"):
            if not ray.is_initialized():
                ray.init(include_dashboard=False, log_to_driver=False, logging_level="WARNING")
            # After Ray, which ends the process at once.
            signal.signal(signal.SIGTERM, _end)
            _check_alone(ray_serve)
            started = True
            ray_serve.start(http_options={"host": host, "port": port})
            _run(ray_serve, app, name)
        at = f"[{host}]" if ":" in host else host
        notes.print(f"Serving {name} at http://{at}:{port}. Ctrl-C ends it.")
        while True:
            time.sleep(1.0)
    finally:
        sys.stderr.write("Stopping…\n")
        if started:
            _stop(ray_serve)
        ray.shutdown()


def _stop(ray_serve: Any) -> None:
    """End Serve once the requests under way are answered, for which Serve gives them 20 seconds."""
    if _APPLICATION in ray_serve.status().applications:
        ray_serve.delete(_APPLICATION)  # waits for them, which shutdown does not
    ray_serve.shutdown()


def _end(number: int, _: object) -> None:
    """End wherever the start is, or the service; only once, so that stopping can take its time."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(0)


def _check_alone(ray_serve: Any) -> None:
    """Refuse a cluster where Serve runs: it keeps its own address, and ending it ends all it has.

    Raises:
        ConfigurationError: It does.
    """
    status = ray_serve.status()
    if status.proxies or status.applications:
        names = ", ".join(sorted(status.applications)) or "no application"
        raise ConfigurationError(
            f"Ray Serve runs in this cluster already, with {names}, at an address of its own. Put "
            f"the reranker beside it from Python: ray.serve.run("
            f"langchain_rerank.serve.application.application(model), name=..., route_prefix=...); "
            f"or unset RAY_ADDRESS for a Ray of its own."
        )


def _free(host: str, port: int) -> int:
    """Return `port` if one can listen at it, or a free one for 0: Ray takes long to find out.

    Raises:
        ConfigurationError: Somebody else listens there, or this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family) as free:
            number: int = free.getsockname()[1]
    except OSError as error:
        raise ConfigurationError(
            f"Nobody can listen at {host}:{port} ({error.strerror or error}): stop whoever does "
            f"already, or give another --port or --host."
        ) from error
    return number


def _run(ray_serve: Any, app: Any, name: str) -> None:
    """Return when the model is loaded.

    Raises:
        ModelLoadError: It cannot be.
    """
    try:
        ray_serve.run(app, name=_APPLICATION, route_prefix="/")
    except RuntimeError as error:
        # Serve says that it failed, and keeps the reason to itself.
        found = ray_serve.status().applications[_APPLICATION].deployments.values()
        lines = [line for one in found for line in one.message.splitlines() if line.strip()]
        reason = next((one for one in reversed(lines) if "Error: " in one), str(error))
        raise ModelLoadError(f"{name} cannot be served: {reason.strip()}") from error
