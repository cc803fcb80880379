"""What decides which weights are loaded, where and how, and how many tokens a pair may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_rerank.errors import ConfigurationError

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

BACKENDS = ("torch", "openvino")

EMBEDDED = "embedded"
"""The name of the model that ships with the package."""


@dataclass(frozen=True)
class LoadSettings:
    """Everything that decides which weights are loaded, where and how: equal settings share them.

    `model_kwargs` may hold what has no hash, so its text stands for it in comparisons.
    """

    model: str | CrossEncoder
    device: str = "auto"
    dtype: str = "auto"
    backend: str = "torch"
    max_length: int | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    model_kwargs: Mapping[str, Any] = field(default_factory=dict, compare=False)
    _model_kwargs_text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_model_kwargs_text", repr(sorted(self.model_kwargs.items())))

    @property
    def name(self) -> str:
        """The model's name, for traces and messages."""
        if isinstance(self.model, str):
            return self.model
        config = getattr(self.model, "config", None)
        return getattr(config, "name_or_path", None) or type(self.model).__name__


DEFAULT_MAX_LENGTH = 512


def effective_max_length(model: CrossEncoder, settings: LoadSettings) -> int:
    """Return the tokens of a pair: what was asked for, or 512, within the model's limit.

    Raises:
        ConfigurationError: More was asked for than the model can read.
    """
    limit = token_limit(model)
    if settings.max_length is None:
        return min(DEFAULT_MAX_LENGTH, limit)
    if settings.max_length > limit:
        raise ConfigurationError(
            f"max_length={settings.max_length}, but {settings.name} reads at most {limit} tokens; "
            f"lower max_length, or split long texts into passages."
        )
    return settings.max_length


def token_limit(model: CrossEncoder) -> int:
    """Return how many tokens the model's tokeniser and position embeddings allow."""
    import torch

    limits = [model.max_seq_length or DEFAULT_MAX_LENGTH]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa and its kin leave out the positions up to their padding token's.
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - unused)
    return min(limits)
