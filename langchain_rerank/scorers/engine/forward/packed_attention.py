"""Attention over concatenated sequences, without padding.

Registered with transformers under `NAME`. The layout travels as a keyword argument of the model's
forward; since no mask function is registered under the name, no mask is ever built.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from langchain_rerank.scorers.engine.forward.model_edits import reads_first_only

if TYPE_CHECKING:
    import torch

NAME = "langchain_rerank_packed"

Attend: TypeAlias = Callable[..., "torch.Tensor"]
"""Attention of one layer: queries, keys, values, a layout, factor, reach, whether causal."""

# What models tell their attention that changes nothing here: dropout is off, nothing is cached, and
# positions are in queries and keys already.
_NOT_NEEDED = frozenset({"dropout", "position_ids", "cache_position", "use_cache", "deterministic"})


class Layout(NamedTuple):
    """Where each of `B` sequences has its queries, and where its keys and values.

    Attributes:
        cu_seqlens: `(B + 1,)` where the queries of each sequence start; the last entry is where
            they all end. Rows after it belong to no sequence.
        key_cu_seqlens: The same for keys and values, once they are gathered.
        key_rows: `(K,)` which tokens are the keys and values of the first sequence, of the second
            and so on, with those that a sequence shares; None where every sequence has its own.
        device_cu_seqlens: `cu_seqlens` as an int32 tensor where the model computes.
        device_key_cu_seqlens: `key_cu_seqlens` as such a tensor.
        longest: The most queries of a sequence.
        longest_keys: The most keys.
        attend: Computes the attention of a layer.
    """

    cu_seqlens: Sequence[int]
    key_cu_seqlens: Sequence[int]
    key_rows: torch.Tensor | None
    device_cu_seqlens: torch.Tensor
    device_key_cu_seqlens: torch.Tensor
    longest: int
    longest_keys: int
    attend: Attend


def register() -> None:
    """Make the packed attention known to transformers; harmless when repeated."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, packed_attention)


def is_causal(model: torch.nn.Module) -> bool:
    """Return whether no token sees a later one, so that texts can share what is before them."""
    flags = [module.is_causal for module in model.modules() if hasattr(module, "is_causal")]
    return bool(flags) and all(flags)


def mixes_by_attention_alone(base: torch.nn.Module) -> bool:
    """Return whether tokens see each other in attention alone, all of them or within a window.

    A convolution or a recurrence would go on from one text into the next, and attention in chunks
    is told by masks, which there are none of here. In 16 bits the probe texts need not show it.
    """
    import torch

    config = getattr(base, "config", None)
    # Of a model that reads pictures as well, that of the part which reads texts.
    kinds = getattr(config and config.get_text_config(), "layer_types", None) or []
    convolves = (torch.nn.Conv1d, torch.nn.Conv2d)
    return {"full_attention", "sliding_attention"}.issuperset(kinds) and not any(
        isinstance(module, convolves) for module in base.modules()
    )


def kernel_for(device: torch.device, dtype: torch.dtype) -> Attend | None:
    """Return the attention of one layer on the device in that precision, or None for none.

    FlashAttention needs half precision, and with CUDA Ampere or newer (SM80). Elsewhere CUDA has
    memory-efficient attention. What else a build may lack shows when the probe texts are computed.
    """
    import torch

    if device.type == "cpu":
        return _one_by_one
    if device.type != "cuda":
        return None
    on_rocm = torch.version.hip is not None
    if dtype in {torch.float16, torch.bfloat16} and (
        on_rocm or torch.cuda.get_device_capability(device) >= (8, 0)
    ):
        return _flash if _operator(_FLASH) else None
    return _memory_efficient if _operator(_EFFICIENT) and not on_rocm else None


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _attention_mask: torch.Tensor | None,
    *,
    layout: Layout,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **told: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention output `(1, T, heads, width)`; each sequence sees only itself.

    The queries of a sequence are its last tokens: where it has fewer of them than keys, the keys
    before them are those it shares.

    Args:
        module: The attention layer; its `is_causal` decides.
        query: `(1, heads, T, width)`.
        key: The same, maybe with fewer heads.
        value: As `key`.
        layout: Which tokens are which sequence's.
        scaling: Factor on the products; None is one over the root of the width.
        sliding_window: How many positions before (and, unless causal, after) itself a token sees,
            itself included; None is all.
        told: What else the model tells its attention.

    Raises:
        NotImplementedError: Some of that may change the output: sinks, a soft cap. In 16 bits the
            probe texts need not show it. Or the layer has a window and is not told it: a mask
            would have it, and probe texts may be shorter.
    """
    if unknown := [name for name, value in told.items() if not _is_neutral(name, value)]:
        raise NotImplementedError(f"its attention takes {', '.join(unknown)}")
    if sliding_window is None and _has_window(module):
        raise NotImplementedError("its attention is not told of its window")
    causal = bool(getattr(module, "is_causal", False))
    reach = None if sliding_window is None else sliding_window - 1
    if layout.key_rows is not None:
        key, value = (states.index_select(2, layout.key_rows) for states in (key, value))
    if reads_first_only(module) and not query.is_cuda:
        return _of_first_tokens(query, key, value, layout, scaling), None
    return layout.attend(query, key, value, layout, scaling, reach, causal), None


def _has_window(module: torch.nn.Module) -> bool:
    """Return whether the config of an attention layer gives it a window."""
    config, layer = getattr(module, "config", None), getattr(module, "layer_idx", None)
    if not getattr(config, "sliding_window", None):
        return False
    kinds = getattr(config, "layer_types", None)
    return bool(kinds[layer] == "sliding_attention" if kinds and layer is not None else not kinds)


def _is_neutral(name: str, value: object) -> bool:
    return value is None or value is False or name in _NOT_NEEDED


# What is behind torch's own attention. Of the first, for CUDA and ROCm, the arguments up to the
# window are the same in every torch from 2.4 to 2.14, of the second all; those of the public
# `varlen_attn` changed with each. Causal masks are aligned with the end of the keys. The outputs
# after the first have other names and types in other versions.
_FLASH, _EFFICIENT = "_flash_attention_forward", "_efficient_attention_forward"


def _operator(name: str) -> Any:
    """Return one of them, or None in a torch without it."""
    import torch

    return getattr(torch.ops.aten, name, None)


def _flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scaling: float | None,
    reach: int | None,
    causal: bool,
) -> torch.Tensor:
    # Windows too are aligned with the end of the keys, and it shares fewer heads of keys itself.
    outputs = _operator(_FLASH)(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        layout.device_cu_seqlens,
        layout.device_key_cu_seqlens,
        layout.longest,
        layout.longest_keys,
        0.0,  # dropout
        causal,
        False,  # return_debug_mask
        scale=scaling,
        window_size_left=reach,
        window_size_right=0 if causal and reach is not None else reach,
    )
    attended: torch.Tensor = outputs[0]
    return attended.unsqueeze(0)


def _memory_efficient(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scaling: float | None,
    reach: int | None,
    causal: bool,
) -> torch.Tensor:
    if reach is not None:
        raise NotImplementedError("its windows need FlashAttention: 16 bits and a newer GPU")
    if (group := query.shape[1] // key.shape[1]) > 1:
        key, value = (states.repeat_interleave(group, dim=1) for states in (key, value))
    outputs = _operator(_EFFICIENT)(
        *(states.transpose(1, 2) for states in (query, key, value)),
        None,  # bias
        layout.device_cu_seqlens,
        layout.device_key_cu_seqlens,
        layout.longest,
        layout.longest_keys,
        0.0,  # dropout
        2 if causal else 0,  # causal, aligned with the end of the keys; or no mask
        scale=scaling,
    )
    attended: torch.Tensor = outputs[0]
    return attended


def _one_by_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scaling: float | None,
    reach: int | None,
    causal: bool,
) -> torch.Tensor:
    from torch.nn.functional import scaled_dot_product_attention

    _, heads, tokens, _ = query.shape
    output = query.new_empty(1, tokens, heads, value.shape[-1])
    output[:, layout.cu_seqlens[-1] :] = 0  # Rows of no sequence, which nothing reads.
    spans = map(itertools.pairwise, (layout.cu_seqlens, layout.key_cu_seqlens))
    for (start, end), (key_start, key_end) in zip(*spans, strict=True):
        mask = _mask(end - start, key_end - key_start, reach, causal)
        attended = scaled_dot_product_attention(
            query[:, :, start:end],
            key[:, :, key_start:key_end],
            value[:, :, key_start:key_end],
            attn_mask=mask,
            is_causal=causal and mask is None,
            scale=scaling,
            enable_gqa=heads != key.shape[1],
        )
        output[:, start:end] = attended.transpose(1, 2)
    return output


def _of_first_tokens(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scaling: float | None,
) -> torch.Tensor:
    """Return what the first token of each sequence gets; the other rows are not set."""
    from torch.nn.functional import scaled_dot_product_attention

    _, heads, tokens, _ = query.shape
    output = query.new_empty(1, tokens, heads, value.shape[-1])
    for start, end in itertools.pairwise(layout.cu_seqlens):
        attended = scaled_dot_product_attention(
            query[:, :, start : start + 1],
            key[:, :, start:end],
            value[:, :, start:end],
            scale=scaling,
        )
        output[:, start] = attended[:, :, 0]
    return output


def _mask(queries: int, keys: int, reach: int | None, causal: bool) -> torch.Tensor | None:
    """Return which keys each of the last tokens sees, or None where no window or prefix matters.

    torch's own causal mask is aligned with the beginning of the keys, hence this one.
    """
    import torch

    if queries == keys and (reach is None or keys <= reach + 1):
        return None
    distance = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)
    far = keys if reach is None else reach
    return (distance >= 0) & (distance <= far) if causal else distance.abs() <= far
