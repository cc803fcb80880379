"""Faults planted in what the engine does by itself are found when a model loads."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import torch

from langchain_rerank import CrossEncoderScorer
from langchain_rerank.scorers.engine.forward import (
    choice,
    comparison,
    packed_attention,
    passes,
)
from langchain_rerank.scorers.engine.forward.predict import Predict
from langchain_rerank.scorers.engine.tokens import templates
from langchain_rerank.testing.tiny_models import build_tiny_model

pytestmark = pytest.mark.usefixtures("own_cache")  # what long probes found is kept there

QUERY = "How many people live in Berlin?"
TEXTS = ["Berlin had a population of 3,520,031.", "vitamin C", "", "the river Seine " * 60]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def build(family):
        if family not in made:
            settings = {"local_attention": 128} if family == "modernbert" else {}
            made[family] = build_tiny_model(
                family, tmp_path_factory.mktemp(family), seed=3, **settings
            )
        return made[family]

    return build


def changed(module, name, change):
    """Plant a fault: `change` gets the original and returns what takes its place."""

    def plant(monkeypatch):
        monkeypatch.setattr(module, name, change(getattr(module, name)))

    return plant


def with_arguments(edit):
    """Return a change that edits the arguments of a call."""
    return lambda original: lambda *arguments, **named: original(*edit(*arguments), **named)


def no_window(original):
    return lambda queries, keys, reach, causal: original(queries, keys, None, causal)


def read_out_changed(**settings):
    from dataclasses import replace

    def change(original):
        def read(*arguments):
            found = original(*arguments)
            values = {key: value(found) for key, value in settings.items()}
            return replace(found, **values)

        return read

    return changed(choice, "read_out", change)


def frame_changed(edit):
    def change(original):
        def build(*arguments):
            frame = original(*arguments)
            return lambda query, instruction: edit(frame(query, instruction))

        return build

    def plant(monkeypatch):
        for name in ("_pair_frame", "_chat_frame"):
            monkeypatch.setattr(templates, name, change(getattr(templates, name)))

    return plant


FAULTS = {
    "the window of local attention is lost": (
        "modernbert",
        changed(packed_attention, "_mask", no_window),
    ),
    "a window is one position too narrow": (
        "modernbert",
        changed(
            packed_attention,
            "_mask",
            lambda original: (
                lambda q, k, reach, causal: original(
                    q, k, None if reach is None else reach - 1, causal
                )
            ),
        ),
    ),
    "a decoder sees later tokens": (
        "qwen3",
        changed(
            packed_attention,
            "_one_by_one",
            lambda original: lambda *arguments: original(*arguments[:-1], False),
        ),
    ),
    "positions start one too early": (
        "xlm-roberta",
        changed(passes, "positions", lambda original: lambda *arguments: original(*arguments) - 1),
    ),
    "positions run on from pair to pair": (
        "bert",
        changed(
            passes,
            "positions",
            lambda _: lambda batch, first, skip: np.arange(len(batch.ids)) % 300 + first,
        ),
    ),
    "token types are lost": ("bert", read_out_changed(token_types=lambda _: False)),
    "the pooler is left out": (
        "bert",
        read_out_changed(head=lambda read: lambda pooled: read.head_modules[-1](pooled)[:, 0]),
    ),
    "the last token is pooled for the first": (
        "roberta",
        read_out_changed(pooling=lambda _: "last", last_layer=lambda _: None),
    ),
    "the mean is taken for the first token": (
        "modernbert",
        read_out_changed(pooling=lambda _: "first"),
    ),
    "a head misses its bias": (
        "electra",
        read_out_changed(head=lambda read: lambda pooled: read.head(pooled) - 0.05),
    ),
    "the answer tokens are exchanged": (
        "qwen2",
        read_out_changed(head=lambda read: lambda pooled: -read.head(pooled)),
    ),
    "queries see one key of the next sequence": (
        "distilbert",
        changed(
            packed_attention,
            "_of_first_tokens",
            lambda original: (
                lambda query, key, value, layout, scaling: original(
                    query, key.roll(1, 2), value.roll(1, 2), layout, scaling
                )
            ),
        ),
    ),
    "products are scaled twice": (
        "llama",
        changed(
            packed_attention,
            "_one_by_one",
            with_arguments(
                lambda q, k, v, layout, scaling, *rest: (q, k, v, layout, (scaling or 1) / 2, *rest)
            ),
        ),
    ),
    "shared prompts are read from the wrong text": (
        "qwen3",
        changed(
            passes,
            "key_rows",
            lambda original: lambda batch: (np.roll(original(batch)[0], 1), original(batch)[1]),
        ),
    ),
}
# What moves no probe of these models by more than bfloat16 does.
WITHIN_ROUNDING = {"a window is one position too narrow"}
PROMPTS = {
    "the end of the prompt is lost": ("qwen3", lambda frame: frame._replace(tail=frame.tail[:-1])),
    "a space is lost before the text": (
        "qwen3",
        lambda frame: (
            frame._replace(lead="") if frame.lead else frame._replace(tail=frame.tail[1:])
        ),
    ),
    "the separator is lost": ("bert", lambda frame: frame._replace(head=frame.head[:-1])),
    "the token types are exchanged": ("bert", lambda frame: frame._replace(text_type=0)),
}


def loaded(folder, dtype, caplog):
    with (
        caplog.at_level(logging.WARNING, "langchain_rerank"),
        CrossEncoderScorer(folder, device="cpu", dtype=dtype) as scorer,
    ):
        scores = scorer.score(QUERY, TEXTS)
        return scorer.path, scores


@pytest.mark.parametrize("dtype", ["float32", pytest.param("bfloat16", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_forward_pass_is_found_at_load(folders, name, dtype, caplog, monkeypatch):
    family, plant = FAULTS[name]
    folder = folders(family)
    right = Predict(_reference(folder, dtype), own=True)([(QUERY, text) for text in TEXTS], 512)
    plant(monkeypatch)
    path, scores = loaded(folder, dtype, caplog)
    if dtype == "float32" or name not in WITHIN_ROUNDING:
        assert "scores differ from its own by" in caplog.text
    assert scores == pytest.approx(right, abs=1e-5 if dtype == "float32" else 0.02)
    if dtype == "float32":
        assert path != "packed" or "that compute a prompt once" in caplog.text


@pytest.mark.parametrize("family", ["xlm-roberta", "qwen3"])
def test_kernels_that_round_otherwise_are_told_from_faults(family, tmp_path, monkeypatch, caplog):
    """As on a GPU, where company moves no bit: the model in float32 says what rounding does."""
    sizes = {"hidden_size": 128, "num_hidden_layers": 8, "initializer_range": 0.12}
    folder = build_tiny_model(family, tmp_path, seed=3, **sizes)
    monkeypatch.setattr(comparison.Expected, "_other_logits", lambda self: iter([self.logits]))
    path, scores = loaded(folder, "bfloat16", caplog)
    assert path == "packed", caplog.text
    exact, own = (
        Predict(_reference(folder, dtype), own=True)([(QUERY, text) for text in TEXTS], 512)
        for dtype in ("float32", "bfloat16")
    )
    assert scores == pytest.approx(exact, abs=3 * np.abs(np.subtract(own, exact)).max())
    FAULTS["products are scaled twice"][1](monkeypatch)
    _, scores = loaded(
        build_tiny_model(family, tmp_path / "2", seed=4, **sizes), "bfloat16", caplog
    )
    assert "scores differ from its own by" in caplog.text


def test_what_float32_itself_rounds_is_no_fault(tmp_path, monkeypatch, caplog):
    """Logits that are differences of large numbers, as those of yes and no."""
    sizes = {"hidden_size": 128, "num_hidden_layers": 8, "initializer_range": 0.2}
    folder = build_tiny_model("qwen3", tmp_path, seed=3, **sizes)
    path, scores = loaded(folder, "float32", caplog)
    assert path == "packed", caplog.text
    right = Predict(_reference(folder, "float32"), own=True)([(QUERY, t) for t in TEXTS], 512)
    assert scores == pytest.approx(right, abs=1e-4)
    FAULTS["products are scaled twice"][1](monkeypatch)
    loaded(build_tiny_model("qwen3", tmp_path / "2", seed=4, **sizes), "float32", caplog)
    assert "scores differ from its own by" in caplog.text


@pytest.mark.parametrize("name", PROMPTS)
def test_a_fault_in_the_prompt_is_found_at_load(folders, name, caplog, monkeypatch):
    family, edit = PROMPTS[name]
    folder = folders(family)
    right = Predict(_reference(folder, "float32"), own=True)([(QUERY, text) for text in TEXTS], 512)
    frame_changed(edit)(monkeypatch)
    _, scores = loaded(folder, "float32", caplog)
    assert "could not be told apart from them" in caplog.text
    assert scores == pytest.approx(right, abs=1e-5)


def _reference(folder, dtype):
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder), device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})


def verdicts(tmp_path):
    return list((tmp_path / "cache" / "verdicts").glob("*.json"))


def test_what_long_probes_found_is_kept_for_the_next_process(
    folders, tmp_path, monkeypatch, caplog
):
    folder = folders("modernbert")
    asked = []
    original = Predict.logits
    monkeypatch.setattr(
        Predict,
        "logits",
        lambda self, pairs, *rest: asked.append(len(pairs)) or original(self, pairs, *rest),
    )
    loaded(folder, "float32", caplog)
    assert len(asked) == 2  # The short probes and the long ones.
    [file] = verdicts(tmp_path)
    assert json.loads(file.read_text())["agrees"] is True
    monkeypatch.setattr("langchain_rerank.scorers.engine.forward.verdicts._written", set())
    asked.clear()
    monkeypatch.setattr(choice, "long_pairs", lambda *_: pytest.fail("they were looked for"))
    loaded(folder, "float32", caplog)  # As another process.
    assert len(asked) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"agrees": 1}', "\x00\xff"])
def test_a_damaged_verdict_costs_time_and_no_warning(
    folders, tmp_path, monkeypatch, caplog, content
):
    loaded(folders("bert"), "float32", caplog)
    [file] = verdicts(tmp_path)
    file.write_text(content)
    monkeypatch.setattr("langchain_rerank.scorers.engine.forward.verdicts._written", set())
    path, _ = loaded(folders("bert"), "float32", caplog)
    assert path == "packed"
    assert not caplog.records
    assert json.loads(file.read_text())["agrees"] is True


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(folders, tmp_path, caplog):
    (tmp_path / "cache").write_text("no folder")
    path, _ = loaded(folders("bert"), "float32", caplog)
    assert path == "packed"
    assert not caplog.records


def test_a_fault_found_by_an_earlier_process_is_not_computed_again(folders, monkeypatch, caplog):
    folder = folders("modernbert")
    with monkeypatch.context() as patch:
        FAULTS["the window of local attention is lost"][1](patch)
        assert loaded(folder, "float32", caplog)[0] == "padded"
    monkeypatch.setattr("langchain_rerank.scorers.engine.forward.verdicts._written", set())
    caplog.clear()
    assert loaded(folder, "float32", caplog)[0] == "padded"
    assert "scores differed from its own on long test texts before" in caplog.text
