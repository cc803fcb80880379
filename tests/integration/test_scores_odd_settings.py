"""Models and prompts that are set in an odd way score as their own predict does, or are refused."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import Pooling
from tokenizers import AddedToken, normalizers

from langchain_rerank import CrossEncoderScorer, RerankPrompt
from langchain_rerank.errors import ModelLoadError
from langchain_rerank.scorers.engine.forward import packed_attention
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


def scores_of(model, texts=TEXTS, query=QUERY, **settings):
    with CrossEncoderScorer(model, device="cpu", dtype="float32", **settings) as scorer:
        return list(scorer.score(query, texts))


def predicted(model, texts=TEXTS, query=QUERY, max_length=512, prompt=None):
    """What predict gives; `prompt` is set up as the scorer is told to."""
    if not isinstance(model, CrossEncoder):
        asked = {"chat_template": prompt.chat_template} if prompt else None
        model = CrossEncoder(str(model), device="cpu", processor_kwargs=asked)
        if prompt:
            tokens = (prompt.true_token, prompt.false_token)
            ids = [model.tokenizer.convert_tokens_to_ids(token) for token in tokens]
            model[1].true_token_id, model[1].false_token_id = ids
    model.max_seq_length = max_length
    scores = model.predict([(query, text) for text in texts], show_progress_bar=False)
    assert np.ptp(scores) > 1e-3  # Else nothing is told apart.
    return pytest.approx(scores.tolist(), abs=1e-5)


def told(folder, **settings):
    """Change what the folder's tokenizer is told."""
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    return folder


def untold(folder):
    """Let a causal model forget how it is asked."""
    (folder / "chat_template.jinja").unlink()
    return folder


def with_template(folder, template):
    (folder / "chat_template.jinja").write_text(template)
    return folder


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "modernbert"])
@pytest.mark.parametrize("tokens", [62, 63, 64])
def test_a_query_of_up_to_half_the_length_is_read_as_predict_reads_it(family, tokens, tmp_path):
    folder = build_tiny_model(family, tmp_path, seed=3, activation="Identity")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    query = "1" + " people" * 64
    while len(tokenizer.encode(query, add_special_tokens=False)) > tokens:
        query = query.removesuffix(" people")
    texts = [*TEXTS, "vitamin " * 60, "vitamin " * 63, "vitamin " * 66]
    found = scores_of(folder, texts, query, max_length=128)
    assert found == predicted(folder, texts, query, 128)


@pytest.mark.parametrize("template", ["<Q> {query}\n<D> {text}", YES_NO.template])
def test_texts_of_which_the_beginning_is_cut_are_followed(template, tmp_path):
    folder = told(untold(build_tiny_model("qwen3", tmp_path, seed=3)), truncation_side="left")
    prompt = RerankPrompt(template, "yes", "no")
    found = scores_of(folder, max_length=128, prompt=prompt)
    assert found == predicted(folder, max_length=128, prompt=prompt)


def test_a_query_with_the_characters_that_stand_for_a_text_is_a_query(tmp_path):
    folder = untold(build_tiny_model("qwen3", tmp_path, seed=3))
    query = "Berlin \ue000\ue001\ue002\ue002 \ue000\ue001\ue002?"
    found = scores_of(folder, query=query, prompt=YES_NO)
    assert found == predicted(folder, query=query, prompt=YES_NO)


def as_classifier(folder):
    """Make a classifier of the causal model in `folder`, without a template."""
    config = transformers.AutoConfig.from_pretrained(folder, num_labels=1)
    torch.manual_seed(4)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return untold(folder)


@pytest.mark.parametrize(
    "path", ["packed", "padded", pytest.param("openvino", marks=pytest.mark.slow)]
)
def test_a_text_that_ends_with_the_padding_token_is_read_as_predict_reads_it(
    path, tmp_path, monkeypatch
):
    folder = as_classifier(build_tiny_model("qwen3", tmp_path, seed=3))
    prompt = RerankPrompt("Query: {query}\nText: {text}")
    texts = ["people <|endoftext|>", "<|endoftext|>", "Berlin<|endoftext|><|endoftext|>", *TEXTS]
    asked = {"chat_template": prompt.chat_template}
    expected = predicted(CrossEncoder(str(folder), device="cpu", processor_kwargs=asked), texts)
    if path == "padded":
        monkeypatch.setattr(packed_attention, "kernel_for", lambda *_: None)
    backend = "openvino" if path == "openvino" else "torch"
    with CrossEncoderScorer(
        folder, device="cpu", dtype="float32", prompt=prompt, backend=backend
    ) as scorer:
        assert scorer.score(QUERY, texts) == expected
        assert scorer.path == path


def test_a_decoder_that_is_pooled_by_the_mean_is_packed_without_a_word(tmp_path, caplog):
    build_tiny_model("qwen3", tmp_path, seed=3)
    transformer = Transformer(str(tmp_path), transformer_task="feature-extraction")
    torch.manual_seed(5)
    head = Dense(32, 1, activation_function=torch.nn.Identity(), module_output_name="scores")
    model = CrossEncoder(modules=[transformer, Pooling(32, "mean"), head], device="cpu")
    with CrossEncoderScorer(model) as scorer:
        assert scorer.score(QUERY, TEXTS) == predicted(model)
        assert scorer.path == "packed"
    assert not [one for one in caplog.records if one.name.startswith("langchain_rerank")]


def joining(folder, first, second):
    """Let the tokenizer of `folder` read two characters that stand together as one token."""
    file = folder / "tokenizer.json"
    settings = json.loads(file.read_text())
    model = settings["model"]
    dropped = model["merges"].pop()
    number = model["vocab"].pop("".join(dropped))
    model["vocab"][first + second] = number
    model["merges"].append([first, second])
    file.write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize(
    ("first", "second", "template", "text"),
    [
        (":", ")", "<Q> {query}\n<D>:{text}<|im_end|>", ") is half a smile"),
        ("!", "?", "<Q> {query}\n<D> {text}?", "Go to Berlin!"),
        ("g", "s", "<Q> {query}\n<D> {text}s", "a dog"),
    ],
)
def test_a_character_that_joins_the_prompt_beside_it_is_followed(
    first, second, template, text, tmp_path
):
    folder = joining(untold(build_tiny_model("qwen3", tmp_path, seed=3)), first, second)
    prompt, texts = RerankPrompt(template, "yes", "no"), [text, *TEXTS]
    assert scores_of(folder, texts, prompt=prompt) == predicted(folder, texts, prompt=prompt)


@pytest.mark.parametrize("flag", ["lstrip", "rstrip"])
def test_a_token_that_takes_the_white_space_of_the_prompt_is_followed(flag, tmp_path):
    folder = untold(build_tiny_model("qwen3", tmp_path, seed=3, vocab_size=720))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken("<end>", **{flag: True})])
    tokenizer.save_pretrained(folder)
    prompt, texts = RerankPrompt("<Q>{query}\n\n{text}\n\n", "yes", "no"), ["<end>", *TEXTS]
    assert scores_of(folder, texts, prompt=prompt) == predicted(folder, texts, prompt=prompt)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("| replace('\\t', ' ')", "people\tin Berlin"),
        ("| replace('  ', ' ')", "people  in Berlin"),
        ("| replace('\\r\\n', ' ')", "people\r\nin Berlin"),
        ("| replace('~', '')", "~ people in Berlin"),
    ],
)
def test_a_template_that_changes_a_single_character_is_followed(change, text, tmp_path):
    def content(role, change=""):
        of_role = f"messages | selectattr('role', 'eq', '{role}') | map(attribute='content')"
        return f"{{{{ {of_role} | first {change} }}}}"

    template = f"<Q> {content('query')}\n<D> {content('document', change)}<|im_end|>\n"
    folder = with_template(build_tiny_model("qwen3", tmp_path, seed=3), template)
    texts = [text, *TEXTS]
    assert scores_of(folder, texts) == predicted(folder, texts)


def decoder(kind, folder, **settings):
    """Write a causal model of another family, with the tokenizer and the sizes of a tiny Llama."""
    build_tiny_model("llama", folder)
    config = transformers.AutoConfig.from_pretrained(folder).to_dict()
    for name in ("model_type", "architectures", "transformers_version", "rope_parameters"):
        config.pop(name, None)
    torch.manual_seed(6)
    whole = getattr(transformers, kind)(**{**config, "head_dim": 16, **settings})
    transformers.AutoModelForCausalLM.from_config(whole).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("GptOssConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}),  # sinks
        ("Gemma2Config", {"final_logit_softcapping": None}),  # a soft cap
        ("Lfm2Config", {"layer_types": ["conv", "full_attention"]}),
        ("Llama4TextConfig", {"num_local_experts": 2, "intermediate_size_mlp": 64}),  # chunks
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_packed_attention_cannot_do_is_padded_whatever_the_probes_show(
    kind, settings, dtype, tmp_path
):
    folder = decoder(kind, tmp_path, **settings)
    with CrossEncoderScorer(folder, device="cpu", dtype=dtype) as scorer:
        found = scorer.score(QUERY, TEXTS)
        assert scorer.path == "padded"
    if dtype == "float32":
        assert found == predicted(folder)


def of_classifier(family):
    return lambda folder: CrossEncoder(str(build_tiny_model(family, folder, seed=3)), device="cpu")


def of_causal(folder):
    build_tiny_model("qwen3", folder, seed=3)
    transformer = Transformer(str(folder), transformer_task="text-generation")
    yes, no = (transformer.tokenizer.convert_tokens_to_ids(one) for one in ("yes", "no"))
    return CrossEncoder(modules=[transformer, LogitScore(yes, no)], device="cpu")


def of_chain(folder):
    build_tiny_model("modernbert", folder, seed=3)
    transformer = Transformer(str(folder), transformer_task="feature-extraction")
    torch.manual_seed(5)
    modules = [
        transformer,
        Pooling(32, "cls"),
        Dense(32, 32, activation_function=torch.nn.LeakyReLU(0.1)),
        Dense(32, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
    ]
    return CrossEncoder(modules=modules, device="cpu")


def learns_a_token(model):
    model.tokenizer.add_tokens(["registered inhabitants"])
    model.transformers_model.resize_token_embeddings(len(model.tokenizer))


def takes_another_tokenizer(model):
    other = copy.deepcopy(model.tokenizer)
    other.backend_tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    model[0].processor = other


def takes_another_normalizer(model):
    model.tokenizer.backend_tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)


def cuts_at_the_left(model):
    model.tokenizer.truncation_side = "left"


def swaps_the_answers(model):
    score = model[1]
    score.true_token_id, score.false_token_id = score.false_token_id, score.true_token_id


def is_asked_otherwise(model):
    tokenizer = model.tokenizer
    tokenizer.chat_template = tokenizer.chat_template.replace("<Document>: ", "Text:\n")


def pools_otherwise(model):
    model[1].pooling_mode = "mean"


def leaks_more(model):
    model[2].activation_function = torch.nn.LeakyReLU(0.9)


def leaks_more_in_place(model):
    model[2].activation_function.negative_slope = 3.0


def normalises_otherwise(model):
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 0.5


def is_configured_otherwise(model):
    model.transformers_model.config.classifier_pooling = "cls"


@pytest.mark.parametrize(
    ("build", "change"),
    [
        (of_classifier("bert"), learns_a_token),
        (of_classifier("bert"), takes_another_tokenizer),
        (of_classifier("bert"), takes_another_normalizer),
        (of_classifier("bert"), cuts_at_the_left),
        (of_classifier("bert"), normalises_otherwise),
        (of_classifier("modernbert"), is_configured_otherwise),
        (of_causal, swaps_the_answers),
        (of_causal, is_asked_otherwise),
        (of_chain, pools_otherwise),
        (of_chain, leaks_more),
        (of_chain, leaks_more_in_place),
    ],
)
def test_whatever_is_changed_of_a_model_that_was_passed_in_is_followed(build, change, tmp_path):
    model = build(tmp_path)
    with CrossEncoderScorer(model) as scorer:
        before = scorer.score(QUERY, TEXTS)
        change(model)
        after = scorer.score(QUERY, TEXTS)
    expected = predicted(model)
    assert after == expected
    assert before != expected


def test_computing_changes_nothing_that_is_followed(tmp_path):
    model = of_causal(tmp_path)
    with CrossEncoderScorer(model) as scorer:
        scorer.load()
        chosen = scorer._engine._forward._forward
        for texts in (TEXTS, TEXTS[:1], TEXTS * 2):
            scorer.score(QUERY, texts)
            model.predict([(QUERY, text) for text in texts])
        assert scorer._engine._forward._forward is chosen


@pytest.mark.parametrize(
    "activation", [torch.nn.Softmax(dim=0), torch.nn.Sequential(torch.nn.Dropout(0.5))]
)
def test_an_activation_that_is_no_function_of_one_logit_is_refused(activation, tmp_path):
    model = of_classifier("bert")(tmp_path)
    model.activation_fn = activation
    with pytest.raises(ModelLoadError, match=r"The activation of .* beside other logits"):
        CrossEncoderScorer(model).load()


class Scale(torch.nn.Module):
    """An activation of somebody's own, with a weight that is in float32."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.tensor([[0.2]]))

    def forward(self, logits):
        return logits @ self.factor


@pytest.mark.parametrize(
    "activation",
    [
        torch.nn.Sequential(Scale(), torch.nn.Sigmoid()),
        torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Sigmoid()),
        torch.sigmoid,
    ],
)
def test_an_activation_made_of_several_is_applied_as_predict_applies_it(activation, tmp_path):
    model = of_classifier("bert")(tmp_path)
    model.activation_fn = activation
    with CrossEncoderScorer(model) as scorer:
        assert scorer.score(QUERY, TEXTS) == predicted(model)


@pytest.mark.parametrize("whole", [True, False])
def test_a_model_that_is_compiled_in_part_scores_by_its_own_predict(whole, tmp_path):
    model = of_classifier("bert")(tmp_path)
    inner = model.transformers_model
    if whole:
        model[0].model = torch.compile(inner, backend="eager")
    else:
        layers = inner.bert.encoder.layer
        layers[0] = torch.compile(layers[0], backend="eager")
    with CrossEncoderScorer(model) as scorer:
        assert scorer.score(QUERY, TEXTS) == predicted(model)
