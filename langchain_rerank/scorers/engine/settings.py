"""What decides which weights are loaded, where and how, and how the pairs of a request are read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_rerank.checks import check_flag, is_one_of, shown
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.prompt import RerankPrompt

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

BACKENDS = ("torch", "openvino")
DTYPES = ("auto", "float32", "bfloat16", "float16")
INT8 = "int8"
"""The precision that is not the model's own, and so has to be asked for by name."""

# Of `from_pretrained`: they open a hub, and change no weight.
_CREDENTIALS = {"token", "use_auth_token", "proxies"}

EMBEDDED = "embedded"
"""The name of the model that ships with the package."""


@dataclass(frozen=True)
class LoadSettings:
    """Everything that decides which weights are loaded, where and how: equal settings share them.

    How a pair is read (`Reading`) is no part of them: it travels with each request.
    `model_kwargs` may hold what has no hash, so its text stands for it in comparisons.
    """

    model: str | CrossEncoder
    device: str = "auto"
    dtype: str = "auto"
    backend: str = "torch"
    revision: str | None = None
    trust_remote_code: bool = False
    prompt: RerankPrompt | None = None
    calibration_texts: tuple[str, ...] = field(default=(), repr=False)
    model_kwargs: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    _model_kwargs_text: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_model_kwargs_text", repr(sorted(self.model_kwargs.items())))

    @property
    def stated_kwargs(self) -> dict[str, Any]:
        """`model_kwargs` as they may be kept and shown: without the token of a hub."""
        return {k: v for k, v in self.model_kwargs.items() if k not in _CREDENTIALS}

    @cached_property
    def calibration_digest(self) -> str | None:
        """What stands for `calibration_texts` where it is kept."""
        if not self.calibration_texts:
            return None
        return hashlib.sha256(repr(self.calibration_texts).encode()).hexdigest()

    @property
    def name(self) -> str:
        """The model's name, for traces and messages."""
        if isinstance(self.model, str):
            return self.model
        config = getattr(self.model, "config", None)
        return getattr(config, "name_or_path", None) or self.model.__class__.__name__


def check_load_settings(
    model: object,
    *,
    device: str,
    dtype: str,
    backend: str,
    max_length: int | str | None,
    instruction: str | None,
    calibration_texts: Sequence[str] | None,
    hub_settings: Mapping[str, Any],
) -> None:
    """Refuse what no machine and no model can meet.

    Raises:
        ConfigurationError: An impossible setting.
    """
    if not isinstance(model, str | os.PathLike) and not hasattr(model, "predict"):
        raise ConfigurationError(
            f"model must be a model name, a path or a sentence_transformers.CrossEncoder; got "
            f"{shown(model)}."
        )
    check_types(device=device, instruction=instruction, **hub_settings)
    if not is_one_of(dtype, (*DTYPES, INT8)):
        raise ConfigurationError(
            f"dtype={shown(dtype)} is unknown; use one of {', '.join((*DTYPES, INT8))}."
        )
    if not is_one_of(backend, BACKENDS):
        raise ConfigurationError(
            f"backend={shown(backend)} is unknown; use one of {', '.join(BACKENDS)}."
        )
    if backend == "openvino" and (device not in {"auto", "cpu"} or dtype == "float16"):
        raise ConfigurationError(
            f"backend='openvino' computes on the CPU in float32 or bfloat16, but device="
            f"{shown(device)} and dtype={shown(dtype)} were asked for; leave them out, or the "
            f"backend."
        )
    _check_int8(model, device, dtype, calibration_texts)
    if isinstance(max_length, str) and max_length != "model":
        raise ConfigurationError(f"max_length={shown(max_length)} is no number, nor 'model'.")
    if (not isinstance(model, str | os.PathLike) or model == EMBEDDED) and any(
        hub_settings.values()
    ):
        raise ConfigurationError(
            "revision, trust_remote_code, model_kwargs and prompt are for models that are "
            "loaded from the hub or a folder; leave them out for model='embedded' or a loaded "
            "model."
        )
    given = hub_settings["model_kwargs"] or {}
    for key, setting in (("dtype", "dtype"), ("torch_dtype", "dtype"), ("device_map", "device")):
        if key in given:
            raise ConfigurationError(
                f"model_kwargs has {key!r}; set it with the scorer's {setting}= instead."
            )


def _check_int8(
    model: object, device: str, dtype: str, calibration_texts: Sequence[str] | None
) -> None:
    if dtype == INT8 and device not in {"auto", "cpu"}:
        raise ConfigurationError(
            f"dtype='int8' computes on the CPU, but device={shown(device)} was asked for; leave "
            f"one of them out."
        )
    if dtype == INT8 and not isinstance(model, str | os.PathLike):
        raise ConfigurationError(
            "dtype='int8' rounds a model that is loaded by its name or from a folder; save the "
            "model that you pass in, and give its folder."
        )
    if calibration_texts is not None and (
        dtype != INT8 or not calibration_texts or not all(map(_is_text, calibration_texts))
    ):
        raise ConfigurationError(
            f"calibration_texts={shown(calibration_texts)}: they are for dtype='int8', some dozens "
            f"of texts such as the model will read."
        )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def check_types(
    *,
    device: object,
    instruction: object,
    revision: object,
    trust_remote_code: object,
    prompt: object,
    model_kwargs: object,
) -> None:
    """Refuse settings of the wrong type.

    Raises:
        ConfigurationError: One of them.
    """
    check_flag(trust_remote_code, "trust_remote_code")
    for name, value, kind, expected in (
        ("device", device, str, "'auto' or a torch device such as 'cuda:1'"),
        ("instruction", instruction, str | None, "a text or None"),
        ("revision", revision, str | None, "a branch, tag or commit, or None"),
        ("prompt", prompt, RerankPrompt | None, "a RerankPrompt or None"),
        ("model_kwargs", model_kwargs, Mapping | None, "a dictionary or None"),
    ):
        if not isinstance(value, kind):
            raise ConfigurationError(f"{name}={shown(value)}: it must be {expected}.")


class Reading(NamedTuple):
    """How the pairs of a request are read.

    Attributes:
        max_length: Tokens of a pair, within the model's limit.
        instruction: What the model is told to look for; None is its own default.
    """

    max_length: int
    instruction: str | None = None


DEFAULT_MAX_LENGTH = 512


class Limits(NamedTuple):
    """How many tokens of a pair a model can read.

    Attributes:
        taken: The most.
        trained: With how many it was trained, if it says so.
        default: At how many it is cut where nobody asks for more.
    """

    taken: int
    trained: int
    default: int


def limits_of(model: CrossEncoder) -> Limits:
    """Return how many tokens of a pair `model` reads."""
    limit = token_limit(model)
    config = getattr(model.transformers_model, "config", None)
    # A model with rotary positions can read on, but was not trained to.
    trained = min(limit, getattr(config, "max_position_embeddings", None) or NO_LIMIT)
    told = (getattr(model[0], "processing_kwargs", None) or {}).get("text", {})
    return Limits(limit, trained, min(limit, told.get("max_length") or DEFAULT_MAX_LENGTH))


def effective_max_length(limits: Limits, asked: int | Literal["model"] | None, name: str) -> int:
    """Return the tokens of a pair: what was asked for, or the default, within the model's limit.

    Args:
        limits: How many tokens the model reads.
        asked: The setting `max_length`.
        name: The model's name, for the message.

    Raises:
        ConfigurationError: More was asked for than the model can read, or its limit, and it has
            none.
    """
    limit = limits.taken
    if asked is None:
        return limits.default
    if asked == "model":
        if limits.trained == NO_LIMIT:
            raise ConfigurationError(
                f"max_length='model', but neither the tokenizer of {name} nor its config says how "
                f"many tokens it reads; give the number that its card names."
            )
        return limits.trained
    if asked > limit:
        raise ConfigurationError(
            f"max_length={asked}, but {name} reads at most {limit} tokens; lower max_length, or "
            f"split long texts into passages."
        )
    return asked


NO_LIMIT = 2**31
"""The limit of a model that names none; transformers writes a number far above for it."""


# What models call the table of their absolute positions.
_POSITIONS = {"position_embeddings", "embed_positions", "positions_embed", "wpe"}


def token_limit(model: CrossEncoder) -> int:
    """Return how many tokens the model's tokeniser and position embeddings allow."""
    import torch

    limits = [NO_LIMIT, model.max_seq_length or DEFAULT_MAX_LENGTH]
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in _POSITIONS and isinstance(module, torch.nn.Embedding):
            # RoBERTa and its kin leave out the positions up to their padding token's, BART two.
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - max(unused, getattr(module, "offset", 0)))
    return min(limits + _limits_of_company(getattr(model.transformers_model, "config", None)))


def _limits_of_company(config: Any) -> list[int]:
    """Return from which length on a text would change the scores of those computed with it.

    "longrope" takes other frequencies for a whole batch that has a text beyond the original length
    (where "dynamic" does so is the model's limit anyway), and BigBird another attention.
    """
    rotations = getattr(config, "rope_parameters", None) or {}
    found = [
        one.get("original_max_position_embeddings")
        for one in (rotations, *rotations.values())  # One for all layers, or one for each kind.
        if isinstance(one, Mapping) and one.get("rope_type") == "longrope"
    ]
    if getattr(config, "attention_type", None) == "block_sparse":
        found.append((5 + 2 * config.num_random_blocks) * config.block_size)
    return [limit for limit in found if limit]
