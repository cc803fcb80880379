"""The engine through OpenVINO: the same scores, from a conversion that is made once and kept."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import openvino
import pytest
import torch
from scipy.stats import spearmanr
from sentence_transformers import CrossEncoder
from transformers import AlbertConfig, AlbertForSequenceClassification

from langchain_rerank.embedded import CORPUS_FOLDER
from langchain_rerank.embedded.weights import load_embedded_cross_encoder
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.scorers.engine.forward import kept_models
from langchain_rerank.testing.tiny_models import FAMILIES, build_tiny_model

pytestmark = pytest.mark.usefixtures("module_cache")  # A conversion takes a second.

EXACT = 1e-5
QUERY = "How many people live in Berlin?"
RANDOM = random.Random(7)
WORDS = ("Berlin", "people", "vitamin", "C", "protects", "sailors,", "1952", "museum?", "river")
TEXTS = [
    *(" ".join(RANDOM.choice(WORDS) for _ in range(n)) for n in (3, 40, 1, 75, 12, 26, 8, 55)),
    "",
    "Zürich 北京 🙂 naïve",
    "vitamin C " * 300,  # beyond max_length
]


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache of the test's own, still empty."""
    monkeypatch.setenv("LANGCHAIN_RERANK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "openvino"


def through_openvino(model, **settings):
    return CrossEncoderScorer(model, backend="openvino", **({"dtype": "float32"} | settings))


def predicted(folder, texts=TEXTS):
    model = folder if isinstance(folder, CrossEncoder) else CrossEncoder(str(folder), device="cpu")
    scores = model.predict([(QUERY, text) for text in texts], show_progress_bar=False)
    return pytest.approx(scores.tolist(), abs=EXACT)


def kept(folder):
    """What lies in a cache, and when it was written."""
    return {
        file.relative_to(folder): file.stat().st_mtime_ns
        for file in folder.rglob("*")
        if file.is_file()
    }


# A conversion takes seconds: the other families are tested with the slow tests.
BY_DEFAULT = {"bert"}


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=[] if family in BY_DEFAULT else [pytest.mark.slow])
        for family in FAMILIES
    ],
)
def test_every_architecture_gives_sentence_transformers_scores(family, tmp_path):
    folder = build_tiny_model(family, tmp_path, seed=3, max_length=384)
    with through_openvino(folder) as scorer:
        scores = scorer.score(QUERY, TEXTS)
        alone = [scorer.score(QUERY, [text])[0] for text in TEXTS[:4]]
        assert scorer.path == "openvino"
    assert max(scores) - min(scores) > 100 * EXACT
    assert scores == predicted(folder)
    assert alone == pytest.approx(scores[:4], abs=EXACT)
    assert scores.truncated == 1


def test_threads_and_many_queries_share_the_compiled_model(bert):
    with through_openvino(bert) as scorer, ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: scorer.score(QUERY, TEXTS), range(8)))
        many = scorer.score_many([(QUERY, TEXTS), ("vitamin C", []), (QUERY, TEXTS[:2])])
    assert answers == [predicted(bert)] * 8
    assert many == [predicted(bert), [], predicted(bert, TEXTS[:2])]


@pytest.mark.slow
def test_bfloat16_keeps_the_order_of_the_embedded_model():
    passages = [
        " ".join(paragraph.split())
        for path in sorted(CORPUS_FOLDER.glob("*.md"))
        for paragraph in path.read_text("utf-8").split("\n\n")
        if len(paragraph) > 100
    ][:60]
    query = "How much memory does QLoRA save?"
    model = load_embedded_cross_encoder(activation_fn=torch.nn.Identity())
    reference = model.predict([(query, text) for text in passages], show_progress_bar=False)
    with through_openvino("embedded", dtype="bfloat16") as scorer:
        scores = scorer.score(query, passages)
        assert (scorer.path, scorer.dtype) == ("openvino", "bfloat16")
    assert spearmanr(scores, reference).statistic >= 0.999


def test_a_loaded_model_is_left_as_it_is(bert):
    model = CrossEncoder(str(bert), device="cpu")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attention = model.config._attn_implementation
    with through_openvino(model) as scorer:
        assert scorer.score(QUERY, TEXTS) == predicted(bert)
        assert scorer.path == "openvino"
    assert model.config._attn_implementation == attention
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert predicted(model) == predicted(bert).expected


def test_a_model_is_converted_once_for_every_precision(bert, own_cache, caplog):
    caplog.set_level(logging.INFO, "langchain_rerank")
    with through_openvino(bert) as scorer:
        assert scorer.score(QUERY, TEXTS) == predicted(bert)
    first = kept(own_cache)
    assert {file.name for file in first} == {"model.xml", "model.bin", "sha256"}
    with through_openvino(bert) as again, through_openvino(bert, dtype="bfloat16") as coarse:
        assert again.score(QUERY, TEXTS) == predicted(bert)
        coarse.load()
        assert (again.path, coarse.path) == ("openvino", "openvino")
    assert kept(own_cache) == first
    assert [record.message[:20] for record in caplog.records] == ["Converting BertModel"]


@pytest.mark.slow
def test_of_two_loads_that_meet_one_converts_and_the_other_waits_for_it(
    bert, own_cache, monkeypatch, caplog
):
    convert, conversions = openvino.convert_model, []
    read, both_found_nothing, seen = kept_models.read, threading.Barrier(2), threading.local()

    def reading(folder):
        found = read(folder)
        if not hasattr(seen, "read"):
            seen.read = True
            both_found_nothing.wait(timeout=300)
        return found

    def converting(module, **settings):
        conversions.append(module)
        return convert(module, **settings)

    monkeypatch.setattr(kept_models, "read", reading)
    monkeypatch.setattr(openvino, "convert_model", converting)

    def load(dtype):
        with through_openvino(bert, dtype=dtype) as scorer:
            scorer.load()
            return scorer.path

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(load, ["float32", "bfloat16"])) == ["openvino", "openvino"]
    assert len(conversions) == 1
    assert len(list(own_cache.iterdir())) == 1
    assert not caplog.records


@pytest.mark.slow
def test_two_models_that_load_at_once_are_converted_one_after_the_other(
    bert, own_cache, tmp_path, monkeypatch
):
    other = build_tiny_model("bert", tmp_path / "other", seed=4, max_length=384)
    convert, inside, both = openvino.convert_model, [], threading.Event()

    def converting(module, **settings):
        inside.append(module)
        if len(inside) == 2:
            both.set()
        both.wait(timeout=0.5)  # Time for the other to come in, if it can.
        try:
            return convert(module, **settings)
        finally:
            inside.remove(module)

    monkeypatch.setattr(openvino, "convert_model", converting)

    def load(folder):
        with through_openvino(folder) as scorer:
            assert scorer.score(QUERY, TEXTS[:2]) == predicted(folder, TEXTS[:2])
            return scorer.path

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(load, [bert, other])) == ["openvino", "openvino"]
    assert not both.is_set()


@pytest.mark.slow
def test_other_weights_are_another_model(bert, own_cache, tmp_path):
    other = build_tiny_model("bert", tmp_path / "other", seed=4, max_length=384)
    for folder in (bert, other):
        with through_openvino(folder) as scorer:
            assert scorer.score(QUERY, TEXTS) == predicted(folder)
    assert len(list(own_cache.iterdir())) == 2


def flip_a_bit(folder):
    data = bytearray((folder / "model.bin").read_bytes())
    data[len(data) // 2] ^= 64
    (folder / "model.bin").write_bytes(data)


def cut_short(folder):
    data = (folder / "model.xml").read_bytes()
    (folder / "model.xml").write_bytes(data[: len(data) // 2])


def lose_a_file(folder):
    (folder / "model.bin").unlink()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [flip_a_bit, cut_short, lose_a_file])
def test_what_is_damaged_is_converted_anew(bert, own_cache, damage):
    with through_openvino(bert) as scorer:
        scorer.load()
    [folder] = own_cache.iterdir()
    before = kept(own_cache)
    damage(folder)
    with through_openvino(bert) as scorer:
        assert scorer.score(QUERY, TEXTS) == predicted(bert)
        assert scorer.path == "openvino"
    mended = kept(own_cache)
    assert mended.keys() == before.keys()
    assert all(mended[file] != before[file] for file in mended)
    with through_openvino(bert) as scorer:
        scorer.load()
    assert kept(own_cache) == mended


def test_without_a_place_to_keep_it_a_model_still_scores(bert, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("LANGCHAIN_RERANK_CACHE", str(tmp_path / "file"))
    with through_openvino(bert) as scorer:
        assert scorer.score(QUERY, TEXTS) == predicted(bert)
        assert scorer.path == "openvino"
    assert [record.message[:34] for record in caplog.records] == [
        "The converted model cannot be kept"
    ]


def test_an_unknown_architecture_takes_another_path_with_one_warning(bert, tmp_path, caplog):
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    vocabulary = len(CrossEncoder(str(bert), device="cpu").tokenizer)
    config = AlbertConfig(vocab_size=vocabulary, embedding_size=16, num_labels=1, **sizes)
    AlbertForSequenceClassification(config).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((bert / name).read_bytes())
    with through_openvino(tmp_path) as scorer:
        assert scorer.score(QUERY, TEXTS[:8]) == predicted(tmp_path, TEXTS[:8])
        assert scorer.path == "predict"
    [record] = caplog.records
    assert "by its own predict (path 'predict')" in record.message
    assert "OpenVINO, since ScorerError: AlbertForSequenceClassification is not" in record.message


def failing(_module, **_):
    raise RuntimeError("cannot convert this")


def converting_other_weights(module, *, convert=openvino.convert_model, **settings):
    weight = next(module.parameters()).data
    kept = weight.clone()
    weight += torch.linspace(0, 1, weight.shape[1])
    converted = convert(module, share_weights=False, **settings)
    weight.copy_(kept)
    return converted


@pytest.mark.parametrize(
    ("convert", "reason"),
    [
        (failing, "OpenVINO, since RuntimeError: cannot convert this"),
        (converting_other_weights, "OpenVINO, since ScorerError: converted, BertModel differs by"),
    ],
)
def test_a_conversion_that_fails_or_differs_is_not_used(
    bert, own_cache, monkeypatch, caplog, convert, reason
):
    monkeypatch.setattr(openvino, "convert_model", convert)
    with through_openvino(bert) as scorer:
        assert scorer.score(QUERY, TEXTS) == predicted(bert)
        assert scorer.path == "packed"
    [record] = caplog.records
    assert reason in record.message
    assert not own_cache.exists()


def test_importing_it_sends_nothing_home(tmp_path):
    code = (
        "import sys\n"
        "from langchain_rerank.scorers.engine.forward.openvino_package import openvino\n"
        "assert openvino().convert_model\n"
        "assert 'openvino.tools.ovc.telemetry_stub' in sys.modules\n"
        "assert not any(name.startswith('openvino_telemetry') for name in sys.modules)\n"
        "import openvino_telemetry\n"  # whoever wants it for something else still gets it
    )
    environment = {"HOME": str(tmp_path), "PATH": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []
