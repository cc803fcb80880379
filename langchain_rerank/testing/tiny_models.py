"""Cross-encoders of every architecture with random weights, built offline in well under a second.

For tests: the scores mean nothing, but the folder is a normal Hugging Face model folder with a real
tokenizer, so everything that loads a reranker loads it. With the sizes of a real model they serve
benchmarks too, since speed does not depend on the weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_rerank.errors import ConfigurationError

# Where the tokenizers take their words from.
_CORPUS = """
The quick brown fox jumps over the lazy dog while a cross-encoder reads a query and a document.
Retrieval finds candidates; reranking puts the relevant passages first, and evaluation measures it.
Berlin had a population of 3,520,031 registered inhabitants in an area of 891.82 square kilometers.
Paris is the capital of France. The river Seine divides the city; its museums are well known.
How many people live in Berlin? Which vitamin prevents scurvy? Who wrote the first compiler?
A transformer attends to every token of its input, so longer texts cost more time and memory.
Oranges, lemons and other citrus fruits contain vitamin C, which protects sailors against scurvy.
Grace Hopper wrote one of the first compilers in 1952, and popularised machine-independent code.
"""

_CHARACTERS = [chr(code) for code in range(33, 127)]

# The form of Qwen3-Reranker's prompt: instruction, query, document, then an empty thought.
_CHAT_TEMPLATE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: {{ messages | selectattr('role', 'eq', 'system') | "
    "map(attribute='content') | first | default('Given a web search query, retrieve relevant "
    "passages that answer the query') }}\n<Query>: {{ messages | selectattr('role', 'eq', 'query') "
    "| map(attribute='content') | first }}\n<Document>: {{ messages | selectattr('role', 'eq', "
    "'document') | map(attribute='content') | first }}<|im_end|>\n"
    # Jinja drops one final newline.
    "<|im_start|>assistant\n<think>\n\n</think>\n\n\n"
)


@dataclass(frozen=True)
class _Family:
    """What distinguishes one architecture: its config class, its tokenizer, its pair template."""

    config: str
    tokenizer: Callable[[Sequence[str]], Any]
    special: Mapping[str, str]
    pair: str = "[CLS] $A [SEP] $B:1 [SEP]:1"
    settings: Mapping[str, Any] | None = None
    causal: bool = False


_BERT = {"cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "unk": "[UNK]", "mask": "[MASK]"}
# In this order, because RoBERTa counts positions from the id of its padding token, which is 1.
_ROBERTA = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
_QWEN = {"eos": "<|im_end|>", "pad": "<|endoftext|>"}
_ROBERTA_PAIR = "<s> $A </s> </s> $B </s>"


def _wordpiece(special: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    pieces = [*special, *_CHARACTERS, *(f"##{character}" for character in _CHARACTERS)]
    pieces += [word for word in _words(_CORPUS.lower()) if len(word) > 1]
    pieces += [f"##{word}" for word in _words(_CORPUS.lower()) if 1 < len(word) < 4]
    vocabulary = {piece: position for position, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106  # no password
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _unigram(special: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    # Whole words are likelier than the characters they consist of, so that they win.
    pieces = dict.fromkeys(special, 0.0) | dict.fromkeys(["▁", *_CHARACTERS], -8.0)
    pieces |= {f"▁{word}": -10.0 for word in _words(_CORPUS) if len(word) > 1}
    unknown = next(position for position, token in enumerate(special) if "unk" in token.lower())
    tokenizer = Tokenizer(models.Unigram(list(pieces.items()), unk_id=unknown))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def _byte_level(special: Sequence[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS.splitlines(), trainer)
    return tokenizer


def _words(text: str) -> list[str]:
    return sorted(set(re.findall(r"\w+", text)))


_FAMILIES: Mapping[str, _Family] = {
    "bert": _Family("BertConfig", _wordpiece, _BERT),
    "electra": _Family("ElectraConfig", _wordpiece, _BERT, settings={"embedding_size": 32}),
    "distilbert": _Family("DistilBertConfig", _wordpiece, _BERT, pair="[CLS] $A [SEP] $B [SEP]"),
    "roberta": _Family(
        "RobertaConfig", _byte_level, _ROBERTA, _ROBERTA_PAIR, {"type_vocab_size": 1}
    ),
    "xlm-roberta": _Family(
        "XLMRobertaConfig", _unigram, _ROBERTA, _ROBERTA_PAIR, {"type_vocab_size": 1}
    ),
    "mpnet": _Family("MPNetConfig", _wordpiece, _ROBERTA | {"unk": "[UNK]"}, _ROBERTA_PAIR),
    "deberta-v2": _Family(
        "DebertaV2Config",
        _unigram,
        _BERT,
        settings={
            "relative_attention": True,
            "position_buckets": 16,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        },
    ),
    "modernbert": _Family(
        "ModernBertConfig",
        _byte_level,
        _BERT,
        "[CLS] $A [SEP] $B [SEP]",
        {"local_attention": 16, "global_attn_every_n_layers": 2, "classifier_pooling": "mean"},
    ),
    "qwen3": _Family("Qwen3Config", _byte_level, _QWEN, causal=True, settings={"head_dim": 16}),
    "qwen2": _Family("Qwen2Config", _byte_level, _QWEN, causal=True),
    "llama": _Family("LlamaConfig", _byte_level, _QWEN, causal=True),
}

FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
"""The architectures that `build_tiny_model` knows."""


def build_tiny_model(
    family: str,
    folder: str | Path,
    *,
    seed: int = 0,
    activation: str | None = None,
    max_length: int = 512,
    **config: Any,
) -> Path:
    """Write a cross-encoder with random weights to `folder` and return the folder.

    The same arguments give the same weights.

    Args:
        family: One of `FAMILIES`.
        folder: Where to write; created if missing.
        seed: Seed of the weights.
        activation: Class name in `torch.nn` of the activation on top of the logit, such as
            "Identity"; None is sentence-transformers' default, the sigmoid.
        max_length: Tokens that the model reads at most.
        config: Settings of the model's config, such as `hidden_size=384, num_hidden_layers=6`.

    Raises:
        ConfigurationError: An unknown family.
    """
    import torch
    import transformers

    chosen = _FAMILIES.get(family)
    if chosen is None:
        raise ConfigurationError(f"No tiny model {family!r}; there are {', '.join(FAMILIES)}.")
    folder = Path(folder)
    tokenizer = _tokenizer(chosen, max_length)
    settings = _sizes(family, len(tokenizer), max_length) | dict(chosen.settings or {})
    if not chosen.causal:
        settings["num_labels"] = 1
    if activation is not None:
        path = f"torch.nn.modules.{_activation_module(activation)}.{activation}"
        settings["sentence_transformers"] = {"activation_fn": path}
    roles = ("pad", "bos", "eos", "cls", "sep")
    token_ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in roles}
    full_config = getattr(transformers, chosen.config)(**(settings | token_ids | config))
    auto: Any = (
        transformers.AutoModelForCausalLM
        if chosen.causal
        else transformers.AutoModelForSequenceClassification
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto.from_config(full_config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _activation_module(activation: str) -> str:
    import torch

    found = getattr(torch.nn, activation, None)
    if found is None:
        raise ConfigurationError(f"torch.nn has no activation {activation!r}, such as 'Identity'.")
    return str(found.__module__).rpartition(".")[2]


def _sizes(family: str, vocabulary: int, max_length: int) -> dict[str, Any]:
    """Return the config of a model of two layers with 32 dimensions."""
    positions = max_length + (2 if family in {"roberta", "xlm-roberta", "mpnet"} else 0)
    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "max_position_embeddings": positions,
        # Far wider than usual, so that the scores of random weights differ visibly.
        "initializer_range": 0.2,
    }
    if family == "distilbert":
        return sizes | {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    sizes |= {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes["intermediate_size"] = 64
    if _FAMILIES[family].causal:
        sizes["num_key_value_heads"] = 2
    return sizes


def _tokenizer(family: _Family, max_length: int) -> Any:
    import transformers
    from tokenizers import processors

    special = list(dict.fromkeys(family.special.values()))
    tokenizer = family.tokenizer(special + (["<|im_start|>"] if family.causal else []))
    if family.causal:
        tokenizer.add_tokens(["yes", "no", "<think>", "</think>"])
    if not family.causal:
        template = family.pair.split(" ")
        single = " ".join(template[: template.index("$A") + 2])
        tokenizer.post_processor = processors.TemplateProcessing(
            single=single,
            pair=family.pair,
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in special],
        )
    types = ["token_type_ids"] if ":1" in family.pair and not family.causal else []
    build: Any = transformers.PreTrainedTokenizerFast
    wrapped = build(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=["input_ids", *types, "attention_mask"],
        **{f"{role}_token": token for role, token in family.special.items()},
    )
    if family.causal:
        wrapped.chat_template = _CHAT_TEMPLATE
    return wrapped
