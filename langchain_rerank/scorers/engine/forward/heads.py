"""From hidden states to scores: each architecture's own pooling and head, applied separately.

The base model runs over packed or padded tokens; the score needs one vector of each sequence. The
tables are by class, so that a family that is not in them is scored by its own `predict` instead of
by a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
        head: From `(B, width)` to `(B,)`, in the precision of what it is given.
        head_modules: What the head computes with, to be kept in fp32.
        first_position: The id of a sequence's first position.
        positions_skip: The token id that takes no position (RoBERTa's padding token), if any.
        not_last: The token id that is not read at the end of a sequence, though a text spells it (a
            decoder's padding token): the last other one is. Nothing before it depends on it.
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
    not_last: int | None = None
    token_types: bool = False
    packable: bool = True
    last_layer: LastLayer | None = None


class Head:
    """From pooled states `(B, width)` to logits `(B,)`.

    In the model's own precision, so that it can be compared with `predict`; once that is done, and
    `refine` was called, in fp32, which keeps near scores apart.
    """

    def __init__(self, read: ReadOut) -> None:
        self._read = read
        parameters = [one for module in read.head_modules for one in module.parameters()]
        self._dtype = parameters[0].dtype if parameters else read.base.dtype
        self._copies: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __call__(self, pooled: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        for copy, original in self._copies:
            copy.copy_(original)  # Who passed the model in may have trained it on.
        return self._read.head(pooled.to(self._dtype))

    def refine(self, *, follow: bool) -> None:
        """Compute in fp32 from now on.

        Args:
            follow: Whether the weights may change.
        """
        import torch

        for module in self._read.head_modules:
            for parameter in module.parameters():
                original = parameter.data
                parameter.data = original.float()
                if follow and parameter.data is not original:
                    self._copies.append((parameter.data, original))
        self._dtype = torch.float32


def read_out(model: Any, following: Sequence[Any]) -> ReadOut | None:
    """Return how to read scores off `model`, or None for what is not known.

    Args:
        model: A transformers model. It is changed: BERT's pooler moves from the base model, where
            it would run over the packed row, to the head.
        following: The modules that sentence-transformers runs after it: none after a classifier,
            `LogitScore` after a causal model, else pooling and what makes a score of its result.
    """
    if not following:
        return _classifier(model)
    if hasattr(following[0], "true_token_id"):
        return _causal(model, following[0]) if len(following) == 1 else None
    return _chain(model, following)


def _classifier(model: Any) -> ReadOut | None:
    name = type(model).__name__
    if name in _CLASSIFIERS:
        return _CLASSIFIERS[name](model)
    generic = {base.__name__ for base in type(model).__mro__}
    if "GenericForSequenceClassification" in generic and hasattr(model, "model"):
        return _decoder_classifier(model)
    return None


_POOLING = {"cls": "first", "mean": "mean", "lasttoken": "last"}


def _chain(base: Any, following: Sequence[Any]) -> ReadOut | None:
    """Read a base model with pooling, dense layers and norms after it, as Ettin's rerankers are."""
    pooling, *layers = following
    names = {type(layer).__name__ for layer in layers}
    mode = getattr(pooling, "pooling_mode", None)
    if (
        type(pooling).__name__ != "Pooling"
        or not isinstance(mode, str)
        or mode not in _POOLING
        or not pooling.include_prompt
        or not names <= {"Dense", "LayerNorm", "Normalize"}
    ):
        return None
    build = _BASES.get(type(base).__name__, ReadOut if _decodes(base) else None)
    if build is None:
        return None

    def head(pooled: torch.Tensor) -> torch.Tensor:
        features = {"sentence_embedding": pooled}
        for layer in layers:
            features = layer(features)
        return features["scores"][:, 0]

    read = build(base=base, pooling=_POOLING[mode], head=head, head_modules=tuple(layers))
    return read if read.pooling == "first" else replace(read, last_layer=None)


def _decodes(base: Any) -> bool:
    """Return whether `base` is a decoder: no token sees a later one."""
    flags = [module.is_causal for module in base.modules() if hasattr(module, "is_causal")]
    return bool(flags) and all(flags)


def _bert_base(base: Any, **reading: Any) -> ReadOut:
    base.pooler = None
    return ReadOut(base=base, token_types=True, last_layer=_last_layer(base), **reading)


def _roberta_base(base: Any, **reading: Any) -> ReadOut:
    base.pooler = None
    padding = base.config.pad_token_id
    return ReadOut(
        base=base,
        first_position=padding + 1,
        positions_skip=padding,
        last_layer=_last_layer(base),
        **reading,
    )


_BASES: dict[str, Callable[..., ReadOut]] = {
    "BertModel": _bert_base,
    "RobertaModel": _roberta_base,
    "XLMRobertaModel": _roberta_base,
    "ModernBertModel": ReadOut,
}


def _bert(model: Any) -> ReadOut:
    pooler, classifier = model.bert.pooler, model.classifier
    return _bert_base(
        model.bert,
        pooling="first",
        head=lambda pooled: classifier(pooler(pooled[:, None]))[:, 0],
        head_modules=(pooler, classifier),
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
    return _roberta_base(
        model.roberta,
        pooling="first",
        head=lambda pooled: model.classifier(pooled[:, None])[:, 0],
        head_modules=(model.classifier,),
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


def _decoder_classifier(model: Any) -> ReadOut | None:
    if not _decodes(model.model):
        return None
    return ReadOut(
        base=model.model,
        pooling="last",
        head=lambda pooled: model.score(pooled)[:, 0],
        head_modules=(model.score,),
        not_last=model.config.get_text_config().pad_token_id,
    )


def _causal(model: Any, logit_score: Any) -> ReadOut | None:
    """Read the answer tokens' logits at the last token, without those of the whole vocabulary."""
    output = model.get_output_embeddings()
    if not hasattr(model, "model") or output is None or _caps_logits(model.config):
        return None
    if getattr(output, "bias", None) is not None:
        return None
    import torch

    answers = [logit_score.true_token_id]
    if logit_score.false_token_id is not None:
        answers.append(logit_score.false_token_id)

    def head(pooled: torch.Tensor) -> torch.Tensor:
        # Row by row: a list as the index would be copied to the device, and waited for.
        rows = torch.stack([output.weight[answer] for answer in answers])
        logits = pooled @ rows.to(pooled.dtype).T
        score: torch.Tensor = logits[:, 0]
        return score - logits[:, 1] if len(answers) == 2 else score

    return ReadOut(base=model.model, pooling="last", head=head, head_modules=())


def _caps_logits(config: Any) -> bool:
    """Return whether a model bends its logits, which small ones need not show in 16 bits."""
    settings = vars(config) | vars(config.get_text_config())
    return any(
        value is not None and re.search("soft_?cap", name) and "att" not in name
        for name, value in settings.items()
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
        hidden: `(T, width)` hidden states of concatenated sequences.
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
