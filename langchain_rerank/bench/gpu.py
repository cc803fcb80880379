"""The CUDA path on this machine: its tests, and three goals with what was predicted beside them.

`make gpu PYTHON=python3` runs it with the interpreter that it is given and the checkout as it is:
nothing is installed, no hub is asked, and nothing is kept. Of what the package requires it needs
torch, sentence-transformers and what these two need.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from langchain_rerank import user_cache
from langchain_rerank.bench import machine
from langchain_rerank.bench.shapes import Shape, build_shape
from langchain_rerank.bench.workload import guides
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer

_TESTS = Path("tests/integration/test_engine_gpu.py")
_ROUNDS = 5
_SECONDS_FOR_TESTS = 240


@dataclass(frozen=True)
class Goal:
    """A figure, what it should be, and what was predicted from arithmetic on an H100.

    Attributes:
        name: What is measured.
        unit: Of the figures.
        wanted: The goal, in words.
        predicted: The prediction, in words.
        measured: The median.
        rounds: `(n,)` each round.
        reached: Whether the median reaches the goal.
    """

    name: str
    unit: str
    wanted: str
    predicted: str
    measured: float
    rounds: list[float]
    reached: bool


def main(arguments: list[str] | None = None) -> int:
    """Return 0 if tests and goals are well or there is no GPU, else 1.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write everything to this file")
    parser.add_argument("--device", default="cuda", help='such as "cuda:1"')
    given = parser.parse_args(arguments)
    skipped: list[str] = []
    report: dict[str, Any] = {"skipped": skipped, "goals": []}
    missing = _missing(given.device)
    if missing:
        skipped.append(missing)
    else:
        with TemporaryDirectory(prefix="gpu-cache-") as cache:
            os.environ[user_cache.VARIABLE] = cache
            _check_and_measure(given.device, report)
    for one in skipped:
        _say(f"Skipped: {one}")
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    failed = report.get("tests") == "failed" or not all(g["reached"] for g in report["goals"])
    return int(failed)


def _check_and_measure(device: str, report: dict[str, Any]) -> None:
    report["machine"] = machine.describe(device)
    _say(f"On {report['machine']['device']}, torch {report['machine']['torch']}")
    report["tests"] = _run_tests(report["skipped"])
    for measure in (_bulk, _one_query, _warm_documents):
        with TemporaryDirectory(prefix="gpu-") as folder:
            goal = measure(Path(folder), device)
        report["goals"].append(asdict(goal))
        _say(
            f"{goal.name}: {goal.measured:.3g} {goal.unit}; wanted {goal.wanted}, predicted "
            f"{goal.predicted}{'' if goal.reached else ' - NOT REACHED'}"
        )


def _missing(device: str) -> str:
    """Return why nothing can be measured, or ""."""
    import torch

    if not torch.cuda.is_available():
        return f"everything: torch {torch.__version__} sees no CUDA device"
    if torch.device(device).type != "cuda":
        return f"everything: {device} is no CUDA device"
    return ""


def _run_tests(skipped: list[str]) -> str:
    if find_spec("pytest") is None or not _TESTS.exists():
        skipped.append("the tests: they need pytest and the checkout's folder as working folder")
        return "skipped"
    # What the project's own settings and fixtures name may be missing from this interpreter.
    command = [sys.executable, "-m", "pytest", "-q", "--noconftest", "-c", os.devnull]
    markers = ["--rootdir", ".", "-o", "markers=gpu: needs a CUDA device", "-m", "gpu", str(_TESTS)]
    try:
        done = subprocess.run([*command, *markers], check=False, timeout=_SECONDS_FOR_TESTS)  # noqa: S603  # our own tests
    except subprocess.TimeoutExpired:
        _say(f"The tests took more than {_SECONDS_FOR_TESTS} s and were stopped.")
        return "failed"
    return "passed" if done.returncode == 0 else "failed"


def _bulk(folder: Path, device: str) -> Goal:
    """Measure bge-large's shape with texts of 512 tokens, as a share of the products' ceiling."""
    with _scorer(Shape.bge_large, folder, device) as scorer:
        work = _flop_of(folder)
        ceiling = machine.matrix_ceiling(device, scorer.dtype)
        texts = _texts(words=600)  # More than 512 tokens: each is cut to them.
        scorer.score(_QUERY, list(islice(texts, 64)))
        shares = []
        for _ in range(_ROUNDS):
            batch = list(islice(texts, 512))
            seconds = _seconds(lambda batch=batch: scorer.score(_QUERY, batch))  # type: ignore[misc]  # bound at once
            shares.append(100 * work([512] * len(batch)) / seconds / ceiling)
    share = median(shares)
    return Goal(
        "bge-large, 512 texts of 512 tokens", "% of the ceiling", ">= 60", "60", share, shares,
        share >= 60,
    )  # fmt: skip


def _one_query(folder: Path, device: str) -> Goal:
    """Measure one query with 50 fresh texts of 128 tokens under bge-large's shape."""
    with _scorer(Shape.bge_large, folder, device, max_length=128) as scorer:
        texts = _texts(words=160)
        for _ in range(5):
            scorer.score(_QUERY, list(islice(texts, 50)))
        times = []
        for _ in range(50):
            batch = list(islice(texts, 50))
            times.append(1000 * _seconds(lambda batch=batch: scorer.score(_QUERY, batch)))  # type: ignore[misc]  # bound at once
    p50 = median(times)
    return Goal("bge-large, 50 texts of 128 tokens", "ms p50", "< 15", "11.5", p50, times, p50 < 15)


def _warm_documents(folder: Path, device: str) -> Goal:
    """Measure MiniLM-L6's shape over documents seen before, beside sentence-transformers."""
    import torch
    from sentence_transformers import CrossEncoder

    with _scorer(Shape.minilm_l6, folder, device) as scorer:
        documents = list(islice(_texts(words=130), 1000))
        reference: Any = CrossEncoder(
            str(folder),
            device=device,
            max_length=512,
            model_kwargs={"dtype": getattr(torch, scorer.dtype)},
        )
        pairs = [(_QUERY, document) for document in documents]
        scorer.score(_QUERY, documents)
        reference.predict(pairs[:64])
        times = []
        for number in range(_ROUNDS):
            query = f"{_QUERY} {number}"
            mine = _seconds(lambda query=query: scorer.score(query, documents))  # type: ignore[misc]  # bound at once
            times.append(_seconds(lambda: reference.predict(pairs, batch_size=128)) / mine)
    factor = median(times)
    return Goal(
        "MiniLM-L6, 1,000 documents seen before", "times sentence-transformers", ">= 6",
        "6.6 to 10", factor, times, factor >= 6,
    )  # fmt: skip


_QUERY = "which passage says how the parts are put together"


def _scorer(shape: Shape, folder: Path, device: str, max_length: int = 512) -> CrossEncoderScorer:
    _say(f"Building {shape.value} with random weights")
    scorer = CrossEncoderScorer(
        build_shape(shape, folder), device=device, dtype="auto", max_length=max_length
    )
    scorer.load()
    _say(f"It computes in {scorer.dtype}, {scorer.path}")
    return scorer


def _flop_of(folder: Path) -> Callable[[list[int]], float]:
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    auto: Any = transformers.AutoModelForSequenceClassification
    import torch

    with torch.device("meta"):
        model = auto.from_config(config)
    return lambda lengths: machine.flops(model, lengths)


def _texts(words: int) -> Iterator[str]:
    """Yield texts of so many words from the guides, each another one."""
    known = guides().split()
    number = 0
    while True:
        start = (number * 37) % len(known)
        yield " ".join([f"{number}", *(known[start:] + known * (words // len(known) + 1))[:words]])
        number += 1


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
