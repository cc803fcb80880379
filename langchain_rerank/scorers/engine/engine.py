"""One loaded model: tokeniser, forward pass and worker, each the fastest that is proven right."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from langchain_rerank.errors import RerankError, ScorerClosedError
from langchain_rerank.scorers.contract import Scores
from langchain_rerank.scorers.engine.forward.choice import choose_forward
from langchain_rerank.scorers.engine.loading import load_cross_encoder, preparation_failed
from langchain_rerank.scorers.engine.memory import TokenBudget, initial_budget
from langchain_rerank.scorers.engine.settings import LoadSettings, effective_max_length
from langchain_rerank.scorers.engine.tokens.templates import choose_tokenizer
from langchain_rerank.scorers.engine.worker import Worker


class Engine:
    """A loaded model; `submit` is safe to call from any thread.

    Attributes:
        name: The model's name.
        max_length: Tokens of a pair.
        budget: Tokens of a batch.
    """

    def __init__(self, settings: LoadSettings) -> None:
        if not isinstance(settings.model, str):
            # Weakly, so that a model that was passed in is kept by its owner alone.
            owned: Any = weakref.proxy(settings.model)
            settings = replace(settings, model=owned)
        try:
            self._load(settings)
        except RerankError:
            raise
        except Exception as error:  # Whatever it is: a fallback answers only a ScorerError.
            raise preparation_failed(settings, error) from error

    def _load(self, settings: LoadSettings) -> None:
        model, device, dtype = load_cross_encoder(settings)
        self.name = settings.name
        self.max_length = effective_max_length(model, settings)
        tokenize = choose_tokenizer(model, self.max_length)
        forward = choose_forward(model, tokenize, device, dtype, settings, self.max_length)
        self._forward: Any = forward
        # What is said of it once it is closed.
        self._loaded_as = SimpleNamespace(name=forward.name, device=device, dtype=dtype)
        if self.path != "predict" and isinstance(settings.model, str):
            # The forward pass has its own, prepacked or converted; nobody needs them twice.
            model.to("meta")
        bytes_per_value = 4 if self.dtype == "float32" else 2
        self.budget = TokenBudget(initial_budget(device, model.config, bytes_per_value))
        self._worker: Worker | None = Worker(tokenize, forward, self.budget, name=settings.name)

    @property
    def device(self) -> str:
        """Where it computes, such as "cuda:0"."""
        return str(self._forward.device)

    @property
    def dtype(self) -> str:
        """In which precision, such as "bfloat16"."""
        return str(self._forward.dtype).removeprefix("torch.")

    @property
    def path(self) -> str:
        """How: "packed", "padded", "openvino" or "predict" (the model's own)."""
        return str(self._forward.name)

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
        self._forward = self._loaded_as
        if self.device.startswith("cuda"):
            import torch

            gc.collect()  # The model's modules refer to each other.
            torch.cuda.empty_cache()

    def _open_worker(self) -> Worker:
        worker = self._worker
        if worker is None:
            raise ScorerClosedError(f"The model {self.name} was closed; use the scorer again.")
        return worker
