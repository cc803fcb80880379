"""Texts of one query share its prompt under causal models, and their scores stay what they were."""

from __future__ import annotations

import itertools
import logging

import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder

from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine.forward import packed_attention, passes
from langchain_rerank.scorers.engine.plan import rounded_up
from langchain_rerank.testing.tiny_models import build_tiny_model

EXACT = 1e-5
QUERIES = ("How many people live in Berlin?", "vitamin C", "Who wrote the first compiler?")
TEXTS = [f"Berlin and its {count} people, " * count for count in (1, 9, 4, 2, 7, 3)] + ["", "?"]
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 8}
SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.2}


def build(folder, family="qwen3", config=None, head="CausalLM", **settings):
    """Write a tiny decoder; `config` puts another architecture beside the tokenizer of `family`."""
    build_tiny_model(family, folder, seed=3, **(settings if config is None else {}))
    if config is None and head == "CausalLM":
        return folder
    known = transformers.AutoConfig.from_pretrained(folder)
    if config is not None:
        ids = {
            role: getattr(known, role) for role in ("vocab_size", "pad_token_id", "eos_token_id")
        }
        known = getattr(transformers, config)(**SIZES, **ids, bos_token_id=None, **settings)
    known.num_labels = 1 if head == "SequenceClassification" else known.num_labels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = getattr(transformers, f"AutoModelFor{head}").from_config(known)
    model.save_pretrained(folder)
    return folder


SLIDING = {"use_sliding_window": True, "sliding_window": 24, "max_window_layers": 1}
DECODERS = {
    "qwen3": {},
    "qwen2": {"family": "qwen2"},
    "llama": {"family": "llama"},
    "qwen2 with a window": {"family": "qwen2", **SLIDING},
    "mistral with a window": {"config": "MistralConfig", "sliding_window": 24},
    "gemma": {"config": "GemmaConfig"},
    "gemma3 with a window": {
        "config": "Gemma3TextConfig",
        "sliding_window": 24,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "qwen3 classifier": {"head": "SequenceClassification"},
    "llama classifier": {"family": "llama", "head": "SequenceClassification"},
}


@pytest.fixture(scope="module", params=DECODERS)
def folder(request, tmp_path_factory):
    return build(tmp_path_factory.mktemp("decoder"), **DECODERS[request.param])


@pytest.fixture(scope="module")
def expected(folder):
    """What sentence-transformers predicts, text by text."""
    model = CrossEncoder(str(folder), device="cpu")
    return [
        model.predict([(query, text) for text in TEXTS], batch_size=1).tolist() for query in QUERIES
    ]


def count_tokens(scorer):
    """Return a list that grows by the tokens of each batch."""
    scorer.load()
    tokens = []
    scorer._engine._worker._forward._read.base.register_forward_pre_hook(
        lambda _, args, inputs: tokens.append(inputs["input_ids"].numel()), with_kwargs=True
    )
    return tokens


def test_sharing_the_prompt_changes_no_score(folder, expected, caplog):
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        tokens = count_tokens(scorer)
        scores = scorer.score_many([(query, TEXTS) for query in QUERIES])
        tokenize = scorer._engine._worker._tokenize
        pairs = [pair for query in QUERIES for pair in tokenize(query, TEXTS, None)]
    assert scores == [pytest.approx(one, abs=EXACT) for one in expected]
    assert max(map(max, expected)) - min(map(min, expected)) > 100 * EXACT
    assert "more slowly" not in caplog.text
    # Fewer tokens than the pairs have: at least two prompts in three are left out.
    left_out = sum(len(pair.parts[0]) for pair in pairs) * 2 // 3
    assert sum(tokens) <= sum(pair.length for pair in pairs) - left_out


def test_one_text_costs_what_its_pair_costs(tmp_path):
    with CrossEncoderScorer(build(tmp_path), device="cpu", dtype="float32") as scorer:
        tokens = count_tokens(scorer)
        scorer.score(QUERIES[0], TEXTS[1:2])
        [pair] = scorer._engine._worker._tokenize(QUERIES[0], TEXTS[1:2], None)
    assert tokens == [rounded_up(pair.length)]


def test_a_prompt_that_cannot_be_shared_is_computed_for_every_text(tmp_path, monkeypatch, caplog):
    """Were the shared tokens wrong for a model, its probes would show it."""
    right = passes.key_rows

    def shifted(batch):
        rows, starts = right(batch)
        return (rows - 1).clip(0), starts

    monkeypatch.setattr(passes, "key_rows", shifted)
    build(tmp_path)
    model = CrossEncoder(str(tmp_path), device="cpu")
    with caplog.at_level(logging.WARNING):
        scorer = CrossEncoderScorer(tmp_path, device="cpu", dtype="float32")
        scores = scorer.score(QUERIES[0], TEXTS)
        assert scorer.path == "packed"
        scorer.close()
    [warning] = [r.getMessage() for r in caplog.records if "more slowly" in r.getMessage()]
    assert "(path 'packed')" in warning
    assert "that compute a prompt once, since scores differ from its own by" in warning
    reference = model.predict([(QUERIES[0], text) for text in TEXTS]).tolist()
    assert scores == pytest.approx(reference, abs=EXACT)


def test_only_a_model_in_which_no_token_sees_a_later_one_is_causal(tmp_path):
    decoder = CrossEncoder(str(build(tmp_path / "decoder")), device="cpu")
    assert packed_attention.is_causal(decoder)
    decoder.transformers_model.model.layers[1].self_attn.is_causal = False
    assert not packed_attention.is_causal(decoder)
    encoder = CrossEncoder(str(build_tiny_model("bert", tmp_path / "encoder")), device="cpu")
    assert not packed_attention.is_causal(encoder)
    assert not packed_attention.is_causal(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("window", [None, 1, 4, 9, 50])
def test_a_sequence_attends_to_what_it_shares_as_to_its_own(key_heads, window):
    """Against the softmax spelled out over each whole sequence."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, heads, 20, 8) for heads in (4, key_heads, key_heads))
    module = torch.nn.Module()
    module.is_causal = True
    # One whole sequence, two that share its first five tokens, one that shares nothing.
    sequences = [range(9), [*range(5), *range(9, 12)], [*range(5), *range(12, 16)], range(16, 20)]
    ends, key_ends = [0, 9, 12, 16, 20], [0, 9, 17, 26, 30]
    layout = packed_attention.Layout(
        cu_seqlens=ends,
        key_cu_seqlens=key_ends,
        key_rows=torch.tensor([token for sequence in sequences for token in sequence]),
        device_cu_seqlens=torch.tensor(ends, dtype=torch.int32),
        device_key_cu_seqlens=torch.tensor(key_ends, dtype=torch.int32),
        longest=9,
        longest_keys=9,
        attend=packed_attention._one_by_one,
    )
    found, _ = packed_attention.packed_attention(
        module, query, key, value, None, layout=layout, sliding_window=window
    )
    key, value = (x.repeat_interleave(4 // key_heads, 1) for x in (key, value))
    for (start, end), sequence in zip(itertools.pairwise(ends), sequences, strict=True):
        tokens = list(sequence)
        products = query[0][:, tokens] @ key[0][:, tokens].transpose(1, 2) / 8**0.5
        for row, column in itertools.product(range(len(tokens)), repeat=2):
            if column > row or (window is not None and row - column >= window):
                products[:, row, column] = -torch.inf
        whole = products.softmax(-1) @ value[0][:, tokens]
        own = whole[:, -(end - start) :].transpose(0, 1)
        assert torch.allclose(found[0, start:end], own, atol=1e-6)
