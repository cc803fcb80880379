"""Models with code of their own, and models that were passed in: their own predict, or refused."""

from __future__ import annotations

import copy
import gc
import json
import logging
import weakref

import pytest
import torch
from sentence_transformers import CrossEncoder

from langchain_rerank import CrossEncoderScorer
from langchain_rerank.errors import ModelLoadError
from langchain_rerank.scorers.engine.engine import Engine
from langchain_rerank.scorers.engine.settings import LoadSettings
from langchain_rerank.testing.tiny_models import build_tiny_model

pytestmark = pytest.mark.usefixtures("own_cache")  # what long probes found is kept there

QUERY = "How many people live in Berlin?"
TEXTS = ["Berlin had a population of 3,520,031.", "vitamin C", "", "the river Seine " * 40]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_tiny_model("bert", tmp_path_factory.mktemp("bert"), seed=3)


@pytest.fixture
def model(folder):
    return CrossEncoder(str(folder), device="cpu")


def predicted(model, texts=TEXTS):
    scores = model.predict([(QUERY, text) for text in texts], show_progress_bar=False)
    return pytest.approx(scores.tolist(), abs=1e-5)


class AddingPreprocess(CrossEncoder):
    def preprocess(self, inputs, prompt=None, **settings):
        features = super().preprocess(inputs, prompt=prompt, **settings)
        features["lengths"] = torch.tensor([[len(text) / 10] for _, text in inputs])
        return features

    def forward(self, features, **settings):
        features = super().forward(features, **settings)
        features["scores"] = features["scores"] + features["lengths"]
        return features


class ReplacingPredict(CrossEncoder):
    def predict(self, inputs, *arguments, **settings):
        scores = super().predict(inputs, *arguments, **settings)
        rare = torch.tensor(["Seine" in text for _, text in inputs])
        return scores * 0.9 + rare.numpy() * 0.05


class PlainPredict(CrossEncoder):
    def predict(self, inputs, batch_size=32):
        return [score * 0.5 for score in super().predict(inputs, batch_size=batch_size)]


@pytest.mark.parametrize("kind", [AddingPreprocess, ReplacingPredict, PlainPredict])
def test_a_class_of_its_own_is_scored_by_its_own_predict(folder, kind, caplog):
    model = kind(str(folder), device="cpu", activation_fn=torch.nn.Identity())
    expected = model.predict([(QUERY, text) for text in TEXTS])
    with (
        caplog.at_level(logging.WARNING, "langchain_rerank"),
        CrossEncoderScorer(model, max_length=512) as scorer,
    ):
        assert scorer.score(QUERY, TEXTS) == pytest.approx(list(expected), abs=1e-5)
        assert scorer.path == "predict"
    [record] = caplog.records
    assert "the class tests.integration" in record.message or kind.__name__ in record.message


@pytest.mark.parametrize("kind", [CrossEncoder, ReplacingPredict])
def test_a_model_that_is_passed_in_is_cut_at_max_length_and_left_as_it_is(folder, kind):
    model = kind(str(folder), device="cpu")
    with CrossEncoderScorer(model, max_length=64) as scorer:
        scores = scorer.score(QUERY, TEXTS)
    assert scores.truncated == 1
    assert (model.max_seq_length, model[0].processing_kwargs) == (512, {})
    uncut = model.predict([(QUERY, text) for text in TEXTS]).tolist()
    model.max_seq_length = 64
    expected = model.predict([(QUERY, text) for text in TEXTS]).tolist()
    assert scores == pytest.approx(expected, abs=1e-5)
    assert scores[-1] != pytest.approx(uncut[-1], abs=1e-3)


@pytest.mark.parametrize("place", ["predict", "preprocess", "hook", "hook of a part", "inner hook"])
def test_a_replaced_method_or_a_hook_is_part_of_the_model(model, place, oldest):
    plain = model.predict([(QUERY, text) for text in TEXTS])
    if place == "predict":
        original = model.predict
        model.predict = lambda inputs, **settings: original(inputs, **settings) + 1
    elif place == "preprocess":
        transformer, inner = model[0], model[0].preprocess
        transformer.preprocess = lambda pairs, **settings: inner(
            [(query, text.replace("vitamin", "river")) for query, text in pairs], **settings
        )
    elif "hook" in place and "inner" not in place:
        hooked = model if place == "hook" else model[0]
        hooked.register_forward_hook(
            lambda _, __, features: features | {"scores": features["scores"] * 2}
        )
    else:
        model.model.classifier.register_forward_hook(lambda _, __, output: output + 3)
    expected = model.predict([(QUERY, text) for text in TEXTS])
    # An old sentence-transformers' predict calls no hook of the model as a whole.
    assert (expected.tolist() != plain.tolist()) is not (oldest and place == "hook")
    with CrossEncoderScorer(model) as scorer:
        assert scorer.score(QUERY, TEXTS) == pytest.approx(expected.tolist(), abs=1e-5)


def halve(module, method):
    """Replace a method of `module` by one that gives half of its number."""
    original = getattr(module, method)
    setattr(module, method, lambda *inputs, **settings: original(*inputs, **settings) * 0.5)


LATER = {
    "predict": lambda model: halve(model, "predict"),
    "forward of the head": lambda model: halve(model.model.classifier, "forward"),
    "hook": lambda model: model.model.classifier.register_forward_hook(
        lambda _, __, output: output + 3
    ),
    "hook before": lambda model: model.model.bert.encoder.register_forward_pre_hook(
        lambda _, inputs: (inputs[0] * 1.3, *inputs[1:])
    ),
    "another activation inside": lambda model: setattr(
        model.model.bert.encoder.layer[0].intermediate, "intermediate_act_fn", torch.nn.ReLU()
    ),
}


@pytest.mark.parametrize("change", LATER)
def test_code_that_is_changed_after_the_first_score_is_followed(model, change):
    with CrossEncoderScorer(model) as scorer:
        before = scorer.score(QUERY, TEXTS)
        LATER[change](model)
        expected = model.predict([(QUERY, text) for text in TEXTS]).tolist()
        assert before != pytest.approx(expected, abs=1e-3)
        assert scorer.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-5)


def test_a_hook_that_is_removed_again_is_followed(model):
    with CrossEncoderScorer(model) as scorer:
        hook = model.model.classifier.register_forward_hook(lambda _, __, output: output + 3)
        assert scorer.score(QUERY, TEXTS) == predicted(model)
        hook.remove()
        assert scorer.score(QUERY, TEXTS) == predicted(model)
        assert scorer.path == "packed"


def test_scores_that_depend_on_the_batch_are_refused(folder):
    class Normalising(CrossEncoder):
        def predict(self, inputs, **settings):
            scores = super().predict(inputs, **settings)
            return scores - scores.mean()

    with pytest.raises(ModelLoadError, match=r"another score beside other pairs .* ListwiseScorer"):
        CrossEncoderScorer(Normalising(str(folder), device="cpu")).load()


TOKENIZER = """
from transformers import PreTrainedTokenizerFast

class RareTokenizer(PreTrainedTokenizerFast):
    def __call__(self, text=None, *others, **settings):
        return super().__call__(without_rare(text), *others, **settings)

def without_rare(text):
    return text.replace("zeppelin", "") if isinstance(text, str) else [*map(without_rare, text)]
"""


def test_a_tokenizer_with_code_of_its_own_is_used_itself(tmp_path):
    folder = build_tiny_model("bert", tmp_path, seed=3)
    (folder / "rare_tokenizer.py").write_text(TOKENIZER)
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    settings["auto_map"] = {"AutoTokenizer": [None, "rare_tokenizer.RareTokenizer"]}
    settings["tokenizer_class"] = "RareTokenizer"
    file.write_text(json.dumps(settings))
    texts = ["a zeppelin over Berlin", *TEXTS[:2]]
    model = CrossEncoder(str(folder), device="cpu", trust_remote_code=True)
    expected = model.predict([(QUERY, text) for text in texts]).tolist()
    without = model.predict([(QUERY, "a  over Berlin")]).tolist()
    assert without == pytest.approx(expected[:1], abs=1e-5)  # Else nothing is tried here.
    with CrossEncoderScorer(
        folder, device="cpu", dtype="float32", trust_remote_code=True
    ) as scorer:
        assert scorer.score(QUERY, texts) == pytest.approx(expected, abs=1e-5)
        assert scorer.path == "packed"


PATCHING = """
from sentence_transformers import CrossEncoder
from transformers import BertForSequenceClassification

class PatchingBert(BertForSequenceClassification):
    pass

def predict(self, inputs, **settings):
    return [0.5 for _ in inputs]

CrossEncoder.predict = predict
"""


def test_a_model_that_patches_predict_for_the_whole_process_is_refused_and_undone(folder, tmp_path):
    before = CrossEncoder.predict
    CrossEncoder(str(folder), device="cpu").save_pretrained(str(tmp_path))
    for unused in ("modules.json", "config_sentence_transformers.json"):
        (tmp_path / unused).unlink()
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "patching.PatchingBert"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "patching.py").write_text(PATCHING)
    try:
        with pytest.raises(ModelLoadError, match=r"replaces CrossEncoder\.predict for every model"):
            CrossEncoderScorer(tmp_path, device="cpu", trust_remote_code=True).load()
        assert CrossEncoder.predict is before
    finally:
        CrossEncoder.predict = before
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        assert scorer.path is None or scorer.path == "packed"
        scorer.load()
        assert scorer.path == "packed"


def test_a_model_that_is_passed_in_keeps_its_precision_and_its_weights(model):
    with CrossEncoderScorer(model) as scorer:
        assert scorer.score(QUERY, TEXTS) == predicted(model)
        assert (scorer.device, scorer.dtype, scorer.path) == ("cpu", "float32", "packed")
        held = {one.data_ptr() for one in model.parameters()}
        view = scorer._engine._forward._forward._read.base
        assert {one.data_ptr() for one in view.parameters()} <= held


@pytest.mark.parametrize("family", ["bert", "modernbert", "qwen3"])
@pytest.mark.parametrize("half", [False, True])
def test_training_a_model_that_was_passed_in_is_followed(family, half, oldest, tmp_path):
    model = CrossEncoder(str(build_tiny_model(family, tmp_path, seed=3)), device="cpu")
    if half:
        model.to(torch.bfloat16)
    with CrossEncoderScorer(model) as scorer:
        before = scorer.score(QUERY, TEXTS)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.2)
            list(model.parameters())[-1].data.add_(0.1)
        pairs = [(QUERY, text) for text in TEXTS]
        expected = model.predict(pairs).tolist()
        alone = [float(model.predict([pair])[0]) for pair in pairs]
        noise = max(abs(one - other) for one, other in zip(expected, alone, strict=True))
        least = max(0.02, 3 * noise) if oldest else 0.02
        tolerance = least if half else 1e-5
        assert scorer.score(QUERY, TEXTS) == pytest.approx(expected, abs=tolerance)
        assert before != pytest.approx(expected, abs=tolerance)


def test_the_activation_of_a_model_that_was_passed_in_is_followed(model):
    with CrossEncoderScorer(model) as scorer:
        assert scorer.score(QUERY, TEXTS) == predicted(model)
        model.activation_fn = torch.nn.Identity()
        assert scorer.score(QUERY, TEXTS) == predicted(model)


def test_moved_converted_and_assigned_weights_are_followed(model, tmp_path):
    with CrossEncoderScorer(model) as scorer:
        scorer.load()
        other = CrossEncoder(str(build_tiny_model("bert", tmp_path, seed=9)), device="cpu")
        model.load_state_dict(other.state_dict(), assign=True)
        assert scorer.score(QUERY, TEXTS) == predicted(other)
        model.half()
        expected = model.predict([(QUERY, text) for text in TEXTS]).tolist()
        assert scorer.score(QUERY, TEXTS) == pytest.approx(expected, abs=2e-3)
        assert scorer.dtype == "float16"
        model.to(torch.float32)
        assert scorer.score(QUERY, TEXTS) == predicted(model)
        assert (scorer.dtype, scorer.path) == ("float32", "packed")


def test_a_precision_asked_for_by_name_is_a_copy_that_follows_too(model):
    with CrossEncoderScorer(model, dtype="bfloat16") as scorer:
        scorer.load()
        assert scorer.dtype == "bfloat16"
        assert next(model.parameters()).dtype == torch.float32
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.3)
        expected = model.predict([(QUERY, text) for text in TEXTS]).tolist()
        assert scorer.score(QUERY, TEXTS) == pytest.approx(expected, abs=0.03)


def test_a_copy_in_a_precision_that_the_model_left_follows_its_training(model):
    with CrossEncoderScorer(model, dtype="float32") as scorer:
        scorer.load()
        model.half()
        before = scorer.score(QUERY, TEXTS)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.5)
        expected = copy.deepcopy(model).float().predict([(QUERY, text) for text in TEXTS]).tolist()
        assert before != pytest.approx(expected, abs=1e-2)
        assert scorer.score(QUERY, TEXTS) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", [CrossEncoder, ReplacingPredict])
def test_the_engine_does_not_keep_a_model_that_was_passed_in(folder, kind):
    model = kind(str(folder), device="cpu")
    engine, forgotten = Engine(LoadSettings(model=model)), weakref.ref(model)
    del model
    gc.collect()
    assert engine.alive
    assert forgotten() is None
    engine.close()


def test_a_saturated_sigmoid_keeps_the_order_of_the_logits(model):
    with torch.no_grad():
        model.model.classifier.weight.mul_(8)
        model.model.classifier.bias.fill_(28.0)
    texts = [f"{word} in Berlin" for word in ("people", "vitamin", "river", "museum", "sailors")]
    pairs = [(QUERY, text) for text in texts]
    logits = model.predict(pairs, activation_fn=torch.nn.Identity()).tolist()
    assert min(logits) > 17
    with CrossEncoderScorer(model) as scorer:
        scores = scorer.score(QUERY, texts)
    assert scores == pytest.approx(model.predict(pairs).tolist(), abs=1e-7)
    by_logit = sorted(range(5), key=lambda position: -logits[position])
    assert sorted(range(5), key=lambda position: -scores[position]) == by_logit
    assert len(set(scores)) == len(set(logits))
