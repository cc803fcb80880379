"""The CUDA paths, on a machine that has one."""

from __future__ import annotations

import gc
import subprocess
import sys
import warnings

import pytest
import torch
from sentence_transformers import CrossEncoder

from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine.forward import packed_attention
from langchain_rerank.scorers.engine.forward.arrays import pack
from langchain_rerank.testing.tiny_models import FAMILIES, build_tiny_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

QUERY = "How many people live in Berlin?"
TEXTS = [f"Berlin and its {count} people " * count for count in (1, 30, 4, 17, 9, 2, 40)] + [
    "",
    " ",
]


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    return build_tiny_model(request.param, tmp_path_factory.mktemp(request.param), seed=3)


@pytest.fixture(scope="module")
def reference(folder):
    return CrossEncoder(str(folder), device="cpu").predict([(QUERY, t) for t in TEXTS]).tolist()


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("auto", 0.05)])
def test_scores_on_the_gpu_are_those_of_sentence_transformers(folder, reference, dtype, tolerance):
    with CrossEncoderScorer(folder, device="cuda", dtype=dtype) as scorer:
        assert scorer.score(QUERY, TEXTS) == pytest.approx(reference, abs=tolerance)


def test_a_score_does_not_depend_on_its_batch(folder):
    with CrossEncoderScorer(folder, device="cuda", dtype="bfloat16") as scorer:
        together = scorer.score(QUERY, TEXTS)
        alone = [scorer.score(QUERY, [text])[0] for text in TEXTS]
    assert together == pytest.approx(alone, abs=0.01)


@pytest.mark.parametrize("family", ["bert", "qwen3"])  # The second shares its prompts.
def test_launching_a_packed_batch_never_waits_for_the_device(tmp_path, family):
    build_tiny_model(family, tmp_path)
    with CrossEncoderScorer(tmp_path, device="cuda", dtype="bfloat16") as scorer:
        scorer.load()
        assert scorer.path == "packed"
        worker = scorer._engine._worker
        pairs = worker._tokenize(QUERY, TEXTS, None)
        worker._forward.launch(pairs)()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # That the mode is a prototype.
            torch.cuda.set_sync_debug_mode("error")
        try:
            collect = worker._forward.launch(pairs)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert collect() == pytest.approx(scorer.score(QUERY, TEXTS), abs=1e-6)


@pytest.mark.parametrize("settings", [{}, {"use_sliding_window": True, "sliding_window": 24}])
def test_texts_share_a_prompt_on_the_gpu_without_a_change_of_scores(tmp_path, settings, caplog):
    build_tiny_model("qwen2", tmp_path, seed=3, max_window_layers=1, **settings)
    expected = CrossEncoder(str(tmp_path), device="cpu").predict([(QUERY, t) for t in TEXTS])
    with CrossEncoderScorer(tmp_path, device="cuda", dtype="bfloat16") as scorer:
        assert scorer.score(QUERY, TEXTS) == pytest.approx(expected.tolist(), abs=0.05)
        worker = scorer._engine._worker
        assert worker._forward._share_prefixes, caplog.text
        assert pack(worker._tokenize(QUERY, TEXTS, None), share_prefixes=True).shared[1:].all()


DEEP = {"hidden_size": 512, "num_hidden_layers": 16, "initializer_range": 0.05}


@pytest.mark.parametrize("family", ["xlm-roberta", "modernbert", "qwen3"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_deep_model_is_packed_although_its_kernels_round_otherwise(
    tmp_path, family, dtype, caplog
):
    """A GPU gives a text the same bits beside any others, so company does not show its rounding."""
    build_tiny_model(family, tmp_path, seed=3, **DEEP)
    exact = CrossEncoder(str(tmp_path), device="cuda").predict([(QUERY, t) for t in TEXTS])
    kwargs = {"dtype": getattr(torch, dtype)}
    own = CrossEncoder(str(tmp_path), device="cuda", model_kwargs=kwargs)
    noise = abs(own.predict([(QUERY, t) for t in TEXTS]) - exact).max()
    with CrossEncoderScorer(tmp_path, device="cuda", dtype=dtype) as scorer:
        assert scorer.score(QUERY, TEXTS) == pytest.approx(exact.tolist(), abs=4 * noise)
        assert scorer.path == "packed", caplog.text


@pytest.mark.parametrize(("dtype", "capability"), [("float32", (9, 0)), ("float16", (7, 5))])
@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "qwen3", "llama"])
def test_without_flash_attention_rows_are_packed_too(
    tmp_path, family, dtype, capability, monkeypatch, caplog
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: capability)
    build_tiny_model(family, tmp_path, seed=3)
    expected = CrossEncoder(str(tmp_path), device="cpu").predict([(QUERY, t) for t in TEXTS])
    with CrossEncoderScorer(tmp_path, device="cuda", dtype=dtype) as scorer:
        tolerance = 1e-5 if dtype == "float32" else 0.01
        assert scorer.score(QUERY, TEXTS) == pytest.approx(expected.tolist(), abs=tolerance)
        assert scorer.path == "packed", caplog.text
        assert scorer._engine._worker._forward._attend is packed_attention._memory_efficient


def test_an_activation_with_weights_of_its_own_is_applied_where_they_are(tmp_path):
    model = CrossEncoder(str(build_tiny_model("bert", tmp_path, seed=3)), device="cuda")
    model.activation_fn = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Tanh()).cuda()
    expected = model.predict([(QUERY, text) for text in TEXTS]).tolist()
    with CrossEncoderScorer(model, device="cuda") as scorer:
        assert scorer.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-5)


IDENTIFY_AND_FORK = """
import os, sys, torch
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer

scorer = CrossEncoderScorer(sys.argv[1])
assert "float16" in scorer.identity["dtype"], scorer.identity
assert not torch.cuda.is_initialized()
child = os.fork()
if child == 0:
    scores = scorer.score("vitamin C", ["lemons", "the Seine"])
    os._exit(0 if len(scores) == 2 and scorer.device == "cuda:0" else 1)
assert os.waitpid(child, 0)[1] == 0
"""


def test_identity_starts_no_cuda_and_a_forked_child_uses_it(tmp_path):
    build_tiny_model("bert", tmp_path)
    command = [sys.executable, "-c", IDENTIFY_AND_FORK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr


def test_a_batch_that_does_not_fit_is_halved_and_remembered(tmp_path):
    build_tiny_model("bert", tmp_path, hidden_size=1024, intermediate_size=4096)
    total = torch.cuda.get_device_properties(0).total_memory
    texts = TEXTS * 400
    with CrossEncoderScorer(tmp_path, device="cuda", dtype="bfloat16") as scorer:
        expected = scorer.score(QUERY, TEXTS)
        scorer._engine.budget.tokens = scorer._engine.budget._most = 3 * 10**6
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(min(1.0, 1.5e9 / total))
        try:
            scores = scorer.score(QUERY, texts)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        assert scorer._engine.budget.tokens < 3 * 10**6
    assert scores == pytest.approx(expected * 400, abs=0.02)


def test_closing_gives_the_memory_back(tmp_path):
    build_tiny_model("bert", tmp_path, hidden_size=1024, intermediate_size=4096)
    scorer = CrossEncoderScorer(tmp_path, device="cuda")
    weights = 2 * 10**7
    for _ in range(2):  # cuBLAS keeps a workspace from the first product on; it is no leak.
        gc.collect()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        scorer.score(QUERY, TEXTS)
        assert torch.cuda.memory_allocated() > before + weights
        scorer.close()
        after = torch.cuda.memory_allocated()
    assert after <= before + 2**20
