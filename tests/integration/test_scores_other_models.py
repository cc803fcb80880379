"""Models and processes in odd states score as their own predict does, or are refused."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from langchain_rerank import CrossEncoderScorer, RerankPrompt
from langchain_rerank.errors import ConfigurationError, ModelLoadError
from langchain_rerank.scorers.engine.forward import choice
from langchain_rerank.testing.tiny_models import build_tiny_model

pytestmark = pytest.mark.usefixtures("own_cache")  # what long probes found is kept there

QUERY = "How many people live in Berlin?"
TEXTS = [
    "Berlin had a population of 3,520,031 registered inhabitants.",
    "Oranges and lemons contain vitamin C.",
    "",
    "Grace Hopper wrote a compiler. " + "The river Seine divides the city of Paris. " * 70,
]
YES_NO = RerankPrompt("<Q> {query}\n<D> {text}<|im_end|>\nAnswer:", "yes", "no")


@pytest.fixture
def default_dtype():
    """Sets torch's default precision, and puts it back."""
    before = torch.get_default_dtype()
    yield torch.set_default_dtype
    torch.set_default_dtype(before)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "score_model."])
def test_a_model_of_whose_weights_none_is_found_is_refused(prefix, tmp_path):
    file = build_tiny_model("bert", tmp_path) / "model.safetensors"
    named = {prefix + name: weight for name, weight in load_file(file).items()}
    save_file(named, file, metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"(\d+) of the \1 weights .* are missing .* random"):
        CrossEncoderScorer(tmp_path, device="cpu").load()


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "qwen3"])
def test_a_folder_without_a_tokenizer_is_refused(family, tmp_path):
    for file in build_tiny_model(family, tmp_path).glob("tokenizer*"):
        file.unlink()  # transformers makes one up, which knows nothing.
    with pytest.raises(ModelLoadError, match=r"knows no word .* tokenizer\.json, are missing"):
        CrossEncoderScorer(tmp_path, device="cpu").load()


def test_an_adapter_without_its_model_says_what_to_do(tmp_path):
    build_tiny_model("bert", tmp_path)
    (tmp_path / "config.json").rename(tmp_path / "adapter_config.json")
    with pytest.raises(ModelLoadError, match=r"an adapter and no model: merge it"):
        CrossEncoderScorer(tmp_path, device="cpu").load()


@pytest.mark.parametrize(
    ("word", "length"), [("=", 9001), ("ab", 9001), ("===", 9003), ("北京", 8999), ("-- ", 9001)]
)
def test_a_long_text_without_white_space_is_read_as_predict_reads_it(word, length, tmp_path):
    folder = build_tiny_model("xlm-roberta", tmp_path, seed=3, activation="Identity")
    tokenizer = folder / "tokenizer.json"
    told = json.loads(tokenizer.read_text())
    pieces = {"==": -9.0, "===": -10.0, "ab": -9.0, "ba": -9.0, "北京": -9.0, "京北": -9.0}
    vocabulary = told["model"]["vocab"]
    for place, piece in enumerate(pieces.items(), 20):  # In place of characters nobody uses here.
        vocabulary[place] = list(piece)
    tokenizer.write_text(json.dumps(told))
    text = (word * length)[:length]
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        found = scorer.score(QUERY, [text, TEXTS[0]])
    expected = CrossEncoder(str(folder), device="cpu").predict([(QUERY, text), (QUERY, TEXTS[0])])
    assert found == pytest.approx(expected.tolist(), abs=1e-5)


def embedding_model(family, folder):
    """Save a causal model's body as an embedding model, such as Qwen3-Embedding."""
    build_tiny_model(family, folder / "body", seed=3, tie_word_embeddings=True)
    template = "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    template += "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    (folder / "body" / "chat_template.jinja").write_text(template)
    transformer = Transformer(str(folder / "body"), transformer_task="feature-extraction")
    model = SentenceTransformer(modules=[transformer, Pooling(32, "lasttoken"), Normalize()])
    model.save_pretrained(str(folder / "model"))
    # As these are published: the config names the causal model that the body is of.
    config = folder / "model" / "config.json"
    whole = json.loads((folder / "body" / "config.json").read_text())
    config.write_text(json.dumps(whole))
    return folder / "model"


@pytest.mark.parametrize("family", ["qwen3", "llama"])
@pytest.mark.parametrize("said", [True, False])
def test_an_embedding_model_of_a_causal_body_is_refused(family, said, tmp_path):
    folder = embedding_model(family, tmp_path)
    if not said:  # By older versions.
        file = folder / "config_sentence_transformers.json"
        file.write_text(json.dumps({"prompts": {}}))
    with pytest.raises(ModelLoadError, match=r"general chat template: its files do not say how"):
        CrossEncoderScorer(folder, device="cpu", dtype="float32").load()


def scores_and_predicted(model, **settings):
    """Score the texts, the texts alone, and let predict do so."""
    with CrossEncoderScorer(model, device="cpu", **settings) as scorer:
        scores = list(scorer.score(QUERY, TEXTS))
        path = scorer.path
    whole = model if isinstance(model, CrossEncoder) else CrossEncoder(str(model), device="cpu")
    expected = whole.predict([(QUERY, text) for text in TEXTS], show_progress_bar=False)
    assert np.ptp(expected) > 1e-3  # Else nothing is told apart.
    return scores, pytest.approx(expected.tolist(), abs=1e-5), path


def albert(folder):
    build_tiny_model("bert", folder)
    sizes = transformers.AutoConfig.from_pretrained(folder).to_dict()
    for name in ("model_type", "architectures"):
        sizes.pop(name, None)
    config = transformers.AlbertConfig(**{**sizes, "embedding_size": 16, "num_labels": 1})
    torch.manual_seed(6)
    whole = transformers.AutoModelForSequenceClassification.from_config(config)
    whole.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("default", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("build", [albert, lambda folder: build_tiny_model("bert", folder)])
def test_scores_do_not_depend_on_torchs_default_precision(build, default, tmp_path, default_dtype):
    model = CrossEncoder(str(build(tmp_path)), device="cpu", activation_fn=torch.nn.Identity())
    default_dtype(default)
    found, expected, _ = scores_and_predicted(model, dtype="float32")
    assert found == expected


def test_the_embedded_model_keeps_its_weights_under_another_default_precision(default_dtype):
    def score():
        with CrossEncoderScorer("embedded", device="cpu", dtype="float32") as scorer:
            return list(scorer.score(QUERY, TEXTS[:2]))

    expected = score()
    default_dtype(torch.bfloat16)
    assert score() == pytest.approx(expected, abs=1e-6)


def test_models_that_load_at_once_leave_torchs_default_precision_as_it_was(
    tmp_path, monkeypatch, default_dtype
):
    folders = [build_tiny_model("bert", tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    building, entered = threading.Barrier(2), []
    build = transformers.BertForSequenceClassification.__init__

    def slow(*args, **kwargs):
        entered.append(None)
        wait = 0.05 * len(entered)  # Who began last ends last.
        try:
            building.wait(0.3)
        except threading.BrokenBarrierError:  # Nobody builds at the same time.
            wait = 0
        time.sleep(wait)
        build(*args, **kwargs)

    monkeypatch.setattr(transformers.BertForSequenceClassification, "__init__", slow)
    scorers = [CrossEncoderScorer(one, device="cpu", dtype="bfloat16") for one in folders]
    threads = [threading.Thread(target=scorer.load) for scorer in scorers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.get_default_dtype() == torch.float32
    for scorer in scorers:
        scorer.close()


def mixture(folder, window):
    """Save a Qwen2-MoE whose attention has a window, of which transformers tells the mask alone."""
    build_tiny_model("qwen2", folder, max_length=1500)
    (folder / "chat_template.jinja").unlink()
    sizes = transformers.AutoConfig.from_pretrained(folder).to_dict()
    for name in ("model_type", "architectures", "layer_types"):
        sizes.pop(name, None)
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    windows = {"use_sliding_window": True, "sliding_window": window, "max_window_layers": 9}
    shared = {"shared_expert_intermediate_size": 32}
    config = transformers.Qwen2MoeConfig(**{**sizes, **experts, **windows, **shared})
    torch.manual_seed(6)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def test_a_window_that_only_the_mask_has_is_kept_beyond_the_test_texts(tmp_path):
    folder = mixture(tmp_path, window=600)
    text = "The river Seine divides the city of Paris. " * 70
    with CrossEncoderScorer(
        folder, device="cpu", dtype="float32", max_length=1400, prompt=YES_NO
    ) as scorer:
        [found] = scorer.score(QUERY, [text])
        assert scorer.path == "padded"
    asked = {"chat_template": YES_NO.chat_template}
    model = CrossEncoder(str(folder), device="cpu", processor_kwargs=asked)
    ids = [model.tokenizer.convert_tokens_to_ids(token) for token in ("yes", "no")]
    model[1].true_token_id, model[1].false_token_id = ids
    model.max_seq_length = 1400
    assert found == pytest.approx(float(model.predict([(QUERY, text)])[0]), abs=1e-5)


def test_files_that_say_where_to_cut_are_followed(tmp_path):
    build_tiny_model("modernbert", tmp_path / "a", max_length=2048)
    transformer = Transformer(
        str(tmp_path / "a"),
        transformer_task="sequence-classification",
        processing_kwargs={"text": {"max_length": 128}},
    )
    CrossEncoder(modules=[transformer], device="cpu").save_pretrained(str(tmp_path / "b"))
    found, expected, _ = scores_and_predicted(tmp_path / "b", dtype="float32")
    assert found == expected
    scorer = CrossEncoderScorer(tmp_path / "b", device="cpu", max_length=1000)
    with scorer:
        scorer.load()
        assert scorer.max_length == 1000


def test_a_model_in_float64_is_held_to_what_float32_is(tmp_path, monkeypatch):
    build = choice._packed

    def nearly(*args, **settings):
        forward = build(*args, **settings)
        launch = forward.launch
        forward.launch = lambda pairs: lambda: [score + 1e-4 for score in launch(pairs)()]
        return forward

    monkeypatch.setattr(choice, "_packed", nearly)
    model = CrossEncoder(str(build_tiny_model("bert", tmp_path)), device="cpu").double()
    found, expected, path = scores_and_predicted(model)
    assert found == expected
    assert path == "padded"


def test_a_batch_that_meets_a_conversion_of_its_model_is_computed_again(tmp_path, monkeypatch):
    model = CrossEncoder(str(albert(tmp_path)), device="cpu")
    with CrossEncoderScorer(model) as scorer:
        assert scorer.score(QUERY, TEXTS)
        assert scorer.path == "predict"
        layers = model.transformers_model.albert.encoder
        pool = type(layers).forward
        converted = []

        def halfway(*args, **kwargs):
            if not converted:  # Another thread is as far as this.
                converted.append(model.double())
            return pool(*args, **kwargs)

        monkeypatch.setattr(type(layers), "forward", halfway)
        found = list(scorer.score(QUERY, TEXTS))
    expected = model.predict([(QUERY, text) for text in TEXTS])
    assert converted
    assert found == pytest.approx(expected.tolist(), abs=1e-5)


def test_an_attention_that_somebody_registered_is_part_of_the_model(tmp_path):
    def forgetful(module, query, key, value, mask, **told):
        value = value / 2 if query.shape[2] > 600 else value
        return sdpa_attention_forward(module, query, key, value, mask, **told)

    transformers.AttentionInterface.register("forgetful", forgetful)
    transformers.AttentionMaskInterface.register("forgetful", sdpa_mask)
    folder = build_tiny_model("bert", tmp_path, max_length=1500)
    forgets = {"attn_implementation": "forgetful"}
    pair = (QUERY, "The river Seine divides the city of Paris. " * 90)
    model = CrossEncoder(str(folder), device="cpu", model_kwargs=forgets)
    [expected] = model.predict([pair])
    for given, told in ((folder, {"model_kwargs": forgets}), (model, {})):
        with CrossEncoderScorer(given, dtype="float32", max_length="model", **told) as scorer:
            assert scorer.score(QUERY, pair[1:]) == pytest.approx([float(expected)], abs=1e-5)
            assert scorer.path == "predict"


def other_encoder(kind, folder, **settings):
    """Save a model of another family, whose tokenizer names a limit that is not the model's."""
    build_tiny_model("bert", folder)
    tokenizer = folder / "tokenizer_config.json"
    told = json.loads(tokenizer.read_text()) | {"model_max_length": 4096}
    tokenizer.write_text(json.dumps(told))
    sizes = transformers.AutoConfig.from_pretrained(folder).to_dict()
    for name in ("model_type", "architectures"):
        sizes.pop(name, None)
    config = getattr(transformers, kind)(**{**sizes, "num_labels": 1, **settings})
    torch.manual_seed(6)
    whole = transformers.AutoModelForSequenceClassification.from_config(config)
    whole.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "settings", "limit"),
    [
        ("BartConfig", {"eos_token_id": 1, "classifier_dropout": 0.0}, 512),
        ("GPT2Config", {"max_position_embeddings": 600}, 600),
        # Beyond that a text would change the attention of those computed with it, and for good.
        ("BigBirdConfig", {"block_size": 16, "max_position_embeddings": 700}, 176),
    ],
)
def test_no_text_is_longer_than_what_a_model_reads_alike(kind, settings, limit, tmp_path):
    folder = other_encoder(kind, tmp_path, **settings)
    with pytest.raises(ConfigurationError, match=f"reads at most {limit} tokens"):
        CrossEncoderScorer(folder, device="cpu", dtype="float32", max_length=limit + 1).load()
    with CrossEncoderScorer(folder, device="cpu", dtype="float32", max_length=limit) as scorer:
        [alone] = scorer.score(QUERY, TEXTS[:1])
        assert scorer.score(QUERY, [TEXTS[3] * 2, TEXTS[0]])[1] == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("products", ["highest", "medium"])
def test_a_process_that_multiplies_float32_in_less_is_no_fault_of_the_model(products, tmp_path):
    def rounded(_module, _inputs, output):
        return output + 0.003 * len(output)  # As coarse products may, by the batch.

    model = CrossEncoder(str(build_tiny_model("bert", tmp_path)), device="cpu")
    model.transformers_model.classifier.register_forward_hook(rounded)
    torch.set_float32_matmul_precision(products)
    try:
        with CrossEncoderScorer(model) as scorer:
            if products == "highest":
                with pytest.raises(ModelLoadError, match="another score beside other pairs"):
                    scorer.load()
            else:
                scorer.load()
                assert scorer.path == "predict"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_recurrence_that_begins_in_the_padding_is_refused_also_where_it_moves_little(tmp_path):
    build_tiny_model("llama", tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    sizes = transformers.AutoConfig.from_pretrained(tmp_path).to_dict()
    for name in ("model_type", "architectures", "head_dim", "rope_parameters", "layer_types"):
        sizes.pop(name, None)
    config = transformers.RecurrentGemmaConfig(**{**sizes, "lru_width": 32})
    torch.manual_seed(6)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ModelLoadError, match="another score beside other pairs"):
        CrossEncoderScorer(tmp_path, device="cpu", dtype="float32", prompt=YES_NO).load()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [("ConvBertConfig", {"head_ratio": 1, "embedding_size": 32}), ("FNetConfig", {})],
)
def test_a_model_that_mixes_texts_with_padding_is_refused_in_any_precision(
    kind, settings, dtype, tmp_path
):
    folder = other_encoder(kind, tmp_path, **settings)
    with pytest.raises(ModelLoadError, match=r"another score beside other pairs|made ready"):
        CrossEncoderScorer(folder, device="cpu", dtype=dtype).load()
