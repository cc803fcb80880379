"""What the engine changes in its view of a model: a view of its own, narrowed, fused, prepacked.

- `view_of`: a second module over the same weights, so that what the engine changes stays its own.
- `FirstTokens`: the last layer of an encoder, computed for the first token of each sequence alone.
  The head reads nothing else, and after the last attention no token reads another. With six layers
  that is an eighth of the linear work.
- `fuse_norms`: norms by the root mean square, in which transformers reads and writes all states six
  times, by torch's own kernel, which does so once. Decoders have up to four of them a layer.
- `remember_signatures`: models like BERT look up the signature of one of their own methods in every
  layer of every pass, about a tenth of the time that a host takes to launch it.
- `prepack`: linear layers with prepacked weights, laid out as the CPU's matrix kernels read them.
  torch multiplies by a weight that lies as it was stored: in 16 bits oneDNN reorders it at every
  call, and in float32 another library multiplies, slower than oneDNN on some processors. Prepacked
  once, the products are the same up to rounding. The operators are those that `torch.compile` uses;
  they are no stable interface, so the comparison at load decides here as well.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_rerank.scorers.engine.memory import CPU_TOKENS
from langchain_rerank.scorers.engine.tokens.changes import plain

if TYPE_CHECKING:
    import torch


def view_of(
    model: torch.nn.Module,
    device: torch.device,
    dtype: torch.dtype | None,
    kept: Iterable[Any] = (),
) -> Any:
    """Return a copy of `model` that shares its weights where device and precision agree.

    The copy has its own config and attention setting. Buffers keep their precision: rotary
    frequencies in bfloat16 would shift positions.

    Args:
        model: The model.
        device: Where the copy is to be.
        dtype: Its precision; None leaves each weight in its own.
        kept: Parts of the model that the copy shares as they are.
    """
    import torch

    memo: dict[int, Any] = {id(part): part for part in kept}
    for parameter in model.parameters():
        data = parameter.detach()
        target = dtype if dtype and data.is_floating_point() else data.dtype
        memo[id(parameter)] = torch.nn.Parameter(
            data.to(device=device, dtype=target), requires_grad=False
        )
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.to(device)
    view: torch.nn.Module = copy.deepcopy(model, memo)
    return view.eval()


class LastLayer(NamedTuple):
    """Where the last layer mixes tokens, and where it no longer does.

    Attributes:
        attention: The module that calls the attention function.
        after: The next one; it takes the attention's output and the layer's input, `(B, L, width)`
            each, and what follows sees its result alone.
    """

    attention: Any
    after: Any


class FirstTokens:
    """Makes a model go on with first tokens after its last attention.

    Attributes:
        rows: `(B,)` where the sequences of the next packed row start; None where every row is one.
    """

    def __init__(self, layer: LastLayer) -> None:
        self.rows: torch.Tensor | None = None
        layer.attention.reads_first_only = True
        forward = layer.after.forward
        layer.after.forward = lambda *states: forward(*map(self._select, states))

    def _select(self, states: torch.Tensor) -> torch.Tensor:
        return states[:, :1] if self.rows is None else states.index_select(1, self.rows)


def reads_first_only(attention: Any) -> bool:
    """Return whether only what the first token of each sequence attends to is needed."""
    return bool(getattr(attention, "reads_first_only", False))


def fuse_norms(module: torch.nn.Module) -> None:
    """Let torch's kernel compute the norms in `module` that are found to be nothing else."""
    found: dict[Any, bool] = {}
    for norm in module.modules():
        if not type(norm).__name__.endswith("RMSNorm") or "forward" in vars(norm):
            continue
        tensors = [*norm.named_parameters(), *norm.named_buffers()]
        if [name for name, _ in tensors] != ["weight"] or not _epsilon(norm):
            continue
        weight: Any = norm.weight
        # With its settings: two of one class may differ in a flag.
        kind = (type(norm), weight.shape, weight.dtype, *plain(vars(norm).values()))
        if kind not in found:
            found[kind] = _is_plain_norm(norm, weight.shape, weight.dtype)
        if found[kind]:
            norm.forward = partial(_root_mean_square, norm, type(norm).forward)


def _root_mean_square(norm: Any, known: Callable[..., Any], states: torch.Tensor) -> torch.Tensor:
    from torch.nn.functional import rms_norm

    # torch would round to the precision of the states; and somebody may have patched the class.
    if states.dtype != norm.weight.dtype or type(norm).forward is not known:
        output: torch.Tensor = type(norm).forward(norm, states)
        return output
    return rms_norm(states, norm.weight.shape, norm.weight, _epsilon(norm))


def _epsilon(norm: Any) -> Any:
    return getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", None)


def _is_plain_norm(norm: torch.nn.Module, shape: Sequence[int], dtype: torch.dtype) -> bool:
    """Return whether a norm gives what torch's does; others add one to their weight, say."""
    import torch
    from torch.nn.functional import rms_norm

    draw = torch.Generator().manual_seed(0)  # which leaves the caller's as it is
    weight, drawn = (
        torch.randn(size, generator=draw, device="cpu", dtype=torch.float32)
        for size in (shape, (4, *shape))
    )
    states = 1e-3 * drawn  # so small that the epsilon counts

    def given(dtype: torch.dtype) -> torch.Tensor:
        parameters = {"weight": weight.to(dtype)}
        output: torch.Tensor = torch.func.functional_call(norm, parameters, states.to(dtype))
        return output

    with torch.inference_mode():
        expected = rms_norm(states, shape, weight, _epsilon(norm))
        same = torch.allclose(given(torch.float32), expected, rtol=1e-5, atol=1e-7)
        return same and given(dtype).dtype == dtype


def remember_signatures(module: torch.nn.Module) -> None:
    """Have the layers in `module` find the signature that transformers asks for in every pass."""
    for layer in module.modules():
        method = getattr(type(layer), _CHUNK, None)
        if inspect.isfunction(method) and _CHUNK not in vars(layer):
            setattr(layer, _CHUNK, _with_signature(layer))


_CHUNK = "feed_forward_chunk"


def _with_signature(layer: Any) -> Callable[..., Any]:
    def call(*states: Any) -> Any:
        return type(layer).feed_forward_chunk(layer, *states)  # As it is then.

    call.__signature__ = inspect.signature(layer.feed_forward_chunk)  # type: ignore[attr-defined]  # what inspect looks at first
    return call


def prepack(module: torch.nn.Module) -> None:
    """Prepack the weights of all linear layers in `module`, which is on a CPU, where torch can.

    The layers' own weights are let go.
    """
    import torch

    # Subclasses may compute something else.
    linears = [part for part in module.modules() if type(part) is torch.nn.Linear]
    kinds = {(one.weight.shape, one.weight.dtype, one.bias is None): one for one in linears}
    try:
        prepacked = [_prepacked(linear) for linear in linears]
        for linear, forward in zip(linears, prepacked, strict=True):
            if linear in kinds.values():  # One of each kind is tried, on one row.
                forward(torch.zeros_like(linear.weight[:1]))
    except (AttributeError, RuntimeError):
        return  # A torch without oneDNN, or a precision that this CPU has no kernel for.
    for linear, forward in zip(linears, prepacked, strict=True):
        linear.forward = forward  # type: ignore[method-assign]  # a view is ours to change
        del linear.weight


def _prepacked(linear: torch.nn.Linear) -> Any:
    """Return the layer's forward pass over its prepacked weight."""
    import torch

    operators: Any = torch.ops.mkldnn
    weight = operators._reorder_linear_weight(linear.weight, CPU_TOKENS)  # noqa: SLF001 - see above
    bias = linear.bias  # or None

    def forward(states: torch.Tensor) -> Any:
        return operators._linear_pointwise(states, weight, bias, "none", [], "")  # noqa: SLF001 - see above

    return forward
