"""The forward passes over tokens: packed and padded.

Each is launched and collected apart, so that on a GPU the next batch is put together while this
one computes. Nothing between the two waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from langchain_rerank.scorers.engine.forward import packed_attention
from langchain_rerank.scorers.engine.forward.arrays import filled, key_rows, pack, pad, positions
from langchain_rerank.scorers.engine.forward.heads import Head, ReadOut, pool_packed, pool_padded
from langchain_rerank.scorers.engine.forward.model_edits import FirstTokens
from langchain_rerank.scorers.engine.plan import rounded_up
from langchain_rerank.scorers.engine.tokens.pairs import Pair

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

Collect: TypeAlias = Callable[[], list[float]]
"""Waits for a launched batch and returns its scores."""


class Forward(Protocol):
    """One way to compute scores.

    Attributes:
        name: What it is called.
        padded: Whether every row of a batch costs as much as the longest.
        activation: What turns logits `(n, 1)` into scores.
    """

    name: str
    padded: bool
    activation: Any

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """In which precision."""
        ...

    def launch(self, pairs: Sequence[Pair]) -> Collect:
        """Start computing `pairs`; the returned function waits for their scores, `(n,)`."""
        ...


class PackedForward:
    """Runs the base model over one row without padding.

    With `share_prefixes`, for causal models alone, pairs of one query share what is before their
    texts: it is computed once in a batch.
    """

    name = "packed"
    padded = False

    def __init__(
        self,
        model: Any,
        read: ReadOut,
        activation: Any,
        device: torch.device,
        attend: packed_attention.Attend,
        *,
        share_prefixes: bool = False,
    ) -> None:
        packed_attention.register()
        self.activation, self.device, self.dtype = activation, device, read.base.dtype
        self.head = Head(read)
        self._read, self._attend, self._share_prefixes = read, attend, share_prefixes
        self._first = FirstTokens(read.last_layer) if read.last_layer else None
        model.set_attn_implementation(packed_attention.NAME)

    def launch(self, pairs: Sequence[Pair]) -> Collect:
        """Start computing `pairs`."""
        import numpy as np
        import torch

        batch = pack(pairs, share_prefixes=self._share_prefixes, not_last=self._read.not_last)
        shares = bool(batch.shared.any())
        gathered, gathered_starts = key_rows(batch) if shares else (batch.ids[:0], batch.starts)
        tokens, count = len(batch.ids), len(pairs)
        if self.device.type == "cpu":
            tokens, count = rounded_up(tokens), rounded_up(count)
        ids, places, types, starts, first, rows, key_starts = _send_as_one(
            filled(batch.ids, tokens),
            filled(positions(batch, self._read.first_position, self._read.positions_skip), tokens),
            filled(batch.types, tokens),
            batch.starts,
            filled(batch.starts[:-1], count),
            gathered,
            gathered_starts,
            device=self.device,
        )
        layout = packed_attention.Layout(
            cu_seqlens=batch.starts.tolist(),
            key_cu_seqlens=gathered_starts.tolist(),
            key_rows=rows if shares else None,
            device_cu_seqlens=starts.int(),
            device_key_cu_seqlens=key_starts.int(),
            longest=int(np.diff(batch.starts).max()),
            longest_keys=int(np.diff(gathered_starts).max()),
            attend=self._attend,
        )
        inputs = {"input_ids": ids[None], "position_ids": places[None], "layout": layout}
        if self._read.token_types:
            inputs["token_type_ids"] = types[None]
        with torch.inference_mode():
            if self._first:
                self._first.rows = first
            hidden = self._read.base(**inputs).last_hidden_state[0]
            if self._first:
                hidden = hidden[: len(pairs)]
            else:
                hidden = pool_packed(hidden[: len(batch.ids)], starts, self._read.pooling)
            return fetch(activated(self.activation, self.head(hidden)))


class PaddedForward:
    """Runs the base model over rows padded to the longest."""

    name = "padded"
    padded = True

    def __init__(
        self,
        read: ReadOut,
        activation: Any,
        device: torch.device,
        *,
        padding: int,
        longest: int,
    ) -> None:
        self.activation, self.device, self.dtype = activation, device, read.base.dtype
        self.head = Head(read)
        self._read, self._padding = read, padding
        self._few_sizes = longest if device.type == "cpu" else None
        if read.last_layer:
            FirstTokens(read.last_layer)

    def launch(self, pairs: Sequence[Pair]) -> Collect:
        """Start computing `pairs`."""
        import torch

        batch = pack(pairs, not_last=self._read.not_last)
        arrays = pad(batch, self._padding, few_sizes=self._few_sizes)
        ids, mask, types = (_send(array, self.device) for array in arrays)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if self._read.token_types:
            inputs["token_type_ids"] = types
        with torch.inference_mode():
            hidden = self._read.base(**inputs).last_hidden_state
            pooled = pool_padded(hidden, mask.sum(1), self._read.pooling)
            return fetch(activated(self.activation, self.head(pooled)))


def activated(activation: Any, logits: torch.Tensor) -> torch.Tensor:
    """Return the scores `(n,)` of logits `(n,)`, apart where the logits are.

    A sigmoid in float32 is 1.0 from a logit of 17 on; in float64 it keeps the order up to 36, and
    differs from `predict`'s number by less than 1e-7. What has weights of its own, and what is not
    torch's, is called as `predict` calls it.
    """
    column = logits.float()[:, None]
    if _is_plain(activation):
        # Not on Apple's GPUs, which have no float64.
        column = (column.cpu() if column.device.type == "mps" else column).double()
    scores: torch.Tensor = activation(column)
    return scores.reshape(len(logits))


def _is_plain(activation: Any) -> bool:
    """Return whether all of an activation is torch's own, and has no weights."""
    import torch

    return (
        isinstance(activation, torch.nn.Module)
        and all(
            type(one).__module__.startswith("torch.nn.modules.") for one in activation.modules()
        )
        and not activation.state_dict()
    )


def _send(array: NDArray[np.int64], device: torch.device) -> torch.Tensor:
    import torch

    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        # Pinned, so that the copy overlaps with what the GPU still computes.
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _send_as_one(*arrays: NDArray[np.int64], device: torch.device) -> Sequence[torch.Tensor]:
    """Send arrays in one buffer, so that a GPU gets one copy."""
    import numpy as np
    import torch

    return torch.split(_send(np.concatenate(arrays), device), [len(array) for array in arrays])


def fetch(scores: torch.Tensor) -> Collect:
    """Start copying scores to the host and return a function that waits for them."""
    import torch

    if scores.device.type != "cuda":
        return scores.tolist
    host = torch.empty(scores.shape, dtype=scores.dtype, pin_memory=True)
    host.copy_(scores, non_blocking=True)
    done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    done.record(torch.cuda.current_stream(scores.device))

    def collect() -> list[float]:
        done.synchronize()
        return list(host.tolist())

    return collect
