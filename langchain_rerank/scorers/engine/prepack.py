"""Linear layers with their weights laid out as the CPU's matrix kernels read them.

torch multiplies by a weight that lies as it was stored: in 16 bits oneDNN arranges it anew at every
call, and in float32 another library multiplies, slower than oneDNN on some processors. Arranged
once, the products are the same up to rounding. The operators are those that `torch.compile` uses;
they are no stable interface, so the comparison at load decides here as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_rerank.scorers.engine.memory import CPU_TOKENS

if TYPE_CHECKING:
    import torch


def prepack(module: torch.nn.Module) -> None:
    """Arrange the weights of all linear layers in `module`, which is on a CPU, where torch can.

    The layers' own weights are let go.
    """
    import torch

    # Subclasses may compute something else.
    linears = [part for part in module.modules() if type(part) is torch.nn.Linear]
    try:
        arranged = [_arrange(linear) for linear in linears]
    except (AttributeError, RuntimeError):
        return  # A torch without oneDNN, or a precision that this CPU has no kernel for.
    for linear, forward in zip(linears, arranged, strict=True):
        linear.forward = forward  # type: ignore[method-assign]  # a view is ours to change
        del linear.weight


def _arrange(linear: torch.nn.Linear) -> Any:
    """Return the layer's forward pass over its arranged weight, tried on one row."""
    import torch

    operators: Any = torch.ops.mkldnn
    weight = operators._reorder_linear_weight(linear.weight, CPU_TOKENS)  # noqa: SLF001 - see above
    bias = linear.bias  # or None

    def forward(states: torch.Tensor) -> Any:
        return operators._linear_pointwise(states, weight, bias, "none", [], "")  # noqa: SLF001 - see above

    forward(torch.zeros_like(linear.weight[:1]))
    return forward
