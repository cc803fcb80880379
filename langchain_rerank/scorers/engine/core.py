"""One loaded model: tokeniser, forward pass and worker, each the fastest that is proven right."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from langchain_rerank.errors import ConfigurationError, ScorerClosedError, ScorerError
from langchain_rerank.scorers.base import Scores
from langchain_rerank.scorers.engine import packed
from langchain_rerank.scorers.engine.forward import (
    Forward,
    ModulesForward,
    PackedForward,
    PaddedForward,
)
from langchain_rerank.scorers.engine.heads import read_out
from langchain_rerank.scorers.engine.loading import LoadSettings, load_cross_encoder
from langchain_rerank.scorers.engine.memory import TokenBudget, initial_budget
from langchain_rerank.scorers.engine.openvino import OpenVinoForward
from langchain_rerank.scorers.engine.templates import PROBES, choose_tokenizer
from langchain_rerank.scorers.engine.view import view_of
from langchain_rerank.scorers.engine.worker import Tokenize, Worker

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder

logger = logging.getLogger(__name__)

DEFAULT_MAX_LENGTH = 512


class Engine:
    """A loaded model; `submit` is safe to call from any thread.

    Attributes:
        name: The model's name.
        device: Where it computes, such as "cuda:0".
        dtype: In which precision, such as "bfloat16".
        path: How: "packed", "padded", "openvino" or "modules" (sentence-transformers' own forward).
        max_length: Tokens of a pair.
        budget: Tokens of a batch.
    """

    def __init__(self, settings: LoadSettings) -> None:
        model, device, dtype = load_cross_encoder(settings)
        self.name = settings.name
        self.device = str(device)
        self.dtype = str(dtype).removeprefix("torch.")
        self.max_length = effective_max_length(model, settings)
        tokenize = choose_tokenizer(model, self.max_length)
        forward = choose_forward(
            model, tokenize, device, dtype, settings.name, openvino=settings.backend == "openvino"
        )
        self.path = forward.name
        if self.path == "openvino" and isinstance(settings.model, str):
            model.to("meta")  # OpenVINO has the weights now; nobody needs them twice.
        bytes_per_value = 4 if self.dtype == "float32" else 2
        self.budget = TokenBudget(initial_budget(device, model.config, bytes_per_value))
        self._worker: Worker | None = Worker(tokenize, forward, self.budget, name=settings.name)

    def submit(self, query: str, texts: Sequence[str], instruction: str | None) -> Future[Scores]:
        """Return the future scores of `texts`; waits while too many texts wait.

        Raises:
            ScorerClosedError: The engine is closed.
        """
        return self._open_worker().submit(query, texts, instruction)

    def try_submit(
        self, query: str, texts: Sequence[str], instruction: str | None
    ) -> Future[Scores] | None:
        """Like `submit`, but return None rather than wait.

        Raises:
            ScorerClosedError: The engine is closed.
        """
        return self._open_worker().try_submit(query, texts, instruction)

    @property
    def alive(self) -> bool:
        """Whether it still answers: not in a forked process, whose threads are gone."""
        return self._worker is not None and self._worker.alive

    def close(self) -> None:
        """Answer everyone who waits, let the current batch end, and free the device's memory."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.close()
        worker.join()
        del worker
        if self.device.startswith("cuda"):
            import torch

            gc.collect()  # The model's modules refer to each other.
            torch.cuda.empty_cache()

    def _open_worker(self) -> Worker:
        worker = self._worker
        if worker is None:
            raise ScorerClosedError(f"The model {self.name} was closed; use the scorer again.")
        return worker


def effective_max_length(model: CrossEncoder, settings: LoadSettings) -> int:
    """Return the tokens of a pair: what was asked for, or 512, within the model's limit.

    Raises:
        ConfigurationError: More was asked for than the model can read.
    """
    limit = _limit(model)
    if settings.max_length is None:
        return min(DEFAULT_MAX_LENGTH, limit)
    if settings.max_length > limit:
        raise ConfigurationError(
            f"max_length={settings.max_length}, but {settings.name} reads at most {limit} tokens; "
            f"lower max_length, or split long texts into passages."
        )
    return settings.max_length


def _limit(model: CrossEncoder) -> int:
    """Return how many tokens the model's tokeniser and position embeddings allow."""
    import torch

    limits = [model.max_seq_length or DEFAULT_MAX_LENGTH]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            # RoBERTa and its kin leave out the positions up to their padding token's.
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            limits.append(module.num_embeddings - unused)
    return min(limits)


def choose_forward(
    model: CrossEncoder,
    tokenize: Tokenize,
    device: torch.device,
    dtype: torch.dtype,
    name: str,
    *,
    openvino: bool = False,
) -> Forward:
    """Return the fastest forward pass whose logits agree with sentence-transformers' own.

    Every candidate computes a few probe pairs in one batch; one that differs is left out with a
    warning, since packed attention relies on parts of transformers that are no stable interface.
    """
    import torch

    logits = torch.nn.Identity()  # A sigmoid would hide differences far from zero.
    reference: Forward = ModulesForward(model, logits)
    pairs = [pair for query, texts in PROBES for pair in tokenize(query, texts, None)]
    expected = reference.launch(pairs)()
    # bfloat16 differs in the third digit between any two kernels; a wrong mask in the first.
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    tolerance *= max(1.0, *(abs(logit) for logit in expected))
    chosen, reasons = reference, []
    builds = (_packed_sharing_prefixes, _packed, _padded)
    for build in (_openvino, *builds) if openvino else builds:
        path = build.__name__.replace("_", " ").strip()
        try:
            forward = build(model, logits, device, dtype)
            if forward is None:
                continue
            found = forward.launch(pairs)()
        except Exception as error:  # noqa: BLE001  # any failure means: take the next path
            reasons.append(f"{path}: {type(error).__name__}: {error}")
            continue
        difference = max(abs(a - b) for a, b in zip(found, expected, strict=True))
        if difference <= tolerance:
            chosen = forward
            break
        reasons.append(f"{path}: logits differ by {difference:.2g} on probe texts")
    if reasons:
        logger.warning(
            "%s takes a slower forward pass (%s): %s", name, chosen.name, "; ".join(reasons)
        )
    chosen.activation = model.activation_fn
    return chosen


def _openvino(
    model: CrossEncoder, activation: Any, device: torch.device, dtype: torch.dtype
) -> Forward | None:
    import torch

    view, read = _view_and_read_out(model, device, torch.float32)
    if read is None:
        raise ScorerError(f"{type(model.transformers_model).__name__} is not a known architecture")
    if read.packable:
        # The other kinds of attention give NaN where a window holds nothing but padding.
        view.set_attn_implementation("eager")
    padding = model.tokenizer.pad_token_id or 0
    longest = min(DEFAULT_MAX_LENGTH, _limit(model))
    return OpenVinoForward(read, activation, dtype, padding=padding, longest=longest)


def _packed_sharing_prefixes(
    model: CrossEncoder, activation: Any, device: torch.device, dtype: torch.dtype
) -> Forward | None:
    if not packed.is_causal(model):
        return None
    return _packed(model, activation, device, dtype, share_prefixes=True)


def _packed(
    model: CrossEncoder,
    activation: Any,
    device: torch.device,
    dtype: torch.dtype,
    *,
    share_prefixes: bool = False,
) -> Forward | None:
    if not packed.has_kernel(device, dtype):
        return None
    view, read = _view_and_read_out(model, device, dtype)
    if read is None or not read.packable:
        return None
    return PackedForward(view, read, activation, device, share_prefixes=share_prefixes)


def _padded(
    model: CrossEncoder, activation: Any, device: torch.device, dtype: torch.dtype
) -> Forward | None:
    _, read = _view_and_read_out(model, device, dtype)
    if read is None:
        return None
    padding = model.tokenizer.pad_token_id or 0
    return PaddedForward(read, activation, device, padding=padding)


def _view_and_read_out(model: CrossEncoder, device: torch.device, dtype: torch.dtype) -> Any:
    modules = list(model)
    score = modules[1] if len(modules) == 2 and hasattr(modules[1], "true_token_id") else None
    if (len(modules) > 1 and score is None) or model.transformers_model is None:
        return None, None
    view = view_of(model.transformers_model, device, dtype)
    read = read_out(view, score)
    if read is not None:
        for module in read.head_modules:
            for parameter in module.parameters():
                parameter.data = parameter.data.float()
    return view, read
