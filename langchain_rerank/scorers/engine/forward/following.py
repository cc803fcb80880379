"""A forward pass over a model whose owner may go on changing it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from langchain_rerank.scorers.engine.forward.passes import Collect, Forward
from langchain_rerank.scorers.engine.forward.predict import edits
from langchain_rerank.scorers.engine.tokens.changes import plain
from langchain_rerank.scorers.engine.tokens.pairs import Pair

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder


def state_of(model: torch.nn.Module, *, contents: bool) -> Hashable:
    """Return what changes when a weight is stored elsewhere, moved or converted, or the code is.

    That is when a module is replaced, given a hook, a method of its own, or another setting, be it
    an attribute (which pooling, which answer token, a norm's epsilon) or one of its config.

    Args:
        model: The model.
        contents: Whether it is to change as well when a weight is given other values in place.
    """
    state: list[Any] = []
    configs: dict[int, Any] = {}
    # One walk, without torch's own generators over weights: it is made for every batch.
    for path, module in model.named_modules():
        own = vars(module).copy()  # At once: others may set attributes meanwhile.
        own.pop("training", None)  # Scores do without dropout, whatever the owner does.
        state += path, type(module), *edits(module), *plain(own.values())
        if "config" in own:
            configs[id(own["config"])] = own["config"]
        for tensor in (*module._parameters.values(), *module._buffers.values()):  # noqa: SLF001 - see above
            if tensor is not None:
                counted = contents and not tensor.is_inference()
                changes = tensor._version if counted else 0  # noqa: SLF001 - torch's only count of changes
                state += tensor.data_ptr(), tensor.dtype, tensor.device, changes
    state += [repr(plain(vars(one).values(), list, dict)) for one in configs.values()]
    return tuple(state)


class Following:
    """Chooses anew when the model was moved, converted or given other weights.

    Args:
        model: The model, whose activation is looked up at every batch.
        choose: Returns the forward pass for the model as it is.
        state: Returns what tells two states of the model apart.
    """

    def __init__(
        self,
        model: CrossEncoder,
        choose: Callable[[], Forward],
        state: Callable[[], Hashable],
    ) -> None:
        self._model, self._choose, self._state_now = model, choose, state
        self._state = state()
        self._forward = choose()

    def __getattr__(self, name: str) -> Any:
        # Name, precision and the rest are those of the forward pass in use.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._forward, name)

    def launch(self, pairs: Sequence[Pair]) -> Collect:
        """Start computing `pairs` with the model as it is now.

        What fails while its owner converts the model is computed again with what it became.
        """
        return self._launch(pairs, again=True)

    def _launch(self, pairs: Sequence[Pair], *, again: bool) -> Collect:
        state = self._state_now()
        try:
            if state != self._state:
                self._forward, self._state = self._choose(), state
            self._forward.activation = self._model.activation_fn
            return self._forward.launch(pairs)
        except Exception:
            if not again or self._state_now() == state:
                raise
        return self._launch(pairs, again=False)
