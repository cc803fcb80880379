"""Memory stays bounded however many candidates there are."""

from __future__ import annotations

import gc

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
