"""On a CPU the engine's linear layers multiply by weights that were arranged once."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import CrossEncoder

from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine import engine, loading
from langchain_rerank.scorers.engine.forward import model_edits
from langchain_rerank.scorers.engine.tokens.reference import Reference
from langchain_rerank.testing.tiny_models import build_tiny_model

QUERY = "How many people live in Berlin?"
TEXTS = ["Berlin has 3.5 million inhabitants.", "Vitamin C protects sailors.", "A river " * 60]
EXACT = 1e-5


@pytest.fixture
def folder(tmp_path):
    return build_tiny_model("bert", tmp_path, seed=3)


@pytest.fixture
def expected(folder):
    return pytest.approx(predicted(CrossEncoder(str(folder), device="cpu")), abs=EXACT)


def predicted(model):
    return model.predict([(QUERY, text) for text in TEXTS], show_progress_bar=False).tolist()


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if "slower" in record.getMessage()]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_where_torch_can_every_weight_is_arranged_and_its_first_form_let_go(dtype):
    if dtype == "bfloat16" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this CPU has no products in bfloat16")
    layers = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 4))
    layers = layers.to(getattr(torch, dtype))
    states = torch.randn(1, 5, 8, dtype=getattr(torch, dtype))
    with torch.inference_mode():
        before = layers(states)
        model_edits.prepack(layers)
        after = layers(states)
    torch.testing.assert_close(after, before)
    assert {name for name, _ in layers.named_parameters()} == {"0.bias", "2.bias"}


def test_the_engine_arranges_the_weights_of_a_model_that_it_loaded(folder, expected, monkeypatch):
    arranged = []
    arrange = model_edits._prepacked
    monkeypatch.setattr(model_edits, "_prepacked", lambda one: arranged.append(one) or arrange(one))
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        assert scorer.score(QUERY, TEXTS) == expected
        assert scorer.path == "packed"
    config = CrossEncoder(str(folder)).config
    assert len(arranged) == 6 * config.num_hidden_layers


def test_no_second_copy_of_the_weights_is_kept(folder, expected, monkeypatch):
    models = []

    def load(settings):
        models.append(loading.load_cross_encoder(settings))
        return models[0]

    monkeypatch.setattr(engine, "load_cross_encoder", load)
    monkeypatch.setattr(engine, "choose_tokenizer", Reference)  # what still asks the model
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        assert scorer.score(QUERY, TEXTS) == expected
        assert all(weights.is_meta for weights in models[0][0].parameters())


@pytest.mark.parametrize("error", [AttributeError, RuntimeError])
def test_a_torch_without_the_operators_gives_the_same_scores(
    folder, expected, monkeypatch, caplog, error
):
    def arrange(_):
        raise error("no such operator")

    monkeypatch.setattr(model_edits, "_prepacked", arrange)
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        assert scorer.score(QUERY, TEXTS) == expected
        assert scorer.path == "packed"
    assert not warnings(caplog)


def test_operators_that_compute_something_else_are_found_out(folder, expected, monkeypatch, caplog):
    def arrange(linear):
        weight = -linear.weight
        return lambda states: states @ weight.T

    monkeypatch.setattr(model_edits, "_prepacked", arrange)
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        assert scorer.score(QUERY, TEXTS) == expected
    [warning] = warnings(caplog)
    assert "scores differ from its own" in warning


def test_a_model_that_was_passed_in_and_is_trained_on_scores_with_its_new_weights(folder):
    model = CrossEncoder(str(folder), device="cpu")
    with CrossEncoderScorer(model, device="cpu", dtype="float32") as scorer:
        before = scorer.score(QUERY, TEXTS)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)
        after = scorer.score(QUERY, TEXTS)
    assert after == pytest.approx(predicted(model), abs=EXACT)
    assert after != pytest.approx(before, abs=100 * EXACT)
