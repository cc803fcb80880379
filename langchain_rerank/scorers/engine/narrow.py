"""The last layer of an encoder, computed for the first token of each sequence alone.

The head reads nothing else, and behind the last attention no token reads another. With six layers
that is an eighth of the linear work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch


class LastLayer(NamedTuple):
    """Where the last layer mixes tokens, and where it no longer does.

    Attributes:
        attention: The module that calls the attention function.
        behind: The next one; it takes the attention's output and the layer's input, `(B, L, width)`
            each, and what follows sees its result alone.
    """

    attention: Any
    behind: Any


class FirstTokens:
    """Makes a model go on with first tokens behind its last attention.

    Attributes:
        rows: `(B,)` where the sequences of the next packed row start; None where every row is one.
    """

    def __init__(self, layer: LastLayer) -> None:
        self.rows: torch.Tensor | None = None
        layer.attention.reads_first_only = True
        forward = layer.behind.forward
        layer.behind.forward = lambda *states: forward(*map(self._select, states))

    def _select(self, states: torch.Tensor) -> torch.Tensor:
        return states[:, :1] if self.rows is None else states.index_select(1, self.rows)


def reads_first_only(attention: Any) -> bool:
    """Return whether only what the first token of each sequence attends to is needed."""
    return bool(getattr(attention, "reads_first_only", False))
