"""What decides which weights are loaded, where and how, and how many tokens a pair may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.prompt import RerankPrompt

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
    max_length: int | Literal["model"] | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    prompt: RerankPrompt | None = None
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
        ConfigurationError: More was asked for than the model can read, or its limit, and it has
            none.
    """
    limit = token_limit(model)
    if settings.max_length is None:
        return min(DEFAULT_MAX_LENGTH, limit)
    if settings.max_length == "model":
        config = getattr(model.transformers_model, "config", None)
        # A model with rotary positions can read on, but was not trained to.
        limit = min(limit, getattr(config, "max_position_embeddings", None) or NO_LIMIT)
        if limit == NO_LIMIT:
            raise ConfigurationError(
                f"max_length='model', but neither the tokenizer of {settings.name} nor its config "
                f"says how many tokens it reads; give the number that its card names."
            )
        return limit
    if settings.max_length > limit:
        raise ConfigurationError(
            f"max_length={settings.max_length}, but {settings.name} reads at most {limit} tokens; "
            f"lower max_length, or split long texts into passages."
        )
    return settings.max_length


NO_LIMIT = 2**31
"""The limit of a model that names none; transformers writes a number far above for it."""


def token_limit(model: CrossEncoder) -> int:
    """Return how many tokens the model's tokeniser and position embeddings allow."""
    import torch

    limits = [NO_LIMIT, model.max_seq_length or DEFAULT_MAX_LENGTH]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa and its kin leave out the positions up to their padding token's.
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - unused)
    return min(limits)
