"""The local cross-encoder as a scorer."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers import deadline
from langchain_rerank.scorers.contract import Request, Scores, check_request
from langchain_rerank.scorers.engine import registry
from langchain_rerank.scorers.engine.device import DTYPES, choose_device, choose_dtype
from langchain_rerank.scorers.engine.settings import BACKENDS, EMBEDDED, LoadSettings
from langchain_rerank.scorers.prompt import RerankPrompt

if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Self

    import sentence_transformers

    from langchain_rerank.scorers.engine.engine import Engine

DEFAULT_MODEL = "BAAI/bge-reranker-large"

# Guards a few assignments of every scorer; one per scorer would break deepcopy and pickle.
_lock = threading.Lock()


class CrossEncoderScorer:
    """Scores texts with a cross-encoder on this machine.

    Cheap to construct: the model loads on first use, or with `load`. Scorers with the same load
    settings (everything but `instruction`) share one loaded model, and calls that wait at the same
    time share its batches. A score is the number that `sentence_transformers.CrossEncoder.predict`
    gives, within 1e-5 with `dtype="float32"`, except that a text or query beyond `max_length` is
    cut differently: only the text is cut, and a query to at most half of `max_length`.

    `close` gives the model back: when the last scorer that uses it closes, it is unloaded and its
    GPU memory is freed; requests still waiting are answered with `ScorerClosedError`. A closed
    scorer loads again on its next use. A scorer that is merely forgotten leaves the model loaded
    for the next one with the same settings.

    Args:
        model: A model on the Hugging Face hub, a local folder, "embedded" for the small model that
            ships with this package, or a loaded `sentence_transformers.CrossEncoder` (which is left
            as it is: the scorer computes on a view of its weights).
        device: "auto" takes CUDA, else MPS, else the CPU; or a torch device such as "cuda:1".
        dtype: "auto" is bfloat16 where the device has it in hardware (else float16 on GPUs, float32
            on CPUs); "float32" gives reference scores; also "bfloat16" and "float16".
        backend: "torch", or "openvino" to compute on the CPU with OpenVINO (extra `openvino`): the
            model is converted on first use and kept in the user's cache folder.
        max_length: Tokens a pair may have; None is 512, or the model's limit where that is lower;
            "model" is the model's limit.
        instruction: What sentence-transformers calls the prompt: the system message of a model with
            a chat template, else put in front of the query. None is the model's own default.
        prompt: How the model is asked, where its files do not say so: see `RerankPrompt`.
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Run code that comes with the model.
        model_kwargs: Further arguments for `transformers`' `from_pretrained`.

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
        instruction: str | None = None,
        prompt: RerankPrompt | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if dtype not in DTYPES:
            raise ConfigurationError(f"dtype={dtype!r} is unknown; use one of {', '.join(DTYPES)}.")
        if backend not in BACKENDS:
            raise ConfigurationError(
                f"backend={backend!r} is unknown; use one of {', '.join(BACKENDS)}."
            )
        if backend == "openvino" and (device not in {"auto", "cpu"} or dtype == "float16"):
            raise ConfigurationError(
                f"backend='openvino' computes on the CPU in float32 or bfloat16, but device="
                f"{device!r} and dtype={dtype!r} were asked for; leave them out, or the backend."
            )
        if isinstance(max_length, str) and max_length != "model":
            raise ConfigurationError(f"max_length={max_length!r} is no number, nor 'model'.")
        if isinstance(max_length, int) and max_length < 16:
            raise ConfigurationError(
                f"max_length={max_length} leaves no room for a query and a text; use 16 or more."
            )
        if (model == EMBEDDED or not isinstance(model, str | os.PathLike)) and (
            revision or trust_remote_code or model_kwargs or prompt
        ):
            raise ConfigurationError(
                "revision, trust_remote_code, model_kwargs and prompt are for models that are "
                "loaded from the hub or a folder; leave them out for model='embedded' or a loaded "
                "model."
            )
        for key, setting in (
            ("dtype", "dtype"),
            ("torch_dtype", "dtype"),
            ("device_map", "device"),
        ):
            if key in (model_kwargs or {}):
                raise ConfigurationError(
                    f"model_kwargs has {key!r}; set it with the scorer's {setting}= instead."
                )
        self.instruction = instruction
        self.settings = LoadSettings(
            model=os.fspath(model) if isinstance(model, str | os.PathLike) else model,
            device="cpu" if backend == "openvino" else device,
            dtype=dtype,
            backend=backend,
            max_length=max_length,
            revision=revision,
            trust_remote_code=trust_remote_code,
            prompt=prompt,
            model_kwargs=dict(model_kwargs or {}),
        )
        self._engine: Engine | None = None
        self._key: registry.Key | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    @property
    def name(self) -> str:
        """The model's name, for traces and reports."""
        return self.settings.name

    @property
    def identity(self) -> dict[str, Any] | None:
        """Everything that changes the scores, as JSON data; None for a model object passed in.

        A hub model without `revision` is known by its name alone, a local folder by its files:
        those that were loaded, or before loading those that are there.
        """
        settings, key = self.settings, self._key
        if not isinstance(settings.model, str):
            return None
        return {
            "model": key.content if key else registry.content_of(settings),
            "revision": settings.revision,
            "dtype": self._chosen_dtype,
            "backend": settings.backend,
            "max_length": settings.max_length,
            "instruction": self.instruction,
            "prompt": None if settings.prompt is None else asdict(settings.prompt),
            "model_kwargs": repr(settings.model_kwargs),
        }

    @cached_property
    def _chosen_dtype(self) -> str:
        dtype = choose_dtype(self.settings.dtype, choose_device(self.settings.device))
        return str(dtype).removeprefix("torch.")

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
        return engine.max_length if engine else self.settings.max_length

    def load(self) -> None:
        """Load the model now rather than on first use.

        Raises:
            ConfigurationError: The device is not there.
            MissingExtraError: The backend is not installed.
            ModelLoadError: There is no such model, or it is not a cross-encoder.
            ScorerOutOfMemoryError: It does not fit in memory.
        """
        self._loaded_engine()

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return one relevance score per text, in order; higher is better.

        Args:
            query: What the texts are judged against.
            texts: `(n,)` texts; `n` may be 0, which gives `[]` without loading the model.

        Raises:
            InputTypeError: The query or a text is not a string.
            ScorerError: The model could not be loaded or could not score.
        """
        return self.score_many([(query, texts)])[0]

    async def ascore(self, query: str, texts: Sequence[str]) -> Scores:
        """Like `score`, without blocking the event loop; cancelling drops waiting work."""
        texts = check_request(query, texts)
        if not texts:
            return Scores()
        engine = self._engine
        if engine is None or not engine.alive:
            engine = await asyncio.to_thread(self._loaded_engine)
        while (future := engine.try_submit(query, texts, self.instruction)) is None:
            await asyncio.sleep(0.01)  # Only when the queue is full, which takes 200,000 texts.
        return await asyncio.wrap_future(future)

    def score_many(self, requests: Sequence[Request]) -> list[Scores]:
        """Return the scores of each request, in order, with batches shared between requests.

        Args:
            requests: `(m,)` pairs of a query and its texts.

        Raises:
            InputTypeError: A query or a text is not a string.
            ScorerError: The model could not be loaded or could not score.
        """
        requests = [(query, check_request(query, texts)) for query, texts in requests]
        if not any(texts for _, texts in requests):
            return [Scores() for _ in requests]
        engine = self._loaded_engine()
        waiting: list[Future[Scores] | None] = [
            engine.submit(query, texts, self.instruction) if texts else None
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
        if key := self._forget():
            registry.release(key)

    def _forget(self) -> registry.Key | None:
        """Drop the engine and return what to give back, if there was one."""
        with _lock:
            finalizer, self._finalizer = self._finalizer, None
            key, self._key, self._engine = self._key, None, None
        return key if finalizer is not None and finalizer.detach() is not None else None

    def _loaded_engine(self) -> Engine:
        engine = self._engine
        if engine is not None:
            if engine.alive:
                return engine
            if key := self._forget():
                registry.release(key, keep=True)
        engine, key = registry.acquire(self.settings)
        with _lock:
            if self._engine is None:
                self._engine, self._key = engine, key
                self._finalizer = weakref.finalize(
                    self, registry.release, key, keep=isinstance(self.settings.model, str)
                )
                self._finalizer.atexit = False
                return engine
        registry.release(key, keep=True)  # Another thread was first.
        return engine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # A copy shares the model through the registry; it holds no thread and no weights itself.
        return {"instruction": self.instruction, "settings": self.settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _engine=None, _key=None, _finalizer=None)

    def __deepcopy__(self, memo: dict[int, Any]) -> CrossEncoderScorer:
        copied = object.__new__(type(self))
        copied.__setstate__(self.__getstate__())
        return copied

    def __repr__(self) -> str:
        return f"CrossEncoderScorer({self.name!r}, device={self.device!r}, dtype={self.dtype!r})"
