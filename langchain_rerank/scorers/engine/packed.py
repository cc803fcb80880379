"""Attention over sequences that lie one behind the other, without padding.

Registered with transformers under `NAME`. The boundaries travel as keyword arguments of the
model's forward; since no mask function is registered under the name, no mask is ever built.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

NAME = "langchain_rerank_packed"


def register() -> None:
    """Make the packed attention known to transformers; harmless when repeated."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, packed_attention)


def has_kernel(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether packed attention runs on the device in that precision.

    CUDA needs half precision, Ampere or newer (SM80) and a torch with `varlen_attn` (2.10).
    """
    import torch

    if device.type == "cpu":
        return True
    if device.type != "cuda" or dtype == torch.float32:
        return False
    if torch.cuda.get_device_capability(device) < (8, 0):
        return False
    try:
        from torch.nn.attention import varlen
    except ImportError:
        return False
    return hasattr(varlen, "varlen_attn")


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    boundaries: Sequence[int] = (),
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int = 0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention output `(1, T, heads, width)`; each sequence sees only itself.

    Args:
        module: The attention layer; its `is_causal` decides.
        query: `(1, heads, T, width)`.
        key: The same, maybe with fewer heads.
        value: As `key`.
        scaling: Factor on the products; None is one over the root of the width.
        sliding_window: How many positions before (and, unless causal, behind) itself a token sees,
            itself included; None is all.
        boundaries: `(B + 1,)` where sequences start and end, for the CPU.
        cu_seq_lens_q: The same as an int32 tensor, for CUDA.
        max_length_q: The longest sequence.
    """
    causal = bool(getattr(module, "is_causal", False))
    reach = None if sliding_window is None else sliding_window - 1
    if query.is_cuda:
        return _cuda(query, key, value, cu_seq_lens_q, max_length_q, scaling, reach, causal), None
    return _one_by_one(query, key, value, boundaries, scaling, reach, causal), None


def _cuda(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: Any,
    longest: int,
    scaling: float | None,
    reach: int | None,
    causal: bool,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    back = -1 if reach is None else reach
    output = varlen_attn(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        starts,
        starts,
        longest,
        longest,
        scale=scaling,
        window_size=(back, 0 if causal else back),
        enable_gqa=query.shape[1] != key.shape[1],
        num_splits=1,  # A score must not depend on which texts share the batch.
    )
    return output.unsqueeze(0)  # type: ignore[union-attr]  # a tuple only with return_aux


def _one_by_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    boundaries: Sequence[int],
    scaling: float | None,
    reach: int | None,
    causal: bool,
) -> torch.Tensor:
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    _, heads, tokens, _ = query.shape
    output = query.new_empty(1, tokens, heads, value.shape[-1])
    for start, end in itertools.pairwise(boundaries):
        mask = None
        if reach is not None and end - start > reach + 1:
            row = torch.arange(end - start, device=query.device)
            distance = row[:, None] - row[None, :]
            mask = (distance >= 0) & (distance <= reach) if causal else distance.abs() <= reach
        attended = scaled_dot_product_attention(
            query[:, :, start:end],
            key[:, :, start:end],
            value[:, :, start:end],
            attn_mask=mask,
            is_causal=causal and mask is None,
            scale=scaling,
            enable_gqa=heads != key.shape[1],
        )
        output[:, start:end] = attended.transpose(1, 2)
    return output
