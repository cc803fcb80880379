"""One loaded model: tokeniser, forward pass and worker, each the fastest that is proven right."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Hashable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

from langchain_rerank.errors import RerankError, ScorerClosedError
from langchain_rerank.scorers.contract import Scores
from langchain_rerank.scorers.engine.device import warn_of_slow_tokenising
from langchain_rerank.scorers.engine.forward.choice import choose_forward
from langchain_rerank.scorers.engine.loading import load_cross_encoder, preparation_failed
from langchain_rerank.scorers.engine.memory import IN_FLIGHT, TokenBudget, initial_budget
from langchain_rerank.scorers.engine.metrics import Metrics
from langchain_rerank.scorers.engine.settings import (
    LoadSettings,
    Reading,
    effective_max_length,
    limits_of,
)
from langchain_rerank.scorers.engine.tokens.changes import reading_state
from langchain_rerank.scorers.engine.tokens.pairs import Pair, Tokenize
from langchain_rerank.scorers.engine.tokens.templates import choose_tokenizer
from langchain_rerank.scorers.engine.worker import Worker

# Maximum lengths whose tokenisers are kept, each with the tokens of documents that it has seen.
_MOST_TOKENIZERS = 8


class Engine:
    """A loaded model; `submit` is safe to call from any thread.

    Attributes:
        name: The model's name.
        bytes: Of the weights, in the precision in use.
        budget: Tokens that are computed at once.
    """

    def __init__(self, settings: LoadSettings) -> None:
        if not isinstance(settings.model, str):
            # Weakly, so that a model that was passed in is kept by its owner alone.
            owned: Any = weakref.proxy(settings.model)
            settings = replace(settings, model=owned)
        try:
            self._load(settings)
        except Exception as error:
            self.__dict__.clear()  # The error's traceback refers to this engine.
            if isinstance(error, RerankError):
                raise
            # Whatever it is: a fallback answers only a ScorerError.
            raise preparation_failed(settings, error) from error

    def _load(self, settings: LoadSettings) -> None:
        from torch.nn import Linear

        model, device, dtype = load_cross_encoder(settings)
        self.name = settings.name
        self._limits = limits_of(model)
        self._model: Any = model
        self._follows = not isinstance(settings.model, str)
        self._tokenizers: dict[int, Tokenize] = {}
        self._tokenizers_of: Hashable = None  # The state of the model that they are for.
        self._tokenizers_lock = threading.Lock()
        weights = sum(weight.numel() for weight in model.parameters())
        linear = sum(part.weight.numel() for part in model.modules() if isinstance(part, Linear))
        length = self.max_length(None)

        def tokenize(query: str, texts: Sequence[str], instruction: str | None) -> list[Pair]:
            return self._tokenize(query, texts, Reading(length, instruction))

        self._forward: Any = choose_forward(model, tokenize, device, dtype, settings, length)
        # What is said of it once it is closed.
        self._loaded_as = SimpleNamespace(
            name=self._forward.name, device=device, dtype=self._forward.dtype
        )
        if self.path != "predict" and isinstance(settings.model, str):
            # The forward pass has its own, prepacked or converted; nobody needs them twice.
            model.to("meta")
        bytes_per_value = self._forward.dtype.itemsize
        self.bytes = bytes_per_value * weights
        self.budget = TokenBudget(initial_budget(device, model.config, bytes_per_value, linear))
        warn_of_slow_tokenising(device)
        at_once = self.path == "predict" or (device.type == "cpu" and self.path != "openvino")
        self._worker: Worker | None = Worker(
            self._tokenize,
            self._forward,
            self.budget,
            in_flight=1 if at_once else IN_FLIGHT,
            name=settings.name,
        )

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

    def max_length(self, asked: int | Literal["model"] | None) -> int:
        """Return the tokens that a pair may have where `asked` was set.

        Raises:
            ConfigurationError: The model cannot read so many, or does not say how many it can.
        """
        return effective_max_length(self._limits, asked, self.name)

    def submit(
        self,
        query: str,
        texts: Sequence[str],
        reading: Reading,
        *,
        max_batch_tokens: int | None = None,
    ) -> Future[Scores]:
        """Return the future scores of `texts`; waits while too many texts wait.

        Raises:
            ScorerClosedError: The engine is closed.
        """
        worker = self._open_worker()
        return worker.submit(query, texts, reading, max_batch_tokens=max_batch_tokens)

    def try_submit(
        self,
        query: str,
        texts: Sequence[str],
        reading: Reading,
        *,
        max_batch_tokens: int | None = None,
    ) -> Future[Scores] | None:
        """Like `submit`, but return None rather than wait.

        Raises:
            ScorerClosedError: The engine is closed.
        """
        worker = self._open_worker()
        return worker.try_submit(query, texts, reading, max_batch_tokens=max_batch_tokens)

    @property
    def alive(self) -> bool:
        """Whether it still answers: not in a forked process, whose threads are gone."""
        worker = self._worker
        return worker is not None and worker.alive

    def metrics(self) -> Metrics:
        """Return what it has done since it was loaded; nothing once it is closed."""
        worker = self._worker
        return Metrics() if worker is None else worker.metrics()

    def stop(self) -> None:
        """Answer everyone who waits, and let the current batch end."""
        worker = self._worker
        if worker is not None:
            worker.close()
            worker.join()

    def close(self) -> None:
        """Answer everyone who waits, let the current batch end, and free the memory."""
        self.stop()
        self._worker = None
        self._forward, self._model = self._loaded_as, None
        self._tokenizers.clear()
        gc.collect()  # The model's modules refer to each other.
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()

    def _open_worker(self) -> Worker:
        worker = self._worker
        if worker is None:
            raise ScorerClosedError(f"The model {self.name} was closed; use the scorer again.")
        return worker

    def _tokenize(
        self, query: str, texts: Sequence[str], reading: Reading | None = None
    ) -> list[Pair]:
        reading = reading or Reading(self.max_length(None))
        return self._tokenizer(reading.max_length)(query, texts, reading.instruction)

    def _tokenizer(self, max_length: int) -> Tokenize:
        state = reading_state(self._model) if self._follows else None
        with self._tokenizers_lock:
            if state != self._tokenizers_of:
                self._tokenizers.clear()
                self._tokenizers_of = state
            found = self._tokenizers.get(max_length)
            if found is None:
                found = choose_tokenizer(self._model, max_length)
                if len(self._tokenizers) >= _MOST_TOKENIZERS:
                    del self._tokenizers[next(iter(self._tokenizers))]
                self._tokenizers[max_length] = found
            return found
