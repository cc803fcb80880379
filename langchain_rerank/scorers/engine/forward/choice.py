"""Which forward pass a model takes: the fastest that gives the logits of its own `predict`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_rerank.errors import ScorerError, see
from langchain_rerank.scorers.engine.forward import packed_attention
from langchain_rerank.scorers.engine.forward.comparison import (
    Expected,
    long_objection,
    long_pairs,
    refuse_company,
    refuse_mixing_activation,
    rounding_objection,
    short_pairs,
)
from langchain_rerank.scorers.engine.forward.following import Following, state_of
from langchain_rerank.scorers.engine.forward.heads import ReadOut, read_out
from langchain_rerank.scorers.engine.forward.int8 import calibration_pairs
from langchain_rerank.scorers.engine.forward.model_edits import (
    fuse_norms,
    prepack,
    remember_signatures,
    view_of,
)
from langchain_rerank.scorers.engine.forward.openvino import OpenVinoForward
from langchain_rerank.scorers.engine.forward.passes import Forward, PackedForward, PaddedForward
from langchain_rerank.scorers.engine.forward.predict import (
    Predict,
    PredictForward,
    foreign_code,
    precision_of,
)
from langchain_rerank.scorers.engine.forward.verdicts import Verdicts
from langchain_rerank.scorers.engine.loading import placement
from langchain_rerank.scorers.engine.memory import free_bytes
from langchain_rerank.scorers.engine.model_files import verdict_key
from langchain_rerank.scorers.engine.settings import (
    DEFAULT_MAX_LENGTH,
    INT8,
    LoadSettings,
    token_limit,
)
from langchain_rerank.scorers.engine.tokens.pairs import Pair, Tokenize

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
    max_length: int,
) -> Forward:
    """Return the fastest forward pass whose logits agree with those of the model's own `predict`.

    Every candidate computes the probe pairs; one that differs is left out with a warning, since
    packed attention relies on parts of transformers that are no stable interface.

    Raises:
        ModelLoadError: Not even its own `predict` gives a pair one score.
    """
    if isinstance(settings.model, str):
        loaded = _Loaded(model, device, dtype, own=True)
        return _choose(loaded, tokenize, settings, max_length)

    def choose() -> Forward:
        device, dtype = placement(settings, model)
        same = device == model.device and dtype == precision_of(model)
        computed = model if same else _copy_of(model, device, dtype)
        loaded = _Loaded(computed, device, dtype, own=not same)
        return _choose(loaded, tokenize, settings, max_length)

    def state() -> Hashable:
        # What was copied or converted is made anew after every change of the weights.
        copied = placement(settings, model) != (model.device, precision_of(model))
        return state_of(model, contents=copied or settings.backend == "openvino")

    return Following(model, choose, state)


def _choose(
    loaded: _Loaded, tokenize: Tokenize, settings: LoadSettings, max_length: int
) -> Forward:
    import numpy as np

    model, dtype = loaded.model, loaded.dtype
    predict = Predict(model, own=loaded.own)
    foreign = foreign_code(model)
    last = PredictForward(predict, model, stock=foreign is None)
    if foreign is not None:
        logger.warning(
            "%s computes with code of its own (%s), so every score comes from its own predict, "
            "which is slower.",
            settings.name,
            foreign,
        )
        refuse_company(predict, dtype, settings.name, max_length)
        return last
    more_exact = partial(_more_exact_predict, loaded)
    short = Expected(model, dtype, predict, short_pairs, tokenize, max_length, more_exact)
    finite = bool(np.isfinite(short.logits).all())
    chosen: Forward | None = None
    if finite:
        refuse_mixing_activation(model.activation_fn, short.logits, loaded.device, settings.name)
        pairs = partial(long_pairs, model, tokenize, max_length)
        long = Expected(model, dtype, predict, pairs, tokenize, max_length, more_exact, [short])
        verdicts = Verdicts(verdict_key(settings, loaded.device, dtype, max_length))
        builds: dict[str, _Build] = {}
        if settings.dtype == INT8:
            calibration = calibration_pairs(settings.calibration_texts, tokenize)
            builds[INT8] = partial(_openvino, calibration=calibration)
        if settings.backend == "openvino":
            builds["openvino"] = _openvino
        builds |= {
            "packed sharing prefixes": _packed_sharing_prefixes,
            "packed": _packed,
            "padded": _padded,
        }
        chosen, reasons = _fastest(loaded, builds, short, long, verdicts)
    else:  # Nothing can be compared with them.
        reason = (
            f"anything faster, since its own predict gives no finite number on test texts in "
            f"{dtype}; where that is float16, try dtype='float32' or 'bfloat16'"
        )
        reasons = [reason]
    if chosen is None and finite:
        refuse_company(predict, dtype, settings.name, max_length, more_exact)
        _, *following = model
        parts = [model.transformers_model, *following]
        shape = ", ".join(type(part).__name__ for part in parts)
        reasons = reasons or [f"anything faster, since {shape} is not known to this package"]
    forward = chosen or last
    if reasons:
        logger.warning(
            "%s is scored more slowly than it could be, by %s (path %r); the scores are right. "
            "Left out: %s. %s",
            settings.name,
            _IN_WORDS[forward.name],
            forward.name,
            "; ".join(reasons),
            see("slower-scoring"),
        )
    forward.activation = model.activation_fn
    return forward


_IN_WORDS = {
    "packed sharing prefixes": "batches without padding that compute a prompt once",
    "packed": "batches without padding",
    "padded": "padded batches",
    "openvino": "OpenVINO",
    INT8: "int8",
    "predict": "its own predict",
}
_Build: TypeAlias = Callable[..., PackedForward | PaddedForward | OpenVinoForward | None]


def _fastest(
    loaded: _Loaded,
    builds: Mapping[str, _Build],
    short: Expected,
    long: Expected,
    verdicts: Verdicts,
) -> tuple[Forward | None, list[str]]:
    """Return the first forward pass that agrees with `predict`, and what kept others from it."""
    import torch

    logits = torch.nn.Identity()  # A sigmoid would hide differences far from zero.
    reasons: list[str] = []
    for path, build in builds.items():
        if path == INT8 and verdicts.get(path) is False:  # Rounding it again may take a minute.
            reasons.append("int8, since its scores were too far off on test texts before")
            continue
        try:
            forward = build(loaded, logits)
            if forward is None:
                continue
            if path == INT8:
                reason = rounding_objection(short, long, forward, verdicts, path)
                if reason and isinstance(forward, OpenVinoForward):
                    forward.forget()  # No later load reads it.
            else:
                reason = short.objection(forward) or long_objection(long, forward, verdicts, path)
        except Exception as error:  # noqa: BLE001  # any failure means: take the next path
            reason = f"{type(error).__name__}: {error}"
        else:
            if reason is None:
                forward.head.refine(follow=not loaded.own)
                return forward, reasons
        reasons.append(f"{_IN_WORDS[path]}, since {reason}")
    return None, reasons


def _copy_of(model: CrossEncoder, device: torch.device, dtype: torch.dtype) -> CrossEncoder:
    """Return a copy of a model that was passed in, where and as it was asked for."""
    kept = [model.tokenizer, model[0].processor, model.model_card_data]
    copied: CrossEncoder = view_of(model, device, dtype, kept)
    return copied


def _more_exact_predict(loaded: _Loaded) -> Predict | None:
    """Return `predict` of a copy with twice the bits, or None where there is no room for it."""
    import torch

    halved = torch.finfo(precision_of(loaded.model)).bits < 32
    wider = torch.float32 if halved else torch.float64
    weights = sum(one.numel() for one in loaded.model.parameters())
    on_cuda = loaded.device.type == "cuda"
    room = free_bytes(loaded.device) if on_cuda else _MOST_COPIED
    if 1.5 * wider.itemsize * weights > room:  # With what is computed.
        return None
    return Predict(_copy_of(loaded.model, loaded.device, wider), own=True)


_MOST_COPIED = 6 * 10**9  # bytes, where the memory is everybody's


def _openvino(
    loaded: _Loaded, activation: Any, *, calibration: Sequence[Pair] = ()
) -> OpenVinoForward:
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
    return OpenVinoForward(
        read,
        activation,
        loaded.dtype,
        padding=padding,
        longest=longest,
        calibration=calibration,
    )


def _packed_sharing_prefixes(loaded: _Loaded, activation: Any) -> PackedForward | None:
    if not packed_attention.is_causal(loaded.model):
        return None
    return _packed(loaded, activation, share_prefixes=True)


def _packed(
    loaded: _Loaded, activation: Any, *, share_prefixes: bool = False
) -> PackedForward | None:
    attend = packed_attention.kernel_for(loaded.device, loaded.dtype)
    if attend is None:
        return None
    view, read = _view_and_read_out(loaded)
    if (
        read is None
        or not read.packable
        or not packed_attention.mixes_by_attention_alone(read.base)
    ):
        return None
    if share_prefixes and read.pooling != "last":
        return None  # What is left out would be missing from it.
    _quicken(loaded, read)
    return PackedForward(
        view, read, activation, loaded.device, attend, share_prefixes=share_prefixes
    )


def _padded(loaded: _Loaded, activation: Any) -> PaddedForward | None:
    _, read = _view_and_read_out(loaded)
    if read is None:
        return None
    _quicken(loaded, read)
    padding = loaded.model.tokenizer.pad_token_id or 0
    longest = token_limit(loaded.model)
    return PaddedForward(read, activation, loaded.device, padding=padding, longest=longest)


def _quicken(loaded: _Loaded, read: ReadOut) -> None:
    import torch

    # On a CPU in 16 bits that is no faster, and rounds once where transformers does so twice.
    if loaded.device.type != "cpu" or torch.finfo(loaded.dtype).bits >= 32:
        fuse_norms(read.base)
    remember_signatures(read.base)
    # Who passed a model in may train it on: a view follows its weights, prepacked ones would not.
    if loaded.own and loaded.device.type == "cpu":
        prepack(read.base)


def _view_and_read_out(
    loaded: _Loaded, dtype: torch.dtype | None = None
) -> tuple[Any, ReadOut | None]:
    import torch

    _, *following = loaded.model
    if loaded.model.transformers_model is None:
        return None, None
    parts = torch.nn.ModuleList([loaded.model.transformers_model, *following])
    view, *rest = view_of(parts, loaded.device, dtype)
    return view, read_out(view, rest)
