"""What the engine changes in its view of a model so that less is computed: no score changes."""

from __future__ import annotations

import inspect

import pytest
import torch
from sentence_transformers import CrossEncoder
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine.forward import model_edits
from langchain_rerank.testing.tiny_models import build_tiny_model

QUERY = "How many people live in Berlin?"
TEXTS = ["Berlin has 3.5 million inhabitants.", "Vitamin C protects sailors.", "A river " * 60]


class CentredRMSNorm(Qwen3RMSNorm):
    """Of the name, and another norm."""

    def forward(self, hidden_states):
        return super().forward(hidden_states - hidden_states.mean(-1, keepdim=True))


class SetRMSNorm(Qwen3RMSNorm):
    """Of one class, and several norms: a setting or a buffer says which."""

    def __init__(self, size, *, factor=1.0, buffer=None):
        super().__init__(size)
        self.factor = factor
        if buffer is not None:
            self.register_buffer("buffer", torch.tensor(buffer), persistent=False)

    def forward(self, hidden_states):
        return super().forward(hidden_states) * self.factor * getattr(self, "buffer", 1.0)


def with_weight(norm, dtype):
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        norm.weight.copy_(torch.randn(16))
    return norm.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("kind", "fused"), [(Qwen3RMSNorm, True), (CentredRMSNorm, False), (GemmaRMSNorm, False)]
)
@pytest.mark.parametrize("size", [1.0, 1e-3])  # The second is where the epsilon counts.
def test_a_norm_is_fused_where_torch_computes_the_same_and_follows_its_weight(
    kind, fused, dtype, size
):
    norm = with_weight(kind(16, eps=1e-6), dtype)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        states = (size * torch.randn(3, 5, 16)).to(dtype)
    before = norm(states)
    model_edits.fuse_norms(torch.nn.Sequential(norm))
    assert ("forward" in vars(norm)) is fused
    after = norm(states)
    assert after.dtype == before.dtype
    torch.testing.assert_close(after, before, rtol=2 * torch.finfo(dtype).eps, atol=1e-6)
    norm.weight.data *= 2
    torch.testing.assert_close(norm(states), 2 * after) if fused else None


def test_norms_of_one_class_are_told_apart_by_their_settings_and_buffers():
    norms = torch.nn.ModuleList(
        [SetRMSNorm(16), SetRMSNorm(16, factor=2.0), SetRMSNorm(16, buffer=1.0)]
    )
    model_edits.fuse_norms(norms)
    norms[2].buffer += 2
    assert ["forward" in vars(norm) for norm in norms] == [True, False, False]
    states = torch.ones(2, 16)
    with torch.no_grad():
        factors = [float((norm(states) / norms[0](states)).mean()) for norm in norms]
    assert factors == pytest.approx([1.0, 2.0, 3.0])


def test_a_fused_norm_in_float32_after_layers_in_16_bits_keeps_its_bits():
    """As where who passed the model in keeps its last norm and its head in float32."""
    norm = with_weight(Qwen3RMSNorm(16), torch.float32)
    states = torch.arange(1, 33).reshape(2, 16).bfloat16()
    before = norm(states)
    model_edits.fuse_norms(norm)
    assert "forward" in vars(norm)
    assert norm(states).dtype == torch.float32
    assert torch.equal(norm(states), before)


def test_whose_forward_was_replaced_is_left_as_it_is():
    norm = with_weight(Qwen3RMSNorm(16), torch.float32)
    norm.forward = lambda states: states
    model_edits.fuse_norms(norm)
    assert norm(TEXTS) is TEXTS


@pytest.mark.parametrize("default", ["cpu", "meta"])
def test_finding_out_leaves_what_is_drawn_and_takes_no_default_of_the_caller(default):
    norm = with_weight(Qwen3RMSNorm(16), torch.float32)
    state = torch.get_rng_state()
    torch.set_default_device(default)
    torch.set_default_dtype(torch.float16)
    try:
        model_edits.fuse_norms(norm)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    assert "forward" in vars(norm)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("family", ["qwen3", "llama", "qwen2"])
def test_the_engine_scores_with_fused_norms_as_predict_does(tmp_path, family):
    model = CrossEncoder(str(build_tiny_model(family, tmp_path, seed=3)), device="cpu")
    expected = model.predict([(QUERY, text) for text in TEXTS]).tolist()
    with CrossEncoderScorer(tmp_path, device="cpu", dtype="float32") as scorer:
        assert scorer.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-5)
        base = scorer._engine._forward._read.base
        norms = [part for part in base.modules() if type(part).__name__.endswith("RMSNorm")]
        assert norms
        assert all("forward" in vars(norm) for norm in norms)


@pytest.mark.parametrize(
    ("family", "kind", "method"),
    [("qwen3", Qwen3RMSNorm, "forward"), ("bert", BertLayer, "feed_forward_chunk")],
)
def test_what_is_patched_in_a_class_of_transformers_is_followed(
    tmp_path, monkeypatch, family, kind, method
):
    folder = str(build_tiny_model(family, tmp_path, seed=3, activation="Identity"))
    model = CrossEncoder(folder, device="cpu")
    scorer = CrossEncoderScorer(model, device="cpu", dtype="float32")
    before = scorer.score(QUERY, TEXTS)
    patched = getattr(kind, method)
    monkeypatch.setattr(kind, method, lambda self, states: patched(self, states) / 2)
    expected = [float(model.predict([(QUERY, text)])[0]) for text in TEXTS]
    assert scorer.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-5)
    assert before != pytest.approx(expected, abs=1e-2)


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_in_16_bits_a_cpu_gives_the_bits_of_predict(tmp_path, family):
    """The last norm and the head are in float32, so that the logits have the bits to show it."""
    folder = str(build_tiny_model(family, tmp_path, seed=3, tie_word_embeddings=False))
    model = CrossEncoder(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})
    model.activation_fn = torch.nn.Identity()
    causal = model.transformers_model
    causal.model.norm.float()
    causal.lm_head.float()
    norms = [one for one in causal.modules() if type(one).__name__.endswith("RMSNorm")]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for norm in norms:
            norm.weight.add_(torch.randn_like(norm.weight) / 4)
    expected = [float(model.predict([(QUERY, text)])[0]) for text in TEXTS]
    scorer = CrossEncoderScorer(model, device="cpu", dtype="bfloat16")
    assert scorer.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-5)


def test_no_layer_looks_up_a_signature_while_it_computes(tmp_path, monkeypatch):
    model = CrossEncoder(str(build_tiny_model("xlm-roberta", tmp_path, seed=3)), device="cpu")
    expected = model.predict([(QUERY, text) for text in TEXTS]).tolist()
    with CrossEncoderScorer(tmp_path, device="cpu", dtype="float32") as scorer:
        scorer.load()
        looked_up = []
        monkeypatch.setattr(
            inspect, "_signature_from_function", lambda *_, **__: looked_up.append(1)
        )
        scores = scorer.score(QUERY, TEXTS)
        monkeypatch.undo()
    assert scores == pytest.approx(expected, abs=1e-5)
    assert not looked_up
