"""The model's own `predict`: what every score is compared with, and the path of the last resort."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_rerank.errors import ConfigurationError, ModelLoadError, see
from langchain_rerank.scorers.engine.forward.passes import Collect, activated
from langchain_rerank.scorers.engine.origin import PACKAGES, foreign_base
from langchain_rerank.scorers.engine.tokens.lengths import cut_at
from langchain_rerank.scorers.engine.tokens.pairs import Pair

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder

# What `predict` calls, outside of the transformers model.
_METHODS = ("predict", "preprocess", "tokenize", "forward", "__call__", "_inference")


class Predict:
    """Calls `predict` with those of the arguments that this model's takes.

    Args:
        model: The model.
        own: Whether nobody else holds the model, so that it may be changed.
    """

    def __init__(self, model: CrossEncoder, *, own: bool) -> None:
        self._model, self._own = model, own
        parameters = inspect.signature(model.predict).parameters
        any_name = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
        self._takes = None if any_name else parameters.keys()

    def logits(
        self, pairs: Sequence[tuple[str, str]], max_length: int, prompt: str | None = None
    ) -> list[float]:
        """Return what `predict` gives without an activation, `(n,)`."""
        import torch

        return self(pairs, max_length, prompt, activation_fn=torch.nn.Identity())

    def __call__(
        self,
        pairs: Sequence[tuple[str, str]],
        max_length: int,
        prompt: str | None = None,
        **settings: Any,
    ) -> list[float]:
        """Return what `predict` gives, `(n,)`, computed as one batch.

        Raises:
            ConfigurationError: There is a prompt, and `predict` takes none; or it cannot be told
                the maximum length.
        """
        import torch

        settings |= {
            "show_progress_bar": False,
            "batch_size": max(1, len(pairs)),
            "processing_kwargs": {"text": {"max_length": max_length}},
        }
        if prompt is not None:
            settings["prompt"] = prompt
        if self._takes is not None:
            settings = self._taken(settings, max_length)
        with torch.inference_mode(), _evaluating(self._model), cut_at(self._model, max_length):
            scores = self._model.predict(list(pairs), **settings)
        return [float(score) for score in scores]

    def _taken(self, settings: dict[str, Any], max_length: int) -> dict[str, Any]:
        refused = settings.keys() - (self._takes or ())
        name = self._model.__class__.__name__
        if "prompt" in refused:
            raise ConfigurationError(
                f"instruction={settings['prompt']!r} would have no effect: the predict of {name} "
                f"takes no prompt. Leave it out."
            )
        if "processing_kwargs" in refused and max_length != self._model.max_seq_length:
            if not self._own:
                raise ConfigurationError(
                    f"The predict of {name} takes no processing_kwargs, so it cannot be told "
                    f"max_length={max_length}. Set model.max_seq_length = {max_length} on the "
                    f"model that you pass in."
                )
            self._model.max_seq_length = max_length
        return {key: value for key, value in settings.items() if key not in refused}


class PredictForward:
    """Scores through the model's own `predict`.

    Args:
        predict: Calls it.
        model: The model.
        stock: Whether it computes with nothing but the packages' own code. If so the activation is
            applied here, where it keeps large logits apart.
    """

    name = "predict"
    padded = True

    def __init__(self, predict: Predict, model: CrossEncoder, *, stock: bool) -> None:
        self.activation = model.activation_fn
        self._predict, self._model, self._stock = predict, model, stock

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._model.device

    @property
    def dtype(self) -> torch.dtype:
        """In which precision."""
        return precision_of(self._model)

    def launch(self, pairs: Sequence[Pair]) -> Collect:
        """Compute `pairs`, which carry their source."""
        import torch

        scores = [0.0] * len(pairs)
        sources = [pair.source for pair in pairs if pair.source is not None]
        groups: dict[tuple[str | None, int], list[int]] = {}
        for position, source in enumerate(sources):
            groups.setdefault((source.instruction, source.max_length), []).append(position)
        for (prompt, max_length), positions in groups.items():
            texts = [(sources[at].query, sources[at].text) for at in positions]
            if self._stock:
                given = self._predict.logits(texts, max_length, prompt)
                # Named, since the default is the process's, and loading a model changes it a while.
                logits = torch.tensor(given, dtype=torch.float64)
                found = activated(self.activation, logits).tolist()
            else:
                found = self._predict(texts, max_length, prompt)
            for position, score in zip(positions, found, strict=True):
                scores[position] = score
        return lambda: scores


def precision_of(model: torch.nn.Module) -> torch.dtype:
    """Return the precision of the model's weights: that of the first one."""
    return next(one.dtype for one in model.parameters() if one.dtype.is_floating_point)


def foreign_code(model: CrossEncoder) -> str | None:
    """Return what the model computes with that is no package's own code, or None.

    Classes of a model's own files, methods that somebody replaced, hooks: nobody can know on which
    texts they make a difference.
    """
    for path, module in model.named_modules():
        name = path or type(module).__name__
        if owner := foreign_base(type(module)):
            return f"the class {owner.__module__}.{owner.__qualname__}"
        if replaced := set(_METHODS) & vars(module).keys():
            return f"{name}.{min(replaced)}, which was replaced"
        for hook in [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]:  # noqa: SLF001 - torch has no public list of them
            if not _packaged(hook):
                return f"a hook of {name}"
        if attention := _foreign_attention(getattr(module, "config", None)):
            return f"the attention {attention!r} of {name}"
    for module in (model, *model, model.transformers_model):
        for method in _METHODS:
            function = getattr(module.__class__, method, None)
            if function is not None and not _packaged(function):
                return f"{module.__class__.__name__}.{method}, which was replaced"
    return None


def _foreign_attention(config: Any) -> str | None:
    """Return the name of the attention that a config asks for, where somebody registered it."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    name = getattr(config, "_attn_implementation", None)
    function = ALL_ATTENTION_FUNCTIONS.get(name) if isinstance(name, str) else None
    foreign = function is not None and not _packaged(getattr(function, "func", function))
    return name if foreign else None


def edits(module: torch.nn.Module) -> tuple[Hashable, ...]:
    """Return what stands for the hooks and replaced methods of one module, without keeping them."""
    own = vars(module)
    hooks = (*own["_forward_hooks"], *own["_forward_pre_hooks"])
    return (*hooks, *((one, id(own[one])) for one in _METHODS if one in own))


def _packaged(function: Any) -> bool:
    """Return whether a function, and all that it wraps, is in one of the packages' files."""
    imported = [sys.modules[name] for name in PACKAGES if name in sys.modules]
    folders = tuple(str(Path(str(package.__file__)).parent) for package in imported)
    while function is not None:
        function = getattr(function, "__func__", function)
        code = getattr(function, "__code__", None)
        if code is None or not code.co_filename.startswith(folders):
            return False
        function = getattr(function, "__wrapped__", None)
    return True


@contextmanager
def unpatched(name: str) -> Iterator[None]:
    """Undo what loading a model changes in sentence-transformers' classes, and refuse the model.

    Raises:
        ModelLoadError: The model's code replaced a method that every other model uses.
    """
    from sentence_transformers.cross_encoder import CrossEncoder

    before: Mapping[type, dict[str, Any]] = {
        owner: dict(vars(owner))
        for owner in CrossEncoder.__mro__
        if owner.__module__.startswith("sentence_transformers.")
    }
    yield
    changed = [
        (owner, attribute, methods.get(attribute))
        for owner, methods in before.items()
        for attribute in _METHODS
        if vars(owner).get(attribute) is not methods.get(attribute)
    ]
    for owner, attribute, method in changed:
        if method is None:
            delattr(owner, attribute)
        else:
            setattr(owner, attribute, method)
    if changed:
        owner, attribute, _ = changed[0]
        raise ModelLoadError(
            f"The code of {name} replaces {owner.__name__}.{attribute} for every model of this "
            f"process, so that other models would score wrongly; this was undone and the model is "
            f"not used. Load its weights without trust_remote_code (for a causal model with "
            f"prompt=RerankPrompt(...)), or in a process of its own. "
            f"{see('a-model-could-not-be-loaded')}"
        )


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Switch dropout off, and leave every module as it was: whose model it is may be training."""
    training = [module for module in model.modules() if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
