"""The ways to rerank that are compared: each answers one query, and all queries at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from langchain_rerank.bench.workload import pairs_of
from langchain_rerank.scorers.contract import Request
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine.settings import INT8

REFERENCE = "LangChain's path"
"""The system that the others are compared with: fp32, one `predict` per query."""

DEFAULT_BATCH_SIZE = 32
"""Pairs a batch of its `predict`, longest first."""

_BATCH_SIZES = (8, 16, 32, 64, 128)
_SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16", INT8: "int8"}


@dataclass(frozen=True)
class System:
    """One way to rerank.

    Attributes:
        name: What it is called in the report.
        dtype: The precision it computes in: "float32", "bfloat16", "float16" or "int8".
        score: Scores the texts of one query.
        score_many: Scores all requests in one call; None where there is no such call.
        concurrent: Whether many callers at once are measured.
        keeps_documents: Whether texts seen before cost less; then they are measured too.
    """

    name: str
    dtype: str
    score: Callable[[str, Sequence[str]], Sequence[float]]
    score_many: Callable[[Sequence[Request]], Any] | None = None
    concurrent: bool = False
    keeps_documents: bool = False


@dataclass(frozen=True)
class Skipped:
    """A system that cannot run here, and why."""

    name: str
    reason: str


def engine_system(scorer: CrossEncoderScorer) -> System:
    """Return this package's scorer as a system; it is loaded."""
    scorer.load()
    through = ", OpenVINO" if scorer.path == "openvino" else ""
    return System(
        f"langchain-rerank {_SHORT[scorer.dtype]}{through}",
        scorer.dtype,
        scorer.score,
        scorer.score_many,
        concurrent=True,
        keeps_documents=True,
    )


def langchain_system(model: Any) -> System:
    """Return the path of LangChain's CrossEncoderReranker over a HuggingFaceCrossEncoder.

    That is one `predict` over the pairs of each query, with its defaults: fp32, 32 pairs a batch.

    Args:
        model: A `sentence_transformers.CrossEncoder` in fp32.
    """
    # `retriever.batch` makes one such call per query too: what holds for one caller holds for it.
    return System(
        REFERENCE,
        "float32",
        lambda query, texts: _predicted(model, [(query, texts)]),
        concurrent=True,
    )


def tuned_system(model: Any, dtype: str, sample: Request) -> System:
    """Return sentence-transformers at its best: 16 bits, and the batch size that is fastest here.

    Args:
        model: A `sentence_transformers.CrossEncoder` in `dtype`.
        dtype: The precision it was loaded in.
        sample: What the batch size is tuned on.
    """

    def seconds(batch_size: int) -> float:
        begin = time.perf_counter()
        _predicted(model, [sample], batch_size=batch_size)
        return time.perf_counter() - begin

    seconds(_BATCH_SIZES[0])  # the first call of all is slow
    best = min(_BATCH_SIZES, key=seconds)
    score_many = partial(_predicted, model, batch_size=best)
    return System(
        f"sentence-transformers {_SHORT[dtype]}, batch {best}",
        dtype,
        lambda query, texts: score_many([(query, texts)]),
        score_many,
    )


def one_batch_system(model: Any) -> System:
    """Return FlashRank's way: all texts of a query in one padded batch, without a bound.

    FlashRank itself runs its own ONNX models; this is its batching over the model at hand.
    """
    return System(
        "one padded batch, as FlashRank",
        "float32",
        lambda query, texts: _predicted(model, [(query, texts)], batch_size=len(texts)),
    )


def flag_embedding_system(path: str, device: str, *, half: bool) -> System | Skipped:
    """Return FlagEmbedding's FlagReranker in 16 bits where the device has them, or why not."""
    name = "FlagEmbedding"
    if find_spec("FlagEmbedding") is None:
        return Skipped(name, "the package FlagEmbedding is not installed")
    reranker = import_module("FlagEmbedding").FlagReranker(path, use_fp16=half, devices=device)

    def score_many(requests: Sequence[Request]) -> Sequence[float]:
        scores: Sequence[float] = reranker.compute_score(pairs_of(requests))
        return scores

    dtype = "float16" if half else "float32"
    return System(name, dtype, lambda query, texts: score_many([(query, texts)]), score_many)


def _predicted(model: Any, requests: Sequence[Request], **settings: Any) -> Sequence[float]:
    scores: Sequence[float] = model.predict(pairs_of(requests), **settings)
    return scores
