"""Memory stays bounded however many candidates there are."""

from __future__ import annotations

import gc
import random

import psutil
import pytest

from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.testing.tiny_models import build_tiny_model


@pytest.mark.slow
@pytest.mark.timeout(1200)  # Four million tokens, on whatever machine this is.
def test_ten_thousand_long_candidates_do_not_grow_the_process(tmp_path):
    build_tiny_model("bert", tmp_path, num_hidden_layers=1)
    # Distinct, so that nothing is answered from the cache of tokens.
    texts = [f"{number} " + "people live " * 198 for number in range(10_000)]
    with CrossEncoderScorer(tmp_path, device="cpu", dtype="float32") as scorer:
        scorer.score("Berlin", texts[:100])
        gc.collect()
        before = psutil.Process().memory_info().rss
        scores = scorer.score("Berlin", texts)
        grown = psutil.Process().memory_info().rss - before
    assert len(scores) == 10_000
    assert len(set(scores)) > 100
    assert grown < 500 * 2**20, f"grew by {grown / 2**20:.0f} MiB"


@pytest.mark.long
@pytest.mark.timeout(900)  # Seven minutes on two cores; a busy machine gets the rest.
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_requests_of_any_length_do_not_grow_a_service(dtype):
    """A oneDNN primitive for every total of tokens would, by megabytes each."""
    draw = random.Random(7)
    words = [f"word{number}" for number in range(500)]

    def texts():
        counts = [round(5 * 80 ** draw.random()) for _ in range(4)]  # 5 to 400, log-uniform
        return [" ".join(draw.choices(words, k=count)) for count in counts]

    process, resident = psutil.Process(), []
    with CrossEncoderScorer("embedded", device="cpu", dtype=dtype) as scorer:
        for number in range(1, 2001):
            scorer.score("which words are these", texts())
            if number in {200, 2000}:
                gc.collect()
                resident.append(process.memory_info().rss)
    grown = resident[1] / resident[0] - 1
    assert grown < 0.05, f"grew by {grown:.1%}, from {resident[0] / 2**20:.0f} MiB"
