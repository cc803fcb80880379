"""Everything that is ready before the first round: models, systems, requests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langchain_rerank.bench import machine, systems
from langchain_rerank.bench.rounds import Requests
from langchain_rerank.bench.shapes import Shape, build_shape
from langchain_rerank.bench.summary import Work
from langchain_rerank.bench.systems import Skipped, System
from langchain_rerank.bench.workload import Sizes, Workload, guides, padding_share, pair_tokens
from langchain_rerank.errors import ModelLoadError
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine.settings import INT8

MAX_LENGTH = 512


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        model: Hub name or path; None builds `shape` with random weights.
        shape: The shape to build.
        device: "auto" or a torch device.
        dtype: The precision of this package's second run; "auto" is the device's own.
        sizes: One caller's queries a round, and the passages of each.
        callers: Concurrent callers; 0 leaves them and the one call with everything out.
        caller_candidates: Passages that each of those asks for.
        rounds: Rounds.
        seed: Seed of the requests.
    """

    model: str | None
    shape: Shape
    device: str
    dtype: str
    sizes: Sizes
    callers: int
    caller_candidates: int
    rounds: int
    seed: int = 0


@dataclass
class Bench:
    """What `prepared` hands out.

    Attributes:
        model: What the model is called.
        device: The device in use.
        systems: What runs.
        skipped: What does not, and why.
        ceilings: FLOP/s that each system could reach.
        work: Counts tokens and FLOP of requests.
        padding: Share of what the reference computes for one caller that is padding.
        rounds: The requests of each round.
    """

    model: str
    device: str
    systems: list[System]
    skipped: list[Skipped]
    ceilings: dict[str, float]
    work: Work
    padding: float
    rounds: list[Requests]


@contextlib.contextmanager
def prepared(settings: Settings, say: Callable[[str], None]) -> Iterator[Bench]:
    """Load the models, warm every system up, make the requests; close everything at the end.

    Args:
        settings: What to measure.
        say: Told what is going on.

    Raises:
        ModelLoadError: The model cannot be loaded.
        ConfigurationError: The device is not there.
    """
    with TemporaryDirectory(prefix="bench-") as folder, contextlib.ExitStack() as stack:
        if settings.model is None:
            say(f"Building {settings.shape.value} with random weights")
        path = settings.model or str(build_shape(settings.shape, Path(folder)))
        scorers = [stack.enter_context(_scorer(path, settings, "float32"))]
        say("Loading the engine in float32")
        scorers[0].load()
        device = scorers[0].device
        scorers.append(stack.enter_context(_scorer(path, settings, settings.dtype)))
        say(f"Loading the engine in {settings.dtype}")
        scorers[1].load()
        skipped: list[Skipped] = []
        if scorers[1].dtype == "float32":
            skipped.append(
                Skipped("16 bits", f"{device} has no fast 16-bit arithmetic; dtype is float32")
            )
            scorers.pop()
        say("Loading sentence-transformers")
        reference = _cross_encoder(path, device, "float32")
        workload = Workload(reference.tokenizer, guides())
        warm_up = workload.requests(settings.sizes, settings.seed - 1)
        running = [systems.engine_system(scorer) for scorer in scorers]
        for one in _on_cpus(path, settings, device, stack, say):
            if isinstance(one, Skipped):
                skipped.append(one)
            else:
                running.append(one)
        running.append(systems.langchain_system(reference))
        running.append(systems.one_batch_system(reference))
        half = scorers[-1].dtype
        say(f"Tuning the batch size of sentence-transformers in {half}")
        model = reference if half == "float32" else _cross_encoder(path, device, half)
        running.append(systems.tuned_system(model, half, warm_up[0]))
        flag = systems.flag_embedding_system(path, device, half=half != "float32")
        if isinstance(flag, Skipped):
            skipped.append(flag)
        else:
            running.append(flag)
        for system in running:
            say(f"Warming up {system.name}")
            system.score(*warm_up[0])
        say("Measuring the matrix-product ceiling")
        ceilings = {
            dtype: machine.matrix_ceiling(device, dtype)
            for dtype in {s.dtype for s in running} - {INT8}
        }
        ceilings[INT8] = ceilings[half]  # of what it leaves unrounded
        rounds = [_requests(workload, settings, number) for number in range(settings.rounds)]
        yield Bench(
            model=settings.model or settings.shape.value,
            device=device,
            systems=running,
            skipped=skipped,
            ceilings={system.name: ceilings[system.dtype] for system in running},
            work=_work(reference),
            padding=_padding(reference.tokenizer, rounds),
            rounds=rounds,
        )


def _on_cpus(
    path: str,
    settings: Settings,
    device: str,
    stack: contextlib.ExitStack,
    say: Callable[[str], None],
) -> Iterator[System | Skipped]:
    """Yield the engine as it computes on CPUs alone, or why it does not."""
    for name, packages, dtype in (
        ("OpenVINO", ("openvino",), settings.dtype),
        ("int8", ("openvino", "nncf"), INT8),
    ):
        missing = [one for one in packages if find_spec(one) is None]
        if dtype == INT8 and settings.model is None:  # Rounding a large shape takes many minutes.
            yield Skipped(name, "random weights have no order to keep; give --model")
        elif device != "cpu" or settings.dtype == "float16":
            yield Skipped(name, "it is for CPUs, in float32 or bfloat16")
        elif missing:
            yield Skipped(name, f"the package {missing[0]} is not installed")
        else:
            say(f"Loading the engine with {name}")
            scorer = stack.enter_context(_scorer(path, settings, dtype, "openvino"))
            scorer.load()
            if dtype == INT8 != scorer.dtype:
                scorer.close()
                yield Skipped(name, "this model is not rounded, for the reason that was logged")
            else:
                yield systems.engine_system(scorer)


def _scorer(
    path: str, settings: Settings, dtype: str, backend: str = "torch"
) -> CrossEncoderScorer:
    return CrossEncoderScorer(
        path, device=settings.device, dtype=dtype, backend=backend, max_length=MAX_LENGTH
    )


def _cross_encoder(path: str, device: str, dtype: str) -> Any:
    import sentence_transformers
    import torch

    try:
        return sentence_transformers.CrossEncoder(
            path,
            device=device,
            max_length=MAX_LENGTH,
            model_kwargs={"dtype": getattr(torch, dtype)},
        )
    except (OSError, ValueError) as error:
        raise ModelLoadError(
            f"sentence-transformers cannot load {path}: {error}. Give --model a cross-encoder."
        ) from error


def _work(reference: Any) -> Work:
    lengths = partial(pair_tokens, reference.tokenizer, max_length=MAX_LENGTH)
    return Work(
        tokens=lambda requests: float(sum(lengths(requests))),
        flop=lambda requests: machine.flops(reference.model, lengths(requests)),
    )


def _padding(tokenizer: Any, rounds: Sequence[Requests]) -> float:
    shares = [
        padding_share(pair_tokens(tokenizer, [request], MAX_LENGTH), systems.DEFAULT_BATCH_SIZE)
        for requests in rounds
        for request in requests.alone
    ]
    return sum(shares) / len(shares)


def _requests(workload: Workload, settings: Settings, number: int) -> Requests:
    together = replace(
        settings.sizes, queries=settings.callers, candidates=settings.caller_candidates
    )
    seed = settings.seed + 3 * number
    return Requests(
        alone=workload.requests(settings.sizes, seed),
        bulk=workload.requests(together, seed + 1),
        callers=workload.requests(together, seed + 2),
    )
