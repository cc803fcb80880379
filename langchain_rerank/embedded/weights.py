"""The embedded cross-encoder: int8 storage in the wheel, plain fp32 weights in memory.

The file ``weights.safetensors`` holds every large matrix as int8 with one fp16 scale per row
(``<name>.scale``) and everything else as fp16. It is a storage format only: loading multiplies the
rows out, and what runs is a stock ``BertForSequenceClassification``. The file is not named
``model.safetensors`` on purpose, so that loading the folder as an ordinary model fails at once
and does not end in random weights.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from langchain_rerank.embedded import MODEL_CARD, MODEL_FOLDER
from langchain_rerank.errors import ConfigurationError, ModelLoadError

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder
    from transformers import PreTrainedModel

WEIGHTS_FILE = "weights.safetensors"
SCALE = ".scale"
# Vectors and the one-row head are too small to save anything, and the head is sensitive.
_SMALLEST_QUANTISED_ROWS = 16


def quantise(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return `state` with every large matrix as int8 and a fp16 scale per row, the rest as fp16.

    The largest magnitude of a row maps to 127; the error of an entry is at most half a scale.
    """
    packed: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim == 2 and tensor.shape[0] >= _SMALLEST_QUANTISED_ROWS:
            rows = tensor.detach().float()
            # The smallest normal fp16 number keeps an all-zero row from dividing by zero.
            scale = (rows.abs().amax(dim=1, keepdim=True) / 127).clamp_min(6.2e-5).half()
            whole = (rows / scale.float()).round().clamp(-127, 127)
            packed[name], packed[name + SCALE] = whole.to(torch.int8), scale
        else:
            packed[name] = tensor.detach().half().contiguous()
    return packed


def dequantise(packed: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the fp32 weights that `quantise` packed, under their own names."""
    return {
        name: tensor.float() * packed[name + SCALE].float()
        if tensor.dtype == torch.int8
        else tensor.float()
        for name, tensor in packed.items()
        if not name.endswith(SCALE)
    }


def load_state_dict(folder: Path = MODEL_FOLDER) -> dict[str, torch.Tensor]:
    """Return the fp32 weights of the model in `folder`, read without pickle.

    Raises:
        ModelLoadError: The weights are not there or not readable.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / WEIGHTS_FILE
    try:
        return dequantise(load_file(file))
    except (OSError, SafetensorError, KeyError) as error:
        raise ModelLoadError(
            f"Could not read the embedded model's weights from {file}: {error}. "
            f"Reinstall the package: pip install --force-reinstall langchain-rerank"
        ) from error


def load_embedded_model(folder: Path = MODEL_FOLDER) -> PreTrainedModel:
    """Return the network alone: a ``BertForSequenceClassification`` in fp32 on the CPU.

    Raises:
        ModelLoadError: The weights are not there, not readable, or of another architecture.
    """
    from transformers import BertConfig, BertForSequenceClassification

    state = load_state_dict(folder)
    config = BertConfig.from_pretrained(folder, local_files_only=True)
    # A new model draws start values, which are overwritten at once; the caller's random state
    # must not move because of it.
    with torch.random.fork_rng(devices=[]):
        model = BertForSequenceClassification(config)
    try:
        # Put in place rather than copied: what was drawn is in torch's default precision.
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ModelLoadError(
            f"The weights in {folder} do not fit its config.json: {error}. "
            f"Reinstall the package: pip install --force-reinstall langchain-rerank"
        ) from error
    model.train(mode=False)
    network: PreTrainedModel = model
    return network


def load_embedded_cross_encoder(
    *,
    device: str = "cpu",
    max_length: int | None = None,
    folder: Path = MODEL_FOLDER,
    **kwargs: Any,
) -> CrossEncoder:
    """Return the embedded model as a sentence-transformers ``CrossEncoder`` in fp32.

    ``predict`` gives the sigmoid of the logit, 0 to 1, as sentence-transformers does for every
    model with one score. Nothing is downloaded and no code but this package's runs.

    Args:
        device: Where the model goes: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        max_length: Tokens per pair, special tokens included; 512, the model's limit, if None.
        folder: Where the configuration, tokenizer and weights lie.
        **kwargs: Passed to ``CrossEncoder``, for instance ``activation_fn``.

    Raises:
        ConfigurationError: `max_length` is outside 8 to 512.
        ModelLoadError: The model's files are not there or not readable.
    """
    from sentence_transformers import CrossEncoder
    from sentence_transformers.base.modules import Transformer

    if max_length is not None and not 8 <= max_length <= 512:
        raise ConfigurationError(
            f"max_length is {max_length}; the embedded model reads 8 to 512 tokens per pair."
        )

    class InMemoryTransformer(Transformer):  # type: ignore[misc, unused-ignore]
        """The stock module, handed a network in place of a file to read it from."""

        def _load_model(self, *_args: Any, **_kwargs: Any) -> PreTrainedModel:
            return load_embedded_model(folder)

    module = InMemoryTransformer(
        str(folder),
        transformer_task="sequence-classification",
        config_kwargs={"local_files_only": True},
        processor_kwargs={"local_files_only": True},
        max_seq_length=max_length,
    )
    # From here on it is the stock class, so that saving the model names no class of ours.
    module.__class__ = Transformer
    encoder: CrossEncoder = CrossEncoder(modules=[module], device=device, **kwargs)
    encoder.train(mode=False)
    return encoder


def export_embedded(path: str | Path, folder: Path = MODEL_FOLDER) -> Path:
    """Write the embedded model as an ordinary model folder and return its path.

    ``sentence_transformers.CrossEncoder(path)`` and ``transformers`` load it; it is a start for
    fine-tuning (``examples/train_reranker.py train ... --base PATH``). About 91 MB, fp32.

    Raises:
        ConfigurationError: `path` exists and is not an empty folder.
        ModelLoadError: The model's files are not there or not readable.
    """
    target = Path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigurationError(
            f"{target} exists and is not empty; name a new folder, or remove this one first."
        )
    encoder = load_embedded_cross_encoder(folder=folder)
    encoder.save_pretrained(str(target), create_model_card=False)
    if MODEL_CARD.exists():
        shutil.copyfile(MODEL_CARD, target / "README.md")
    return target


def pack_model(source: str | Path, folder: str | Path) -> Path:
    """Write the trained cross-encoder in `source` in the embedded form and return its folder.

    Args:
        source: A model folder with one label and the architecture of BERT, such as
            ``examples/train_reranker.py`` writes.
        folder: Where the int8 weights, the configuration and the tokenizer go.
    """
    from safetensors.torch import save_file
    from tokenizers import Tokenizer
    from transformers import BertForSequenceClassification

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    model = BertForSequenceClassification.from_pretrained(source, dtype=torch.float32)
    save_file(quantise(model.state_dict()), target / WEIGHTS_FILE, metadata={"format": "pt"})
    model.config.save_pretrained(target)
    tokenizer = Tokenizer.from_file(str(Path(source) / "tokenizer.json"))
    # The base's file fixes the length at 128; whoever encodes chooses truncation and padding.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.save(str(target / "tokenizer.json"), pretty=False)
    settings = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": 512,
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }
    (target / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    return target
