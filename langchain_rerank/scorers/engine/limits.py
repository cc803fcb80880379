"""How many tokens a pair may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.engine.loading import LoadSettings

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

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
