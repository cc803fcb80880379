"""The forward pass through OpenVINO, for CPUs: compiled once per model and kept on disk.

Only the base model is converted. Pooling and head stay in torch and in float32, as on the other
paths, so that 16 bits cost near scores as little as there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_rerank.errors import ScorerError
from langchain_rerank.locks import ProcessLock
from langchain_rerank.optional import version_of
from langchain_rerank.scorers.engine.forward import kept_models
from langchain_rerank.scorers.engine.forward.arrays import pack, pad
from langchain_rerank.scorers.engine.forward.heads import Head, ReadOut, pool_padded
from langchain_rerank.scorers.engine.forward.int8 import rounded
from langchain_rerank.scorers.engine.forward.model_edits import FirstTokens
from langchain_rerank.scorers.engine.forward.openvino_package import openvino
from langchain_rerank.scorers.engine.forward.passes import Collect, activated, fetch
from langchain_rerank.scorers.engine.tokens.pairs import Pair
from langchain_rerank.user_cache import cache_folder

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}
_FORMAT = 2  # of what is kept; another number makes everything anew

# Two models traced at once name each other's parts, and neither is converted.
_converting = ProcessLock()


class OpenVinoForward:
    """Runs the base model over rows padded to the longest, in OpenVINO.

    Args:
        read: How to read scores off the model, in float32; its base model is not kept.
        activation: What turns logits into scores.
        dtype: The precision to compute in.
        padding: The id to fill rows up with.
        longest: Tokens of the longest pair.
        calibration: Pairs that show the ranges of activations; the model is rounded to int8 where
            there are any, and what cannot be is computed in `dtype`.
    """

    name = "openvino"
    padded = True

    def __init__(
        self,
        read: ReadOut,
        activation: Any,
        dtype: torch.dtype,
        *,
        padding: int,
        longest: int,
        calibration: Sequence[Pair] = (),
    ) -> None:
        import torch

        self.activation, self.device = activation, torch.device("cpu")
        self.dtype = torch.int8 if calibration else dtype
        self.head = Head(read)
        self._pooling, self._token_types = read.pooling, read.token_types
        self._not_last = read.not_last
        self._padding, self._longest = padding, longest
        if read.last_layer:
            FirstTokens(read.last_layer)
        inputs = [self._arrays([pair]) for pair in calibration]
        self._folder = cache_folder("openvino") / _key(read, inputs)
        model = _kept_or_converted(self._folder, read, padding, longest, inputs)
        self._compiled = _compile(model, dtype)

    def launch(self, pairs: Sequence[Pair]) -> Collect:
        """Start computing `pairs`."""
        arrays = self._arrays(pairs)
        request = self._compiled.create_infer_request()
        request.start_async(arrays, share_inputs=True)

        def collect() -> list[float]:
            import torch

            request.wait()
            hidden = torch.from_numpy(request.get_output_tensor().data)
            lengths = torch.from_numpy(arrays[1].sum(1))
            with torch.inference_mode():
                logits = self.head(pool_padded(hidden, lengths, self._pooling))
                return fetch(activated(self.activation, logits))()

        return collect

    def forget(self) -> None:
        """Remove what was kept on disk for later loads."""
        kept_models.remove(self._folder)

    def _arrays(self, pairs: Sequence[Pair]) -> list[NDArray[np.int64]]:
        """Return the ids, the mask and, where the model reads them, the token types."""
        batch = pack(pairs, not_last=self._not_last)
        arrays = pad(batch, self._padding, few_sizes=self._longest)
        return list(arrays if self._token_types else arrays[:2])


def _compile(model: Any, dtype: torch.dtype) -> Any:
    """Return `model` compiled for this CPU, with as many threads as torch has."""
    import torch

    settings = {
        "INFERENCE_PRECISION_HINT": _PRECISIONS[str(dtype).removeprefix("torch.")],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        # Several models or processes would be pinned to the same first cores.
        "ENABLE_CPU_PINNING": False,
    }
    return openvino().Core().compile_model(model, "CPU", settings)


def _kept_or_converted(
    folder: Path,
    read: ReadOut,
    padding: int,
    longest: int,
    inputs: Sequence[Sequence[NDArray[np.int64]]],
) -> Any:
    """Return the base model in OpenVINO's form, from disk where it is there and whole.

    Args:
        folder: Where it is kept.
        read: The model.
        padding: The id to fill rows up with.
        longest: Tokens of the longest pair.
        inputs: What the ranges of int8 are taken from; empty for no rounding.
    """
    kept = kept_models.read(folder)
    if kept is None:
        with kept_models.one_at_a_time(folder):
            kept = kept_models.read(folder)  # Who was first has made it meanwhile.
            if kept is None:
                converted = _converted(read, padding, longest)
                if inputs:
                    logger.warning(
                        "%s is rounded to int8: that takes a minute or more, once.",
                        type(read.base).__name__,
                    )
                    converted = rounded(converted, inputs)
                kept = kept_models.keep(converted, folder)
                if kept is None:
                    return converted  # which shares torch's weights
    read.base.to("meta")  # Its weights come from the file now, once.
    return kept


def _key(read: ReadOut, inputs: Sequence[Sequence[NDArray[np.int64]]]) -> str:
    """Return what tells one conversion from all others: the weights, and what reads them."""
    import torch
    import transformers

    about = {
        "format": _FORMAT,
        "openvino": openvino().__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "class": type(read.base).__name__,
        "token_types": read.token_types,
        "config": read.base.config.to_dict() | {"_name_or_path": ""},
        "nncf": version_of("nncf") if inputs else None,
    }
    digest = hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode())
    for name, tensor in [*read.base.named_parameters(), *read.base.named_buffers()]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().numpy())
    for array in (one for row in inputs for one in row):
        digest.update(f"{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:32]


def _converted(read: ReadOut, padding: int, longest: int) -> Any:
    """Return the base model converted, and proven to compute the same at other shapes.

    Raises:
        ScorerError: It computes something else.
    """
    import torch

    class HiddenStates(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base = read.base

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any = None) -> Any:
            inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
            if token_type_ids is not None:
                inputs["token_type_ids"] = token_type_ids
            return self.base(**inputs).last_hidden_state

    module = HiddenStates().eval()
    # Tracing reads every attribute of the model, and this one warns unless it is set.
    read.base.loss_function = None
    logger.info("Converting %s to OpenVINO; this is done once.", type(read.base).__name__)
    with _converting(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what tracing warns of is checked below, by its results
        model = openvino().convert_model(
            module, example_input=_example(read, padding, rows=2, tokens=min(9, longest))
        )
    compiled = _compile(model, torch.float32)
    # Tracing writes down what happened at one shape: a mask left out there stays out for ever.
    for rows, tokens in ((3, min(40, longest)), (2, min(400, longest))):
        example = _example(read, padding, rows=rows, tokens=tokens)
        with torch.inference_mode():
            expected = module(**example)
        found = torch.from_numpy(compiled([array.numpy() for array in example.values()])[0])
        real = example["attention_mask"].bool()[:, : found.shape[1]]  # maybe first tokens alone
        difference = float((found - expected)[real].abs().max())
        scale = max(1.0, float(expected[real].abs().max()))
        if not difference <= 1e-3 * scale:  # written so that NaN does not pass
            raise ScorerError(
                f"converted, {type(read.base).__name__} differs by {difference:.2g} in hidden "
                f"states at {rows} x {tokens} tokens"
            )
    return model


def _example(read: ReadOut, padding: int, *, rows: int, tokens: int) -> dict[str, torch.Tensor]:
    """Return inputs of the given shape; all rows but the first are padded."""
    import torch

    drawn = torch.Generator().manual_seed(0)
    vocabulary = read.base.config.vocab_size
    ids = torch.randint(vocabulary, (rows, tokens), generator=drawn)
    ids[ids == padding] = (padding + 1) % vocabulary
    lengths = torch.tensor([tokens, *[max(1, tokens // 3)] * (rows - 1)])
    mask = (torch.arange(tokens)[None, :] < lengths[:, None]).long()
    example = {"input_ids": torch.where(mask.bool(), ids, padding), "attention_mask": mask}
    if read.token_types:
        example["token_type_ids"] = mask * (torch.arange(tokens) > tokens // 4)
    return example
