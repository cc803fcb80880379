"""The local cross-encoder as a scorer."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_rerank.checks import device_name, dtype_name, listed, whole_number
from langchain_rerank.errors import ScorerClosedError
from langchain_rerank.locks import ProcessLock
from langchain_rerank.scorers import deadline
from langchain_rerank.scorers.batching import BatchScorer
from langchain_rerank.scorers.contract import Request, Scores, check_request
from langchain_rerank.scorers.engine import registry
from langchain_rerank.scorers.engine.device import precision
from langchain_rerank.scorers.engine.metrics import Metrics
from langchain_rerank.scorers.engine.model_files import content_of
from langchain_rerank.scorers.engine.settings import (
    INT8,
    LoadSettings,
    Reading,
    check_load_settings,
)
from langchain_rerank.scorers.prompt import RerankPrompt

if TYPE_CHECKING:
    from concurrent.futures import Future

    import sentence_transformers

    from langchain_rerank.scorers.engine.engine import Engine

DEFAULT_MODEL = "BAAI/bge-reranker-large"

# Guards a few assignments of every scorer; one per scorer would break deepcopy and pickle.
_lock = ProcessLock()


class _Held(NamedTuple):
    """The engine that a scorer uses, whose it is, and what notices that the scorer is forgotten."""

    engine: Engine
    entry: registry.Entry
    finalizer: weakref.finalize[..., Any]


class CrossEncoderScorer(BatchScorer):
    """Scores texts with a cross-encoder on this machine.

    Cheap to construct: the model loads on first use, or with `load`. Scorers of the same files, or
    of the same `CrossEncoder`, with the same device and precision share one loaded model, whatever
    their `max_length`, `instruction` and `max_batch_tokens`, and calls that wait at the same time
    share its batches. A score is the number that `sentence_transformers.CrossEncoder.predict`
    gives at this `max_length`: within 1e-5 in float32, within what `predict` itself moves in 16
    bits; every load proves it on probe texts. A query longer than half of `max_length` is cut to
    that; of other pairs that are too long the text is cut.

    `close` gives the model back: when the last scorer that uses it closes, it is unloaded and its
    GPU memory is freed; requests still waiting are answered with `ScorerClosedError`. A closed
    scorer loads again on its next use. A scorer that is merely forgotten leaves the model loaded
    for the next one, until `unload_idle`; on a `CrossEncoder` that was passed in, until that is
    forgotten too.

    Args:
        model: A model on the Hugging Face hub, a local folder, "embedded" for the small model that
            ships with this package, or a loaded `sentence_transformers.CrossEncoder` (which is left
            as it is: the scorer computes on a view of its weights, and follows what is done to
            them and to its activation).
        device: "auto" takes CUDA, else MPS, else the CPU (of a loaded model its own device); or a
            torch device such as "cuda:1".
        dtype: "auto" is, of a loaded model, its own precision; else bfloat16 where the device has
            it in hardware (else float16 on GPUs, float32 on CPUs); "float32" gives reference
            scores; also "bfloat16" and "float16". "int8" (extra `int8`) rounds a model on the CPU
            by OpenVINO, once, which is kept: faster, and close to the model's scores, not equal; a
            model whose order suffers is not rounded, with one warning.
        backend: "torch", or "openvino" to compute on the CPU with OpenVINO (extra `openvino`): the
            model is converted on first use and kept in the user's cache folder.
        max_length: Tokens a pair may have; None is 512, or less where the model or its files say
            so; "model" is the model's limit.
        max_batch_tokens: The most tokens that are computed in one batch, for a GPU that is shared
            with a language model, say; None takes what the device has memory for.
        instruction: What sentence-transformers calls the prompt: the system message of a model with
            a chat template, else put in front of the query. None is the model's own default.
        prompt: How the model is asked, where its files do not say so: see `RerankPrompt`.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run code that comes with the model.
        model_kwargs: Further arguments for `transformers`' `from_pretrained`.
        calibration_texts: For `dtype="int8"`: texts such as the model will read, some dozens of
            them, from which the ranges of its numbers are taken; None takes the guides that ship
            with this package, in English.

    Raises:
        ConfigurationError: An impossible setting.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | sentence_transformers.CrossEncoder = DEFAULT_MODEL,
        *,
        device: str = "auto",
        dtype: str = "auto",
        backend: str = "torch",
        max_length: int | Literal["model"] | None = None,
        max_batch_tokens: int | None = None,
        instruction: str | None = None,
        prompt: RerankPrompt | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        calibration_texts: Sequence[str] | None = None,
    ) -> None:
        device, dtype = device_name(device), dtype_name(dtype)
        if calibration_texts is not None:
            calibration_texts = listed(calibration_texts, "calibration_texts", "texts")
        if not isinstance(max_length, str | None):
            room = ", with room for a query and a text; or 'model'"
            max_length = whole_number(max_length, "max_length", least=16, otherwise=room)
        if max_batch_tokens is not None:
            some = "; use some thousands"
            max_batch_tokens = whole_number(max_batch_tokens, "max_batch_tokens", otherwise=some)
        check_load_settings(
            model,
            device=device,
            dtype=dtype,
            backend=backend,
            max_length=max_length,
            instruction=instruction,
            calibration_texts=calibration_texts,
            hub_settings={
                "revision": revision,
                "trust_remote_code": trust_remote_code,
                "model_kwargs": model_kwargs,
                "prompt": prompt,
            },
        )
        self.instruction = instruction
        self._max_length, self._max_batch_tokens = max_length, max_batch_tokens
        self.settings = LoadSettings(
            model=os.fspath(model) if isinstance(model, str | os.PathLike) else model,
            device="cpu" if backend == "openvino" or dtype == INT8 else device,
            dtype=dtype,
            backend="openvino" if dtype == INT8 else backend,
            revision=revision,
            trust_remote_code=trust_remote_code,
            prompt=prompt,
            calibration_texts=tuple(map(str, calibration_texts or ())),  # NumPy's texts too
            model_kwargs=dict(model_kwargs or {}),
        )
        self._held: _Held | None = None
        self._computed_in: str | None = None  # The precision of the model that was held last.
        self._closed = 0  # How often: who began to load before does not load for anybody.

    @property
    def name(self) -> str:
        """The model's name, for traces and reports."""
        return self.settings.name

    @property
    def identity(self) -> dict[str, Any] | None:
        """Everything that changes the scores, as JSON data; None for a model object passed in.

        A hub model without `revision` is known by its name alone, a local folder by its files:
        those that were loaded, or before loading those that are there. Likewise the precision is
        the one in use, or before loading the one to expect: int8 may be refused.
        """
        settings, held = self.settings, self._held
        if not isinstance(settings.model, str):
            return None
        return {
            "model": held.entry.key.content if held else content_of(settings),
            "revision": settings.revision,
            "dtype": self._computed_in or precision(settings.dtype, settings.device),
            "backend": settings.backend,
            "max_length": self._max_length,
            "instruction": self.instruction,
            "prompt": None if settings.prompt is None else asdict(settings.prompt),
            "model_kwargs": repr(settings.stated_kwargs),
            "calibration_texts": settings.calibration_digest,
        }

    @property
    def loaded(self) -> bool:
        """Whether this scorer holds a loaded model."""
        return self._engine is not None

    @property
    def device(self) -> str:
        """The device in use, such as "cuda:0"; before loading, the one asked for."""
        engine = self._engine
        return engine.device if engine else self.settings.device

    @property
    def dtype(self) -> str:
        """The precision in use, such as "bfloat16"; before loading, the one asked for."""
        engine = self._engine
        return engine.dtype if engine else self.settings.dtype

    @property
    def path(self) -> str | None:
        """How it computes: "packed", "padded", "openvino" or "predict"; None before loading."""
        engine = self._engine
        return engine.path if engine else None

    @property
    def max_length(self) -> int | Literal["model"] | None:
        """Tokens a pair may have; before loading, what was asked for."""
        engine = self._engine
        return engine.max_length(self._max_length) if engine else self._max_length

    def metrics(self) -> Metrics:
        """Return what the loaded model has done, for all who share it; zeros before loading."""
        engine = self._engine
        return engine.metrics() if engine else Metrics()

    def load(self) -> None:
        """Load the model now rather than on first use.

        Raises:
            ConfigurationError: The device is not there.
            MissingExtraError: The backend is not installed.
            ModelLoadError: There is no such model, or it is not a cross-encoder.
            ScorerOutOfMemoryError: It does not fit in memory.
            ScorerClosedError: The scorer was closed while the model loaded.
        """
        self._reading(self._loaded_engine())

    async def ascore(self, query: str, texts: Sequence[str]) -> Scores:
        """Like `score`, without blocking the event loop; cancelling drops waiting work."""
        texts = check_request(query, texts)
        if not texts:
            return Scores()
        engine = await self._aloaded_engine()
        reading, most = self._reading(engine), self._max_batch_tokens
        while (future := engine.try_submit(query, texts, reading, max_batch_tokens=most)) is None:
            await asyncio.sleep(0.01)  # Only when the queue is full, which takes 200,000 texts.
        return await asyncio.wrap_future(future)

    def _scored(self, requests: Sequence[Request]) -> list[Scores]:
        engine = self._loaded_engine()
        reading, most = self._reading(engine), self._max_batch_tokens
        waiting: list[Future[Scores] | None] = [
            engine.submit(query, texts, reading, max_batch_tokens=most) if texts else None
            for query, texts in requests
        ]
        try:
            return [
                deadline.result_of(future, self.name) if future else Scores() for future in waiting
            ]
        finally:
            for future in waiting:
                if future is not None:
                    future.cancel()  # Only bites where an earlier request raised, or time is up.

    def close(self) -> None:
        """Give the model back; the last scorer that does so unloads it."""
        with _lock():
            self._closed += 1
        if entry := self._forget():
            registry.release(entry)

    @property
    def _engine(self) -> Engine | None:
        held = self._held
        return held.engine if held else None

    def _reading(self, engine: Engine) -> Reading:
        return Reading(engine.max_length(self._max_length), self.instruction)

    def _forget(self) -> registry.Entry | None:
        """Drop the engine and return what to give back, if there was one."""
        with _lock():
            held, self._held = self._held, None
        return held.entry if held is not None and held.finalizer.detach() is not None else None

    def _open_engine(self) -> Engine | None:
        """Return the engine where there is one that answers; give back one that does not."""
        engine = self._engine
        if engine is None or engine.alive:
            return engine
        if entry := self._forget():
            registry.release(entry, keep=True)
        return None

    def _loaded_engine(self) -> Engine:
        if engine := self._open_engine():
            return engine
        closed = self._closed
        engine, entry = registry.acquire(self.settings)
        return self._hold(engine, entry, closed)

    async def _aloaded_engine(self) -> Engine:
        if engine := self._open_engine():
            return engine
        closed = self._closed
        engine, entry = await registry.aacquire(self.settings)
        return self._hold(engine, entry, closed)

    def _hold(self, engine: Engine, entry: registry.Entry, closed: int) -> Engine:
        """Return the engine, held by this scorer unless it was closed since `closed` times."""
        with _lock():
            if self._closed == closed and self._held is None:
                self._held = _Held(engine, entry, registry.forgotten_by(self, entry))
                self._computed_in = engine.dtype
                return engine
        if self._closed == closed:
            registry.release(entry, keep=True)  # Another thread was first.
            return engine
        registry.release(entry)
        raise ScorerClosedError(f"{self.name} was closed while it loaded; use the scorer again.")

    def __getstate__(self) -> dict[str, Any]:
        # A copy shares the model through the registry; it holds no thread and no weights itself.
        return self.__dict__ | {"_held": None, "_computed_in": None, "_closed": 0}

    def __deepcopy__(self, memo: dict[int, Any]) -> CrossEncoderScorer:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__getstate__())
        return copied

    def __repr__(self) -> str:
        return f"CrossEncoderScorer({self.name!r}, device={self.device!r}, dtype={self.dtype!r})"
