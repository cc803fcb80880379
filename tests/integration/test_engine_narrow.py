"""After its last attention, an encoder goes on with the first token of each text alone."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import CrossEncoder

from langchain_rerank.scorers.engine.forward import choice
from langchain_rerank.scorers.engine.tokens.templates import choose_tokenizer
from langchain_rerank.testing.tiny_models import build_tiny_model

QUERY = "How many people live in Berlin?"
TEXTS = ["Berlin has 3.5 million inhabitants.", "Vitamin C protects sailors.", "A river " * 20, ""]
TEXTS *= 2  # eight, a number that packed rows are not rounded up from
PACKABLE = ["bert", "electra", "distilbert", "roberta", "xlm-roberta"]
OTHERS = ["deberta-v2", "mpnet"]


def rows_of_linear_layers(forward, pairs):
    """Compute `pairs` and return how many rows each linear layer of the base model was given."""
    rows = []
    for part in forward._read.base.modules():
        if isinstance(part, torch.nn.Linear):
            part.register_forward_hook(
                lambda _, states, __: rows.append(states[0].shape[:-1].numel())
            )
    scores = forward.launch(pairs)()
    return rows, scores


@pytest.mark.parametrize(
    ("family", "build"),
    [
        *((family, choice._packed) for family in PACKABLE),
        *((family, choice._padded) for family in PACKABLE + OTHERS),
    ],
)
def test_the_last_layer_computes_one_row_for_each_text(family, build, tmp_path):
    folder = build_tiny_model(family, tmp_path, seed=3)
    model = CrossEncoder(str(folder), device="cpu")
    pairs = choose_tokenizer(model, 384)(QUERY, TEXTS, None)
    loaded = choice._Loaded(model, torch.device("cpu"), torch.float32, own=False)
    rows, scores = rows_of_linear_layers(build(loaded, model.activation_fn), pairs)
    assert rows[-2:] == [len(TEXTS)] * 2
    assert min(rows[:-4]) > len(TEXTS)  # the layers before compute every token
    expected = model.predict([(QUERY, text) for text in TEXTS], show_progress_bar=False)
    assert scores == pytest.approx(expected.tolist(), abs=1e-5)
