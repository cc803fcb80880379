"""Every shape of reranker gives the scores of its own `predict`, or is refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer.modules import LayerNorm, Normalize, Pooling

from langchain_rerank import CrossEncoderScorer, RerankPrompt
from langchain_rerank.errors import ConfigurationError, ModelLoadError
from langchain_rerank.testing.tiny_models import build_tiny_model

pytestmark = pytest.mark.usefixtures("own_cache")  # what long probes found is kept there

QUERY = "How many people live in Berlin?"
TEXTS = [
    "Berlin had a population of 3,520,031 registered inhabitants.",
    "Oranges and lemons contain vitamin C.",
    "",
    "Zürich 北京 🙂 naïve",
    "The river Seine divides the city of Paris. " * 12,
    "Retrieval finds candidates; reranking puts the relevant passages first. " * 40,
]
MAX_LENGTH = 320

GENERAL_CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
YES_NO = RerankPrompt(
    "<|im_start|>user\n{instruction}\nQuery: {query}\nText: {text}<|im_end|>\nAnswer:\n\n",
    "yes",
    "no",
    instruction="Does the text answer the query?",
)


def without_template(folder: Path) -> Path:
    (folder / "chat_template.jinja").unlink()
    return folder


def with_template(folder: Path, template: str) -> Path:
    (folder / "chat_template.jinja").write_text(template)
    return folder


def causal(family, folder, **config):
    return build_tiny_model(family, folder, seed=3, **config)


def with_logit_score(folder, out, true, false):
    """Save a causal model as the hub's native ones are: a chain with a LogitScore."""
    transformer = Transformer(str(folder), transformer_task="text-generation")
    ids = [
        None if one is None else transformer.tokenizer.convert_tokens_to_ids(one)
        for one in (true, false)
    ]
    CrossEncoder(modules=[transformer, LogitScore(*ids)], device="cpu").save_pretrained(str(out))
    return out


def as_classifier(folder, out, *, pad=True, template=True):
    """Save a causal model's body as a classifier, as seq-cls conversions are."""
    config = transformers.AutoConfig.from_pretrained(folder, num_labels=1)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config.pad_token_id = tokenizer.pad_token_id if pad else None
    torch.manual_seed(4)
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(out)
    if not template:
        tokenizer.chat_template = None
    tokenizer.save_pretrained(out)
    return out


def chain(folder, out, mode, *, dense=True, normalize=False):
    """Save a base model with pooling and a head after it, as Ettin's rerankers are."""
    auto = transformers.AutoModel.from_pretrained(folder)
    base = out / "base"
    auto.save_pretrained(base)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(base)
    transformer = Transformer(str(base), transformer_task="feature-extraction")
    width = auto.config.hidden_size
    torch.manual_seed(5)
    modules = [transformer, Pooling(width, mode)]
    if dense:
        modules += [
            Dense(width, width, bias=False, activation_function=torch.nn.GELU()),
            LayerNorm(width),
        ]
    if normalize:
        modules.append(Normalize())
    modules.append(
        Dense(
            width,
            1,
            activation_function=torch.nn.Identity(),
            module_output_name="scores",
        )
    )
    saved = CrossEncoder(modules=modules, device="cpu", activation_fn=torch.nn.Identity())
    saved.save_pretrained(str(out / "model"))
    return out / "model"


def gemma(folder):
    build_tiny_model("llama", folder)
    settings = transformers.AutoConfig.from_pretrained(folder).to_dict()
    for name in ("model_type", "architectures", "transformers_version", "head_dim"):
        settings.pop(name, None)
    config = transformers.GemmaConfig(**settings, head_dim=16)
    torch.manual_seed(6)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


ENCODERS = {
    "MiniLM: BERT, raw": ("bert", {"activation": "Identity"}),
    "bge v1: XLM-R": ("xlm-roberta", {}),
    "RoBERTa": ("roberta", {}),
    "ELECTRA": ("electra", {}),
    "DistilBERT": ("distilbert", {}),
    "mxbai v1: DeBERTa": ("deberta-v2", {"pooler_hidden_act": "gelu"}),
    "MPNet": ("mpnet", {}),
    "gte, granite: ModernBERT, cls": (
        "modernbert",
        {"classifier_pooling": "cls", "local_attention": 128},
    ),
    "ModernBERT, mean": ("modernbert", {"classifier_pooling": "mean", "local_attention": 128}),
}


def encoder(name):
    family, settings = ENCODERS[name]

    def build(folder):
        return build_tiny_model(family, folder, seed=3, **settings), {}

    return build


# Each: where it is built -> the folder, and what the scorer is told.
SHAPES = {
    **{name: encoder(name) for name in ENCODERS},
    "Qwen3 with roles": lambda f: (causal("qwen3", f), {}),
    "Qwen3, LogitScore": lambda f: (
        with_logit_score(causal("qwen3", f / "a"), f / "b", "yes", "no"),
        {},
    ),
    "zerank 2: LogitScore, one token": lambda f: (
        with_logit_score(causal("qwen3", f / "a"), f / "b", "yes", None),
        {},
    ),
    "mxbai v2: Qwen2, prompt": lambda f: (without_template(causal("qwen2", f)), {"prompt": YES_NO}),
    "bge v2 gemma: prompt, one token": lambda f: (
        without_template(gemma(f)),
        {"prompt": RerankPrompt("A: {query}\nB: {text}\nPredict 'yes'.", "yes")},
    ),
    "general chat template, prompt": lambda f: (
        with_template(causal("llama", f), GENERAL_CHAT),
        {"prompt": YES_NO},
    ),
    "text before query": lambda f: (
        without_template(causal("qwen3", f)),
        {"prompt": RerankPrompt("<Text> {text}\n<Query> {query} ??", "yes", "no")},
    ),
    "Qwen3 classifier, template": lambda f: (
        as_classifier(causal("qwen3", f / "a"), f / "b"),
        {},
    ),
    "Qwen3 classifier, prompt": lambda f: (
        as_classifier(causal("qwen3", f / "a"), f / "b", template=False),
        {"prompt": RerankPrompt("Query: {query}\nText: {text}\n")},
    ),
    "Qwen2 classifier, no pad token in its config": lambda f: (
        as_classifier(causal("qwen2", f / "a"), f / "b", pad=False),
        {},
    ),
    "Ettin: ModernBERT chain, cls": lambda f: (
        chain(build_tiny_model("modernbert", f / "a", local_attention=128), f, "cls"),
        {},
    ),
    "BERT chain, mean": lambda f: (chain(build_tiny_model("bert", f / "a"), f, "mean"), {}),
    "BERT chain, cls": lambda f: (chain(build_tiny_model("bert", f / "a"), f, "cls"), {}),
    "XLM-R chain, mean, normalised": lambda f: (
        chain(build_tiny_model("xlm-roberta", f / "a"), f, "mean", dense=False, normalize=True),
        {},
    ),
    "Qwen3 chain, last token": lambda f: (chain(causal("qwen3", f / "a"), f, "lasttoken"), {}),
}
PATHS = {"mxbai v1: DeBERTa": "padded", "MPNet": "padded"}


@pytest.fixture(scope="module", params=SHAPES)
def shape(request, tmp_path_factory):
    folder, told = SHAPES[request.param](tmp_path_factory.mktemp("shape"))
    return request.param, folder, told


def reference(folder, told, dtype):
    """The model as sentence-transformers loads it, with the prompt as its template."""
    prompt = told.get("prompt")
    asked = {"chat_template": prompt.chat_template} if prompt else None
    model = CrossEncoder(
        str(folder), device="cpu", model_kwargs={"dtype": dtype}, processor_kwargs=asked
    )
    if prompt and prompt.true_token:
        ids = [
            None if token is None else model.tokenizer.convert_tokens_to_ids(token)
            for token in (prompt.true_token, prompt.false_token)
        ]
        model[1].true_token_id, model[1].false_token_id = ids
    if model.config.pad_token_id is None:
        model.config.pad_token_id = model.tokenizer.pad_token_id
    return model


@pytest.mark.parametrize(
    "dtype", ["float32", "bfloat16", pytest.param("float16", marks=pytest.mark.slow)]
)
def test_every_shape_gives_the_scores_of_its_own_predict(shape, dtype, comparable, oldest, caplog):
    name, folder, told = shape
    model = reference(folder, told, getattr(torch, dtype))
    scorer = CrossEncoderScorer(folder, device="cpu", dtype=dtype, max_length=MAX_LENGTH, **told)
    if oldest and model.num_labels != 1:  # It does not look at the last layer.
        with pytest.raises(ModelLoadError, match="upgrade it"):
            scorer.load()
        return
    with scorer:
        scores = scorer.score(QUERY, TEXTS)
        assert scorer.path == PATHS.get(name, "packed"), caplog.text
    assert scores.truncated >= 1
    # Where the text is first, predict cuts the query off, and the engine the text alone.
    texts = TEXTS[:-1] if name == "text before query" else comparable(model, TEXTS)
    pairs = [(QUERY, text) for text in texts]
    model.max_seq_length = MAX_LENGTH
    settings = {"show_progress_bar": False}
    expected = model.predict(pairs, **settings)
    if dtype == "float32":
        tolerances = 1e-5 * np.maximum(1, np.abs(expected))
    else:
        alone = [model.predict([pair], **settings)[0] for pair in pairs]
        noise = float(np.max(np.abs(expected - alone)))
        tolerances = np.maximum(3 * noise, 2**-8 * np.maximum(1, np.abs(expected)))
    scores = scores[: len(texts)]
    assert (np.abs(np.array(scores) - expected) <= tolerances).all(), (scores, expected)
    assert np.ptp(expected) > 1e-3  # Else nothing was told apart.


REFUSED = {
    "causal, no template": lambda f: without_template(causal("qwen3", f)),
    "causal, general chat template": lambda f: with_template(causal("qwen3", f), GENERAL_CHAT),
    "LogitScore, no template": lambda f: without_template(
        with_logit_score(causal("qwen3", f / "a"), f / "b", "yes", "no")
    ),
    "LogitScore, template that drops the query": lambda f: with_template(
        with_logit_score(causal("qwen3", f / "a"), f / "b", "yes", "no"),
        "{# 'query' #}{{ messages | selectattr('role', 'eq', 'document') | "
        "map(attribute='content') | first }}?",
    ),
    "LogitScore, template that glues": lambda f: with_template(
        with_logit_score(causal("qwen3", f / "a"), f / "b", "yes", "no"),
        "{{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first }}"
        "{{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first }}?",
    ),
    "classifier of a decoder, no template": lambda f: as_classifier(
        causal("qwen3", f / "a"), f / "b", template=False
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("passed_in", [False, True])
def test_what_would_be_asked_under_a_guessed_prompt_is_refused(name, passed_in, tmp_path):
    folder = REFUSED[name](tmp_path)
    model = CrossEncoder(str(folder), device="cpu") if passed_in else folder
    with pytest.raises(ModelLoadError, match=r"prompt=RerankPrompt\(template") as caught:
        CrossEncoderScorer(model, device="cpu", dtype="float32").load()
    assert "#a-prompt-is-missing" in str(caught.value)


def _message(role, change=""):
    return (
        f"{{{{ messages | selectattr('role', 'eq', '{role}') | map(attribute='content') | first"
        f"{change} }}}}"
    )


@pytest.mark.parametrize(
    "change", ["| e", "| replace('<b>', '')", "| lower", "| tojson", "| striptags", "| trim"]
)
def test_a_template_that_changes_the_text_is_followed(change, tmp_path):
    folder = with_template(
        with_logit_score(causal("qwen3", tmp_path / "a"), tmp_path / "b", "yes", "no"),
        f"<Q>: {_message('query')}\n<D>: {_message('document', change)}<|im_end|>\n",
    )
    texts = ["Oranges & <b>Lemons</b> \"contain\" 'vitamin C'. ", *TEXTS[:4]]
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        scores = scorer.score(QUERY, texts)
    expected = CrossEncoder(str(folder), device="cpu").predict([(QUERY, text) for text in texts])
    assert scores == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_tokenizer_that_splits_special_tokens_in_texts_is_followed(tmp_path):
    folder = build_tiny_model("bert", tmp_path, seed=3)
    settings = folder / "tokenizer_config.json"
    settings.write_text(
        json.dumps({**json.loads(settings.read_text()), "split_special_tokens": True})
    )
    texts = ["[SEP] [PAD] vitamin", "vitamin [MASK] C", *TEXTS[:2]]
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        scores = scorer.score(QUERY, texts)
    expected = CrossEncoder(str(folder), device="cpu").predict([(QUERY, text) for text in texts])
    assert scores == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    "rotation",
    [
        {
            "rope_type": "longrope",
            "original_max_position_embeddings": 256,
            "short_factor": [1.0] * 8,
            "long_factor": [3.0] * 8,
        },
        {"rope_type": "dynamic"},
    ],
)
def test_no_text_is_so_long_that_it_changes_the_positions_of_others(rotation, tmp_path):
    folder = causal(
        "qwen3",
        tmp_path,
        max_position_embeddings=2048 if "long_factor" in rotation else 256,
        rope_parameters={"rope_theta": 10000.0, "factor": 4.0, **rotation},
    )
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        [alone] = scorer.score(QUERY, ["vitamin C"])
        together = scorer.score(QUERY, ["vitamin C", "The river Seine divides the city; " * 60])
        assert scorer.max_length == 256
    assert together[0] == pytest.approx(alone, abs=1e-5)
    expected = CrossEncoder(str(folder), device="cpu").predict([(QUERY, "vitamin C")])
    assert alone == pytest.approx(float(expected[0]), abs=1e-5)
    with pytest.raises(ConfigurationError, match="reads at most 256 tokens"):
        CrossEncoderScorer(folder, device="cpu", dtype="float32", max_length=400).load()


def _without_weights(folder, part):
    file = folder / "model.safetensors"
    kept = {name: weight for name, weight in load_file(file).items() if part not in name}
    save_file(kept, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("family", "part"),
    [("bert", "classifier"), ("bert", "pooler"), ("modernbert", "layers.1."), ("qwen3", "norm")],
)
def test_a_model_that_lacks_weights_is_refused(family, part, tmp_path):
    folder = _without_weights(build_tiny_model(family, tmp_path), part)
    with pytest.raises(ModelLoadError, match=rf"of the \d+ weights .* missing .*{part}.* random"):
        CrossEncoderScorer(folder, device="cpu").load()


def test_a_chain_needs_no_weights_of_a_pooler_that_it_does_not_use(tmp_path):
    folder = chain(build_tiny_model("bert", tmp_path / "a"), tmp_path, "mean")
    _without_weights(folder, "pooler")
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        scores = scorer.score(QUERY, TEXTS[:3])
    model = CrossEncoder(str(folder), device="cpu")
    expected = model.predict([(QUERY, text) for text in TEXTS[:3]])
    assert scores == pytest.approx(expected.tolist(), abs=1e-5)


def test_many_texts_that_the_default_cuts_are_worth_a_line_once(tmp_path, caplog):
    folder = build_tiny_model("modernbert", tmp_path, max_length=2048)
    with CrossEncoderScorer(folder, device="cpu", dtype="float32") as scorer:
        for _ in range(3):
            scores = scorer.score(QUERY, [*TEXTS[:3], "reranking puts passages first " * 150] * 10)
        assert scores.truncated == 10
    [record] = [one for one in caplog.records if "were cut to 512 tokens" in one.message]
    assert "max_length='model'" in record.message
    caplog.clear()
    with CrossEncoderScorer(folder, device="cpu", dtype="float32", max_length="model") as scorer:
        scorer.score(QUERY, ["reranking puts passages first " * 150] * 60)
        assert scorer.max_length == 2048
    assert not caplog.records
