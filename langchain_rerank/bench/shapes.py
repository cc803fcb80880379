"""Models of real shape with random weights: speed does not depend on the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from langchain_rerank.bench.workload import guides
from langchain_rerank.testing.tiny_models import build_tiny_model

_TOKENIZER_VOCABULARY = 8000  # what the guides can fill; the model keeps its real vocabulary size


class Shape(StrEnum):
    """The shapes that can be built."""

    minilm_l6 = "minilm-l6"
    bge_base = "bge-base"
    bge_large = "bge-large"
    modernbert_base = "modernbert-base"
    ettin_17m = "ettin-17m"
    qwen3_06b = "qwen3-0.6b"


LIKE = {
    Shape.minilm_l6: "cross-encoder/ms-marco-MiniLM-L6-v2, embedded",
    Shape.bge_base: "BAAI/bge-reranker-base",
    Shape.bge_large: "BAAI/bge-reranker-large, -v2-m3",
    Shape.modernbert_base: "Alibaba-NLP/gte-reranker-modernbert-base",
    Shape.ettin_17m: "cross-encoder/ettin-reranker-17m-v1",
    Shape.qwen3_06b: "Qwen/Qwen3-Reranker-0.6B",
}
"""Published models of each shape."""


@dataclass(frozen=True)
class _Build:
    family: str
    sizes: Mapping[str, Any]
    chain: bool = False  # whether pooling and a head of their own come after a base model


def _bert_sizes(hidden: int, layers: int, heads: int, vocabulary: int) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "vocab_size": vocabulary,
    }


_BUILDS = {
    Shape.minilm_l6: _Build("bert", _bert_sizes(384, 6, 12, 30522)),
    Shape.bge_base: _Build("xlm-roberta", _bert_sizes(768, 12, 12, 250002)),
    Shape.bge_large: _Build("xlm-roberta", _bert_sizes(1024, 24, 16, 250002)),
    Shape.modernbert_base: _Build(
        "modernbert",
        {
            "hidden_size": 768,
            "num_hidden_layers": 22,
            "num_attention_heads": 12,
            "intermediate_size": 1152,
            "vocab_size": 50368,
            "local_attention": 128,
            "global_attn_every_n_layers": 3,
        },
    ),
    Shape.ettin_17m: _Build(
        "modernbert",
        {
            "hidden_size": 256,
            "num_hidden_layers": 7,
            "num_attention_heads": 4,
            "intermediate_size": 384,
            "vocab_size": 50368,
            "local_attention": 128,
            "global_attn_every_n_layers": 3,
        },
        chain=True,
    ),
    Shape.qwen3_06b: _Build(
        "qwen3",
        {
            "hidden_size": 1024,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 3072,
            "vocab_size": 151669,
            "tie_word_embeddings": True,
        },
    ),
}


def build_shape(shape: Shape, folder: Path) -> Path:
    """Write a model of `shape` with random weights to `folder` and return the folder.

    Its tokenizer is of the family's kind, trained on the guides that ship with the package. Scores
    are logits, so that none of them saturates. Random weights barely tell one passage from another,
    so rounding to 16 bits swaps more ranks than it does with a trained model.
    """
    import transformers

    build = _BUILDS[shape]
    path = build_tiny_model(
        build.family, folder, activation="Identity", initializer_range=0.05, **build.sizes
    )
    auto: Any = transformers.AutoTokenizer
    tokenizer = auto.from_pretrained(path)
    trained = tokenizer.train_new_from_iterator(
        guides().splitlines(), _TOKENIZER_VOCABULARY, show_progress=False
    )
    trained.save_pretrained(path)
    config = transformers.AutoConfig.from_pretrained(path)
    for role in ("pad", "bos", "eos", "cls", "sep"):
        setattr(config, f"{role}_token_id", getattr(trained, f"{role}_token_id"))
    config.save_pretrained(path)
    if build.chain:
        _make_chain(path)
    return path


def _make_chain(folder: Path) -> None:
    """Give the base model in `folder` pooling, dense layers and a norm in place of its head."""
    import torch
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

    transformer = Transformer(str(folder), transformer_task="feature-extraction")
    width = transformer.get_embedding_dimension()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        modules: list[torch.nn.Module] = [
            transformer,
            Pooling(width, "cls"),
            Dense(width, width, bias=False, activation_function=torch.nn.GELU()),
            LayerNorm(width),
            Dense(width, 1, activation_function=torch.nn.Identity(), module_output_name="scores"),
        ]
    model = CrossEncoder(modules=modules, device="cpu", activation_fn=torch.nn.Identity())
    model.save_pretrained(str(folder), create_model_card=False)
