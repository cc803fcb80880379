"""Which forward pass a model takes: the fastest that gives sentence-transformers' scores."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_rerank.errors import ScorerError
from langchain_rerank.scorers.engine.forward import packed_attention
from langchain_rerank.scorers.engine.forward.heads import ReadOut, read_out
from langchain_rerank.scorers.engine.forward.model_edits import prepack, view_of
from langchain_rerank.scorers.engine.forward.openvino import OpenVinoForward
from langchain_rerank.scorers.engine.forward.passes import (
    Forward,
    ModulesForward,
    PackedForward,
    PaddedForward,
)
from langchain_rerank.scorers.engine.settings import DEFAULT_MAX_LENGTH, LoadSettings, token_limit
from langchain_rerank.scorers.engine.tokens.pairs import Tokenize
from langchain_rerank.scorers.engine.tokens.probes import PROBES

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Loaded:
    """A model to be computed, where, and in which precision.

    Attributes:
        own: Whether nobody else holds the model.
    """

    model: CrossEncoder
    device: torch.device
    dtype: torch.dtype
    own: bool


def choose_forward(
    model: CrossEncoder,
    tokenize: Tokenize,
    device: torch.device,
    dtype: torch.dtype,
    settings: LoadSettings,
) -> Forward:
    """Return the fastest forward pass whose logits agree with sentence-transformers' own.

    Every candidate computes a few probe pairs in one batch; one that differs is left out with a
    warning, since packed attention relies on parts of transformers that are no stable interface.
    """
    import numpy as np
    import torch

    logits = torch.nn.Identity()  # A sigmoid would hide differences far from zero.
    reference: Forward = ModulesForward(model, logits)
    pairs = [pair for query, texts in PROBES for pair in tokenize(query, texts, None)]
    expected = reference.launch(pairs)()
    # bfloat16 differs in the third digit between any two kernels; a wrong mask in the first.
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    tolerance *= max(1.0, *(abs(logit) for logit in expected))
    chosen, reasons = reference, []
    loaded = _Loaded(model, device, dtype, own=isinstance(settings.model, str))
    builds = [_packed_sharing_prefixes, _packed, _padded]
    if settings.backend == "openvino":
        builds.insert(0, _openvino)
    if not all(math.isfinite(logit) for logit in expected):
        builds = []  # Nothing can be compared with them.
        reasons.append(
            f"sentence-transformers' own logits are not finite on probe texts in {dtype}; where "
            f"that is float16, try dtype='float32' or 'bfloat16'"
        )
    for build in builds:
        path = build.__name__.replace("_", " ").strip()
        try:
            forward = build(loaded, logits)
            if forward is None:
                continue
            found = forward.launch(pairs)()
        except Exception as error:  # noqa: BLE001  # any failure means: take the next path
            reasons.append(f"{path}: {type(error).__name__}: {error}")
            continue
        # NumPy's maximum is NaN where any number is, and NaN is within no tolerance.
        difference = np.max([abs(a - b) for a, b in zip(found, expected, strict=True)])
        if difference <= tolerance:
            chosen = forward
            break
        reasons.append(f"{path}: logits differ by {difference:.2g} on probe texts")
    if reasons:
        logger.warning(
            "%s takes a slower forward pass (%s): %s",
            settings.name,
            chosen.name,
            "; ".join(reasons),
        )
    chosen.activation = model.activation_fn
    return chosen


def _openvino(loaded: _Loaded, activation: Any) -> Forward | None:
    import torch

    model = loaded.model
    view, read = _view_and_read_out(loaded, torch.float32)
    if read is None:
        raise ScorerError(f"{type(model.transformers_model).__name__} is not a known architecture")
    if read.packable:
        # The other kinds of attention give NaN where a window holds nothing but padding.
        view.set_attn_implementation("eager")
    padding = model.tokenizer.pad_token_id or 0
    longest = min(DEFAULT_MAX_LENGTH, token_limit(model))
    return OpenVinoForward(read, activation, loaded.dtype, padding=padding, longest=longest)


def _packed_sharing_prefixes(loaded: _Loaded, activation: Any) -> Forward | None:
    if not packed_attention.is_causal(loaded.model):
        return None
    return _packed(loaded, activation, share_prefixes=True)


def _packed(loaded: _Loaded, activation: Any, *, share_prefixes: bool = False) -> Forward | None:
    if not packed_attention.has_kernel(loaded.device, loaded.dtype):
        return None
    view, read = _view_and_read_out(loaded, loaded.dtype)
    if read is None or not read.packable:
        return None
    _prepack(loaded, read)
    return PackedForward(view, read, activation, loaded.device, share_prefixes=share_prefixes)


def _padded(loaded: _Loaded, activation: Any) -> Forward | None:
    _, read = _view_and_read_out(loaded, loaded.dtype)
    if read is None:
        return None
    _prepack(loaded, read)
    padding = loaded.model.tokenizer.pad_token_id or 0
    return PaddedForward(read, activation, loaded.device, padding=padding)


def _prepack(loaded: _Loaded, read: ReadOut) -> None:
    # Who passed a model in may train it on: a view follows its weights, arranged copies would not.
    if loaded.own and loaded.device.type == "cpu":
        prepack(read.base)


def _view_and_read_out(loaded: _Loaded, dtype: torch.dtype) -> tuple[Any, ReadOut | None]:
    modules = list(loaded.model)
    score = modules[1] if len(modules) == 2 and hasattr(modules[1], "true_token_id") else None
    if (len(modules) > 1 and score is None) or loaded.model.transformers_model is None:
        return None, None
    view = view_of(loaded.model.transformers_model, loaded.device, dtype)
    read = read_out(view, score)
    if read is not None:
        for module in read.head_modules:
            for parameter in module.parameters():
                parameter.data = parameter.data.float()
    return view, read
