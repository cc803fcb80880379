"""From hidden states to scores: each architecture's own pooling and head, applied separately.

The base model runs over packed or padded tokens; the score needs one vector of each sequence. The
table is by model class, so that a family that is not in it takes the general path instead of a
guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_rerank.scorers.engine.forward.model_edits import LastLayer

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ReadOut:
    """How to read scores off a model.

    Attributes:
        base: The model without its head.
        pooling: "first" or "last" token, or the "mean" of all.
        head: From `(B, width)` to `(B,)`.
        head_modules: What the head computes with, to be kept in fp32.
        first_position: The id of a sequence's first position.
        positions_skip: The token id that takes no position (RoBERTa's padding token), if any.
        token_types: Whether the model tells query and text apart by token types.
        packable: Whether every layer's attention goes through the attention interface.
        last_layer: Where tokens other than the first can be left behind; None where they cannot.
    """

    base: Any
    pooling: str
    head: Callable[[torch.Tensor], torch.Tensor]
    head_modules: tuple[Any, ...]
    first_position: int = 0
    positions_skip: int | None = None
    token_types: bool = False
    packable: bool = True
    last_layer: LastLayer | None = None


def read_out(model: Any, logit_score: Any | None) -> ReadOut | None:
    """Return how to read scores off `model`, or None for a class that is not known.

    Args:
        model: A transformers model with a head. It is changed: BERT's pooler moves from the base
            model, where it would run over the packed row, to the head.
        logit_score: sentence-transformers' module that names the answer tokens of a causal model.
    """
    if logit_score is not None:
        return _causal(model, logit_score)
    name = type(model).__name__
    if name in _CLASSIFIERS:
        return _CLASSIFIERS[name](model)
    generic = {base.__name__ for base in type(model).__mro__}
    if "GenericForSequenceClassification" in generic and hasattr(model, "model"):
        return _decoder_classifier(model)
    return None


def _bert(model: Any) -> ReadOut:
    pooler, classifier = model.bert.pooler, model.classifier
    model.bert.pooler = None
    return ReadOut(
        base=model.bert,
        pooling="first",
        head=lambda pooled: classifier(pooler(pooled[:, None]))[:, 0],
        head_modules=(pooler, classifier),
        token_types=True,
        last_layer=_last_layer(model.bert),
    )


def _last_layer(base: Any) -> LastLayer:
    attention = base.encoder.layer[-1].attention
    return LastLayer(attention.self, attention.output)


def _electra(model: Any) -> ReadOut:
    return ReadOut(
        base=model.electra,
        pooling="first",
        head=lambda pooled: model.classifier(pooled[:, None])[:, 0],
        head_modules=(model.classifier,),
        token_types=True,
        last_layer=_last_layer(model.electra),
    )


def _roberta(model: Any) -> ReadOut:
    padding = model.config.pad_token_id
    return ReadOut(
        base=model.roberta,
        pooling="first",
        head=lambda pooled: model.classifier(pooled[:, None])[:, 0],
        head_modules=(model.classifier,),
        first_position=padding + 1,
        positions_skip=padding,
        last_layer=_last_layer(model.roberta),
    )


def _distilbert(model: Any) -> ReadOut:
    last = model.distilbert.transformer.layer[-1]
    return ReadOut(
        base=model.distilbert,
        pooling="first",
        head=lambda pooled: model.classifier(model.pre_classifier(pooled).relu())[:, 0],
        head_modules=(model.pre_classifier, model.classifier),
        last_layer=LastLayer(last.attention, last.sa_layer_norm),
    )


def _modernbert(model: Any) -> ReadOut:
    return ReadOut(
        base=model.model,
        pooling="mean" if model.config.classifier_pooling == "mean" else "first",
        head=lambda pooled: model.classifier(model.head(pooled))[:, 0],
        head_modules=(model.head, model.classifier),
    )


def _decoder_classifier(model: Any) -> ReadOut:
    return ReadOut(
        base=model.model,
        pooling="last",
        head=lambda pooled: model.score(pooled)[:, 0],
        head_modules=(model.score,),
    )


def _causal(model: Any, logit_score: Any) -> ReadOut | None:
    """Read "yes" against "no" at the last token, without the product with the whole vocabulary."""
    output = model.get_output_embeddings()
    soft_cap = getattr(model.config, "final_logit_softcapping", None)
    if not hasattr(model, "model") or output is None or soft_cap is not None:
        return None
    weight = output.weight.detach()
    direction = weight[logit_score.true_token_id].float()
    if logit_score.false_token_id is not None:
        direction = direction - weight[logit_score.false_token_id].float()
    if getattr(output, "bias", None) is not None:
        return None
    return ReadOut(
        base=model.model, pooling="last", head=lambda pooled: pooled @ direction, head_modules=()
    )


def _deberta(model: Any) -> ReadOut:
    # Its attention adds relative positions to the products and has no interface to replace.
    return ReadOut(
        base=model.deberta,
        pooling="first",
        head=lambda pooled: model.classifier(model.pooler(pooled[:, None]))[:, 0],
        head_modules=(model.pooler, model.classifier),
        token_types=True,
        packable=False,
        last_layer=_last_layer(model.deberta),
    )


def _mpnet(model: Any) -> ReadOut:
    # As for DeBERTa; its head is RoBERTa's.
    attention = model.mpnet.encoder.layer[-1].attention
    return ReadOut(
        base=model.mpnet,
        pooling="first",
        head=lambda pooled: model.classifier(pooled[:, None])[:, 0],
        head_modules=(model.classifier,),
        packable=False,
        last_layer=LastLayer(attention.attn, attention.LayerNorm),
    )


_CLASSIFIERS: dict[str, Callable[[Any], ReadOut]] = {
    "BertForSequenceClassification": _bert,
    "ElectraForSequenceClassification": _electra,
    "RobertaForSequenceClassification": _roberta,
    "XLMRobertaForSequenceClassification": _roberta,
    "DistilBertForSequenceClassification": _distilbert,
    "DebertaV2ForSequenceClassification": _deberta,
    "MPNetForSequenceClassification": _mpnet,
    "ModernBertForSequenceClassification": _modernbert,
}


def pool_packed(hidden: torch.Tensor, starts: torch.Tensor, pooling: str) -> torch.Tensor:
    """Return one fp32 vector per sequence, `(B, width)`.

    Args:
        hidden: `(T, width)` hidden states, sequences one behind the other.
        starts: `(B + 1,)` where each sequence starts; the last entry is T.
        pooling: "first", "last" or "mean".
    """
    import torch

    if pooling == "first":
        return hidden[starts[:-1]].float()
    if pooling == "last":
        return hidden[starts[1:] - 1].float()
    # "unsafe" leaves out a check of the offsets that would wait for the device.
    return torch.segment_reduce(hidden.float(), "mean", offsets=starts, axis=0, unsafe=True)


def pool_padded(hidden: torch.Tensor, lengths: torch.Tensor, pooling: str) -> torch.Tensor:
    """Return one fp32 vector per sequence, `(B, width)`.

    Args:
        hidden: `(B, L, width)` hidden states, padded at the right.
        lengths: `(B,)` tokens of each sequence.
        pooling: "first", "last" or "mean".
    """
    import torch

    if pooling == "first":
        return hidden[:, 0].float()
    rows = torch.arange(len(hidden), device=hidden.device)
    if pooling == "last":
        return hidden[rows, lengths - 1].float()
    columns = torch.arange(hidden.shape[1], device=hidden.device)
    real = columns[None, :] < lengths[:, None]
    return (hidden.float() * real[..., None]).sum(1) / lengths[:, None]
