"""What can go wrong while a model loads: each gives an error that helps, or a slower path."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from sentence_transformers import CrossEncoder

from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine import choice
from langchain_rerank.testing.tiny_models import build_tiny_model

QUERY, TEXTS = "vitamin C", ["sailors and scurvy", "the river Seine", "lemons contain vitamin C"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_tiny_model("bert", tmp_path_factory.mktemp("bert"), max_length=64)


@pytest.fixture(scope="module")
def expected(folder):
    model = CrossEncoder(str(folder), device="cpu")
    return pytest.approx(model.predict([(QUERY, text) for text in TEXTS]).tolist(), abs=1e-5)


@pytest.fixture
def scorer(folder):
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        yield scorer


@pytest.mark.parametrize("position", [0, 3, -1])
def test_a_path_that_gives_nan_for_any_probe_is_left_out(
    scorer, expected, monkeypatch, caplog, position
):
    build = choice._packed

    def _packed(loaded, activation, **settings):
        forward = build(loaded, activation, **settings)
        launch = forward.launch

        def broken(pairs):
            scores = launch(pairs)()
            scores[position] = math.nan
            return lambda: scores

        forward.launch = broken
        return forward

    monkeypatch.setattr(choice, "_packed", _packed)
    with caplog.at_level(logging.WARNING, "langchain_rerank"):
        scorer.load()
    assert scorer.path == "padded"
    assert "(padded): packed: logits differ by nan on probe texts" in caplog.text
    assert scorer.score(QUERY, TEXTS) == expected


def test_a_model_whose_own_logits_are_not_finite_is_computed_as_it_is(folder, caplog):
    model = CrossEncoder(str(folder), device="cpu")
    with torch.no_grad():
        model.model.classifier.bias.fill_(math.inf)
    with (
        caplog.at_level(logging.WARNING, "langchain_rerank"),
        CrossEncoderScorer(model, device="cpu", dtype="float32") as scorer,
    ):
        scorer.load()
        assert scorer.path == "modules"
    assert "own logits are not finite on probe texts in torch.float32" in caplog.text
