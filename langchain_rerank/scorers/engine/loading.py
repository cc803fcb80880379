"""Turning load settings into a sentence-transformers cross-encoder, with errors that help."""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, cast

from langchain_rerank.errors import (
    ModelLoadError,
    RerankError,
    ScorerError,
    ScorerOutOfMemoryError,
    see,
)
from langchain_rerank.locks import building
from langchain_rerank.optional import require_installed
from langchain_rerank.scorers.engine.device import choose_device, choose_dtype
from langchain_rerank.scorers.engine.forward.openvino_package import openvino
from langchain_rerank.scorers.engine.forward.predict import foreign_code, precision_of, unpatched
from langchain_rerank.scorers.engine.memory import is_out_of_memory
from langchain_rerank.scorers.engine.origin import foreign_base
from langchain_rerank.scorers.engine.settings import EMBEDDED, INT8, LoadSettings
from langchain_rerank.scorers.engine.tokens.setup import (
    answer_with,
    check_setup,
    refuse_listwise,
)

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder

logger = logging.getLogger(__name__)


def load_cross_encoder(settings: LoadSettings) -> tuple[CrossEncoder, torch.device, torch.dtype]:
    """Return the model on its device in its precision, with both.

    Raises:
        ConfigurationError: The device or the precision is not there.
        MissingExtraError: The backend is not installed.
        ModelLoadError: There is no such model, it is not a cross-encoder with one score, or its
            tokenizer cannot pad.
        ScorerOutOfMemoryError: It does not fit in memory.
    """
    if isinstance(settings.model, str):
        device = choose_device(settings.device)
        dtype = choose_dtype(settings.dtype, device)
    else:
        device, dtype = placement(settings, settings.model)
    if isinstance(settings.model, str) and settings.device == "auto" and device.type == "cpu":
        # A warning: who expects a GPU must not find out by the clock.
        logger.warning(
            "No GPU found: cross-encoder scoring runs on the CPU (device='cpu'). %s",
            see("no-gpu-was-found"),
        )
    if settings.backend == "openvino":
        openvino()  # So that a missing package is the first thing said, and not after a download.
    if settings.dtype == INT8:
        require_installed("nncf", extra="int8")
    model = _load(settings, device, dtype)
    if model.num_labels != 1:
        # Before version 5.5, sentence-transformers does not look at the last layer.
        remedy = (
            "Its last layer gives one, which the installed sentence-transformers does not see: "
            "upgrade it (pip install -U 'sentence-transformers>=5.5')."
            if getattr(model[-1], "out_features", None) == 1
            else "Use a model trained for reranking, such as BAAI/bge-reranker-base."
        )
        raise ModelLoadError(
            f"{settings.name} gives {model.num_labels} numbers per pair; a reranker gives one "
            f"(num_labels=1). {remedy} {see('a-model-could-not-be-loaded')}"
        )
    if getattr(model.tokenizer, "pad_token_id", 0) is None:
        raise ModelLoadError(
            f"The tokenizer of {settings.name} has no padding token, without which texts of "
            f"different lengths make no batch. Load the model with sentence_transformers."
            f"CrossEncoder, set model.tokenizer.pad_token = model.tokenizer.eos_token and "
            f"model.config.pad_token_id = model.tokenizer.pad_token_id, and pass the model in, or "
            f"save it and load its folder. {see('a-model-could-not-be-loaded')}"
        )
    _refuse_empty_vocabulary(model, settings)
    if foreign_code(model) is None:
        check_setup(model, settings)
    return model, device, dtype


def placement(settings: LoadSettings, model: CrossEncoder) -> tuple[torch.device, torch.dtype]:
    """Return where, and in which precision, a model that was passed in computes: as it is.

    Only a device or a precision that was asked for by name is another one.
    """
    device = model.device if settings.device == "auto" else choose_device(settings.device)
    own = precision_of(model)
    return device, own if settings.dtype == "auto" else choose_dtype(settings.dtype, device)


def preparation_failed(settings: LoadSettings, error: Exception) -> ScorerError:
    """Return the error to raise where a model was loaded, but does not score the probe texts."""
    if is_out_of_memory(error):
        return _too_large(settings, error)
    return ModelLoadError(
        f"{settings.name} could not be made ready to score: {type(error).__name__}: "
        f"{_first_line(error)} Try sentence_transformers.CrossEncoder(...).predict on a pair: if "
        f"that fails too, the model's files are at odds with each other or with the installed "
        f"transformers. {see('a-model-could-not-be-loaded')}"
    )


def _load(settings: LoadSettings, device: torch.device, dtype: torch.dtype) -> CrossEncoder:
    if not isinstance(settings.model, str):
        return settings.model
    import torch

    # OpenVINO converts weights in fp32, and lowers the precision itself.
    weights = torch.float32 if settings.backend == "openvino" else dtype
    if settings.model == EMBEDDED:
        from langchain_rerank.embedded.plain import PlainCrossEncoder

        # It has what is read of a CrossEncoder, whose package takes seconds to import.
        return cast("CrossEncoder", PlainCrossEncoder().to(device, weights))

    from sentence_transformers import CrossEncoder

    refuse_listwise(settings)
    asked = {"chat_template": settings.prompt.chat_template} if settings.prompt else None
    try:
        with building(), unpatched(settings.name):
            model: CrossEncoder = CrossEncoder(
                settings.model,
                device=str(device),
                revision=settings.revision,
                trust_remote_code=settings.trust_remote_code,
                model_kwargs={"dtype": weights, **settings.model_kwargs},
                processor_kwargs=asked,
            )
    except RerankError:
        raise
    except Exception as error:  # A broken folder or a missing one surfaces as almost anything.
        if is_out_of_memory(error):
            raise _too_large(settings, error) from error
        raise ModelLoadError(_explanation(settings, error)) from error
    _refuse_random_head(model, settings.model)
    _refuse_missing_weights(model, settings.model)
    if settings.prompt is not None:
        answer_with(model, settings.prompt)
    _take_padding_token(model)
    return model


def _take_padding_token(model: CrossEncoder) -> None:
    """Let a decoder's head find the end of a text by the tokenizer's padding token, if by none."""
    padding = getattr(model.tokenizer, "pad_token_id", None)
    config = getattr(model.transformers_model, "config", None)
    if config is not None and padding is not None:
        for part in {id(one): one for one in (config, config.get_text_config())}.values():
            if getattr(part, "pad_token_id", None) is None:
                part.pad_token_id = padding


def _refuse_random_head(model: CrossEncoder, name: str) -> None:
    """Refuse an encoder that is no cross-encoder: its head would be freshly random."""
    if len(model) != 1:
        return
    architectures = getattr(model.config, "architectures", None) or []
    if not any(
        architecture.endswith("ForSequenceClassification") for architecture in architectures
    ):
        raise ModelLoadError(
            f"{name} is not a cross-encoder: its config names the architectures {architectures}, "
            f"so the scoring head would have random weights. Use a reranker, such as "
            f"BAAI/bge-reranker-base; embedding models belong into the first stage. "
            f"{see('a-model-could-not-be-loaded')}"
        )


def _refuse_missing_weights(model: CrossEncoder, name: str) -> None:
    """Refuse a model some of whose weights are missing from its files: they would be random."""
    inner = model.transformers_model
    quantized = getattr(getattr(inner, "config", None), "quantization_config", None)
    if inner is None or quantized is not None or foreign_code(model) is not None:
        return  # Their weights may come from elsewhere.
    loaded = {
        one: getattr(weight, "_is_hf_initialized", False)  # transformers' mark of what was read
        for one, weight in inner.named_parameters()
        if len(model) == 1 or "pooler" not in one  # A chain has a pooling of its own.
    }
    missing = [one for one, read in loaded.items() if not read]
    if missing:
        raise ModelLoadError(
            f"{len(missing)} of the {len(loaded)} weights of {name} are missing from its files, "
            f"{missing[0]!r} for one, and transformers made random ones, so every score would be "
            f"random. Use the complete files of a reranker, or save the model again after "
            f"training. {see('a-model-could-not-be-loaded')}"
        )


_OF_MANY_SCRIPTS = "a people 1 . é людей 北 人 ひと عدد लोग"


def _refuse_empty_vocabulary(model: CrossEncoder, settings: LoadSettings) -> None:
    """Refuse a tokenizer that transformers made up, since its files are missing."""
    tokenizer = model.tokenizer
    if foreign_base(type(tokenizer)) is not None:
        return
    ids = tokenizer(_OF_MANY_SCRIPTS, add_special_tokens=False)["input_ids"]
    if not set(ids) - set(tokenizer.all_special_ids):
        raise ModelLoadError(
            f"The tokenizer of {settings.name} ({type(tokenizer).__name__}, {len(tokenizer)} "
            f"tokens) knows no word and no letter, so every text would read alike: its files, such "
            f"as tokenizer.json, are missing. Save the model's own tokenizer into the folder. "
            f"{see('a-model-could-not-be-loaded')}"
        )


def _explanation(settings: LoadSettings, error: Exception) -> str:
    reason = _first_line(error)
    tried = f"Could not load the cross-encoder {settings.model!r}"
    if settings.model and Path(str(settings.model)).is_dir():  # Path("") is the working folder.
        adapter = Path(str(settings.model), "adapter_config.json").is_file()
        remedy = (
            "It holds an adapter and no model: merge it into its base model (PEFT's "
            "merge_and_unload) and save that with its tokenizer. "
        )
        return (
            f"{tried} from this local folder: {reason} {remedy if adapter else ''}"
            f"{see('a-model-could-not-be-loaded')}"
        )
    offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
    return (
        f"{tried}: no such local folder, and the Hugging Face hub or its cache did not give it"
        f"{offline}: {reason} Check the spelling and the network, or give the path of a "
        f"downloaded model; model='embedded' needs no hub. {see('a-model-could-not-be-loaded')}"
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _too_large(settings: LoadSettings, error: Exception) -> ScorerOutOfMemoryError:
    # The traceback's frames hold what was loaded, and so memory that a fallback may need.
    traceback.clear_frames(error.__traceback__)
    return ScorerOutOfMemoryError(
        f"Out of memory while {settings.name} was loaded: {_first_line(error)} Use "
        f"dtype='bfloat16' or a smaller model, or free memory on the device. "
        f"{see('out-of-memory')}"
    )
