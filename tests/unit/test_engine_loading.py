"""What can go wrong while a model loads: each gives an error that helps, or a slower path."""

from __future__ import annotations

import gc
import logging
import math
import shutil
import weakref

import pytest
import torch
from sentence_transformers import CrossEncoder
from tokenizers.pre_tokenizers import PreTokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from langchain_rerank.errors import ConfigurationError, ModelLoadError, ScorerOutOfMemoryError
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine import engine, memory
from langchain_rerank.scorers.engine.forward import choice
from langchain_rerank.scorers.engine.forward.predict import Predict
from langchain_rerank.scorers.engine.loading import load_cross_encoder
from langchain_rerank.scorers.engine.settings import LoadSettings
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
    assert "(path 'padded')" in caplog.text
    assert "without padding, since scores differ from its own by nan on test texts" in caplog.text
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
        assert scorer.path == "predict"
    assert "its own predict gives no finite number on test texts in torch.float32" in caplog.text


def failing(error):
    def fail(*_, **__):
        raise error

    return fail


def test_damaged_weights_are_a_model_that_could_not_be_loaded(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelLoadError, match=r"from this local folder: .*header") as caught:
        CrossEncoderScorer(tmp_path, device="cpu").load()
    assert type(caught.value.__cause__).__name__ == "SafetensorError"


def test_whatever_loading_raises_is_a_model_that_could_not_be_loaded(monkeypatch):
    monkeypatch.setattr("sentence_transformers.CrossEncoder", failing(AttributeError("no split")))
    with pytest.raises(ModelLoadError, match=r"'a/b': no such local folder, .*: no split Check"):
        CrossEncoderScorer("a/b", device="cpu").load()


def test_an_empty_name_is_not_the_working_folder():
    with pytest.raises(ModelLoadError, match="cross-encoder '': no such local folder"):
        load_cross_encoder(LoadSettings(model="", device="cpu"))


@pytest.mark.parametrize("error", [ConfigurationError("as it is"), KeyboardInterrupt()])
def test_errors_of_the_package_and_interrupts_pass_through_loading(monkeypatch, error):
    monkeypatch.setattr("sentence_transformers.CrossEncoder", failing(error))
    with pytest.raises(type(error)) as caught:
        CrossEncoderScorer("a/b", device="cpu").load()
    assert caught.value is error


def test_a_model_too_large_to_load_is_out_of_memory_and_not_misspelt(monkeypatch):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
    monkeypatch.setattr("sentence_transformers.CrossEncoder", failing(error))
    with pytest.raises(
        ScorerOutOfMemoryError, match=r"while a/b was loaded: CUDA .* Use dtype="
    ) as caught:
        CrossEncoderScorer("a/b", device="cpu").load()
    assert "spelling" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), ScorerOutOfMemoryError, "was loaded: CUDA"),
        (ValueError("shapes differ"), ModelLoadError, "ready to score: ValueError: shapes differ"),
    ],
)
def test_a_model_that_cannot_compute_the_probe_texts_is_a_scorers_error(
    scorer, monkeypatch, error, expected, message
):
    monkeypatch.setattr(Predict, "logits", failing(error))
    with pytest.raises(expected, match=message) as caught:
        scorer.score(QUERY, TEXTS)
    assert caught.value.__cause__ is error
    monkeypatch.undo()
    assert len(scorer.score(QUERY, TEXTS)) == len(TEXTS)


def test_memory_that_ran_out_while_loading_holds_no_model(scorer, monkeypatch):
    models = []
    load = engine.load_cross_encoder

    def remember(settings):
        loaded = load(settings)
        models.append(weakref.ref(loaded[0]))
        return loaded

    monkeypatch.setattr(engine, "load_cross_encoder", remember)
    monkeypatch.setattr(Predict, "logits", failing(MemoryError()))
    with pytest.raises(ScorerOutOfMemoryError) as caught:
        scorer.load()
    gc.collect()  # The model's modules refer to each other.
    assert caught.value.__cause__.__traceback__
    assert models[0]() is None


def test_a_classifier_without_a_padding_token_says_how_to_give_it_one(tmp_path):
    build_tiny_model("llama", tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.pad_token = None
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path, num_labels=1, pad_token_id=None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError, match=r"has no padding token.*pad_token = model\.tokenizer"):
        CrossEncoderScorer(tmp_path, device="cpu", dtype="float32").load()

    model = CrossEncoder(str(tmp_path), device="cpu")
    model.tokenizer.pad_token = model.tokenizer.eos_token
    model.config.pad_token_id = model.tokenizer.pad_token_id
    model.save_pretrained(str(tmp_path / "padding"))
    right = model.predict([(QUERY, text) for text in TEXTS]).tolist()
    for one in (model, tmp_path / "padding"):
        with CrossEncoderScorer(one, device="cpu", dtype="float32") as scorer:
            assert scorer.score(QUERY, TEXTS) == pytest.approx(right, abs=1e-5)


def test_a_failed_allocation_of_cublas_is_out_of_memory():
    error = RuntimeError(
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    )
    assert memory.is_out_of_memory(error)
    assert not memory.is_out_of_memory(RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED"))


class OnSpaces:
    """A pre-tokeniser in Python, as some tokenizers for Chinese and Japanese have."""

    def pre_tokenize(self, pretokenized):
        pretokenized.split(lambda _, text: text.split(" ", "removed"))


def test_a_tokenizer_with_python_in_it_is_used_through_transformers(folder, caplog):
    model = CrossEncoder(str(folder), device="cpu")
    model.tokenizer.backend_tokenizer.pre_tokenizer = PreTokenizer.custom(OnSpaces())
    right = model.predict([(QUERY, text) for text in TEXTS]).tolist()
    with (
        caplog.at_level(logging.WARNING, "langchain_rerank"),
        CrossEncoderScorer(model, device="cpu", dtype="float32") as scorer,
    ):
        assert scorer.score(QUERY, TEXTS) == pytest.approx(right, abs=1e-5)
    assert "every text is tokenised anew for every query" in caplog.text


def test_without_memory_for_a_copy_with_more_bits_a_model_is_checked_as_it_is(
    folder, expected, monkeypatch
):
    monkeypatch.setattr(choice, "_fastest", lambda *_: (None, ["anything faster, by the test"]))
    copied = []

    def too_large(*_):
        copied.append(True)
        raise MemoryError

    monkeypatch.setattr(choice, "_copy_of", too_large)
    with CrossEncoderScorer(folder, device="cpu", dtype="bfloat16") as scorer:
        scores = scorer.score(QUERY, TEXTS)
        assert scorer.path == "predict"
    assert copied
    assert scores == pytest.approx(expected.expected, abs=0.02)
