"""How long this package alone takes over models of several sizes: what one search costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langchain_rerank.bench.setup import MAX_LENGTH, Settings
from langchain_rerank.bench.shapes import LIKE, Shape, build_shape
from langchain_rerank.bench.summary import Spread, spread
from langchain_rerank.bench.workload import Workload, guides
from langchain_rerank.embedded import MODEL_FOLDER
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine.registry import loaded_models

ENOUGH_SECONDS = 20.0
"""A model that has computed for so long begins no other round."""

_WARM_UP = 8  # passages


@dataclass(frozen=True)
class Cost:
    """What one model costs.

    Attributes:
        model: What was measured: a shape, or a model's name.
        like: Published models of this shape; "" for a model that is real itself.
        parameters: Of the loaded model.
        megabytes: Of its weights, in the precision in use.
        dtype: That precision.
        device: What computed it.
        path: "packed", "padded", "openvino" or "predict".
        load_seconds: From its files to the first score, the comparison with `predict` included.
        queries: How many were measured.
        seconds: For all passages of one query, over the queries.
        tokens: Of a pair, special ones counted; the mean.
    """

    model: str
    like: str
    parameters: int
    megabytes: float
    dtype: str
    device: str
    path: str
    load_seconds: float
    queries: int
    seconds: Spread
    tokens: float


def costs(
    shapes: Sequence[Shape], settings: Settings, say: Callable[[str], None]
) -> Iterator[Cost]:
    """Yield what each model costs as soon as it is measured; each is unloaded before the next.

    Args:
        shapes: What to build with random weights, unless `settings` names a model.
        settings: One caller's queries and passages, device, precision, rounds.
        say: Told what is going on.

    Raises:
        ModelLoadError: A model cannot be loaded.
        ConfigurationError: The device is not there.
    """
    if settings.model is not None:
        yield _cost(settings.model, settings.model, "", settings, say)
        return
    for shape in shapes:
        with TemporaryDirectory(prefix="bench-") as folder:
            say(f"Building {shape.value} with random weights")
            path = str(build_shape(shape, Path(folder)))
            yield _cost(path, shape.value, LIKE[shape], settings, say)


def _cost(path: str, name: str, like: str, settings: Settings, say: Callable[[str], None]) -> Cost:
    import torch

    with CrossEncoderScorer(
        path, device=settings.device, dtype=settings.dtype, max_length=MAX_LENGTH
    ) as scorer:
        say(f"Loading {name}")
        begin = time.perf_counter()
        scorer.score("What is measured?", ["The time from the files to the first score."])
        load_seconds = time.perf_counter() - begin
        key = (scorer.name, scorer.dtype)
        model = next(one for one in loaded_models() if (one.name, one.dtype) == key)
        workload = Workload(_tokenizer(path), guides())
        say(f"Measuring {name}")
        query, texts = workload.requests(settings.sizes, settings.seed - 1)[0]
        scorer.score(query, texts[:_WARM_UP])
        before = scorer.metrics()
        times: list[float] = []
        for number in range(settings.rounds):
            for query, texts in workload.requests(settings.sizes, settings.seed + number):
                begin = time.perf_counter()
                scorer.score(query, texts)
                times.append(time.perf_counter() - begin)
            if sum(times) >= ENOUGH_SECONDS:
                break
        after = scorer.metrics()
        return Cost(
            model=name,
            like=like,
            parameters=model.bytes // getattr(torch, scorer.dtype).itemsize,
            megabytes=model.bytes / 1e6,
            dtype=scorer.dtype,
            device=scorer.device,
            path=str(scorer.path),
            load_seconds=load_seconds,
            queries=len(times),
            seconds=spread(times),
            tokens=(after.tokens - before.tokens) / (after.texts - before.texts),
        )


def _tokenizer(path: str) -> Any:
    import transformers

    auto: Any = transformers.AutoTokenizer
    return auto.from_pretrained(MODEL_FOLDER if path == "embedded" else path)
