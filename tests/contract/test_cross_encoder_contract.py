"""The local cross-encoder keeps the contract, for every architecture and inside every wrapper."""

from __future__ import annotations

import pytest

from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.testing import Samples, ScorerContract
from langchain_rerank.testing.tiny_models import FAMILIES, build_tiny_model
from langchain_rerank.wrappers import CachedScorer, CascadeScorer, LongDocumentScorer


def scorer_of(family, folder, **settings):
    return CrossEncoderScorer(
        build_tiny_model(family, folder, max_length=256), device="cpu", **settings
    )


@pytest.fixture(scope="module", params=FAMILIES)
def cross_encoder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with scorer_of(request.param, folder, dtype="float32") as scorer:
        yield scorer


class TestCrossEncoders(ScorerContract):
    @pytest.fixture
    def scorer(self, cross_encoder):
        return cross_encoder


@pytest.fixture(scope="module")
def half_precision(tmp_path_factory):
    # Logits, which random weights spread wide, so that a rounding is far below a difference.
    folder = build_tiny_model("bert", tmp_path_factory.mktemp("bert"), activation="Identity")
    with CrossEncoderScorer(folder, device="cpu", dtype="bfloat16") as scorer:
        yield scorer


class TestCrossEncodersInBfloat16(ScorerContract):
    samples = Samples(tolerance=0.02)

    @pytest.fixture
    def scorer(self, half_precision):
        return half_precision


@pytest.fixture(scope="module", params=["bert", "xlm-roberta"])
def through_openvino(request, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGCHAIN_RERANK_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp(request.param)
        with scorer_of(request.param, folder, dtype="float32", backend="openvino") as scorer:
            scorer.load()
            assert scorer.path == "openvino"
            yield scorer


class TestCrossEncodersThroughOpenVino(ScorerContract):
    @pytest.fixture
    def scorer(self, through_openvino):
        return through_openvino


WRAPPED = {
    "cached": lambda small, large, folder: CachedScorer(small),
    "on disk": lambda small, large, folder: CachedScorer(small, path=folder / "scores.sqlite"),
    "long": lambda small, large, folder: LongDocumentScorer(
        large, passage_words=8, overlap_words=3
    ),
    "cascade": lambda small, large, folder: CascadeScorer(CachedScorer(small), large, keep=3),
}


@pytest.fixture(scope="module", params=WRAPPED)
def wrapped(request, tmp_path_factory):
    small = scorer_of("bert", tmp_path_factory.mktemp("small"), dtype="float32")
    large = scorer_of("xlm-roberta", tmp_path_factory.mktemp("large"), dtype="float32")
    scorer = WRAPPED[request.param](small, large, tmp_path_factory.mktemp("cache"))
    yield scorer
    for opened in (scorer, small, large):
        opened.close()


class TestWrappedCrossEncoders(ScorerContract):
    @pytest.fixture
    def scorer(self, wrapped):
        return wrapped
