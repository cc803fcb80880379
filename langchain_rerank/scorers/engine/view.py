"""A second module over the same weights, so that what the engine changes stays its own."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def view_of(model: torch.nn.Module, device: torch.device, dtype: torch.dtype) -> Any:
    """Return a copy of `model` that shares its weights where device and precision agree.

    The copy has its own config and attention setting. Buffers keep their precision: rotary
    frequencies in bfloat16 would shift positions.
    """
    import torch

    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        data = parameter.detach()
        target = dtype if data.is_floating_point() else data.dtype
        memo[id(parameter)] = torch.nn.Parameter(
            data.to(device=device, dtype=target), requires_grad=False
        )
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.to(device)
    view: torch.nn.Module = copy.deepcopy(model, memo)
    return view.eval()
