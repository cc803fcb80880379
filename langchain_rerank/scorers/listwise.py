"""Models that rank all texts of a query together, by code of their own."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from langchain_rerank.checks import device_name, dtype_name, is_one_of, shown
from langchain_rerank.errors import (
    ConfigurationError,
    ModelLoadError,
    ScorerContractError,
    ScorerError,
    ScorerOutOfMemoryError,
    see,
)
from langchain_rerank.locks import ProcessLock, building
from langchain_rerank.scorers.contract import ClosedOnExit, Scores, check_request, checked
from langchain_rerank.scorers.engine.device import choose_device, choose_dtype
from langchain_rerank.scorers.engine.memory import is_out_of_memory
from langchain_rerank.scorers.engine.settings import DTYPES, check_types


class ListwiseScorer(ClosedOnExit):
    """Scores the texts of a query together, with a model that offers `rerank(query, documents)`.

    The score of a text depends on the texts beside it and on their order, so scores say the order
    within one call and nothing more (`pointwise` is False): a cache refuses this scorer, a sweep
    asks it for every depth by itself, and copies of it never share a call.

    The model's own code runs, loads as `transformers.AutoModel` does, and decides how many texts
    and tokens it takes. It returns one mapping with `index` and `relevance_score` per document, in
    any order. Calls wait for one another.

    Args:
        model: A model on the Hugging Face hub or a local folder.
        device: "auto" takes CUDA, else MPS, else the CPU; or a torch device such as "cuda:1".
        dtype: "auto" is half precision where the hardware is fast at it; "float32", "bfloat16" or
            "float16".
        revision: Branch, tag or commit on the hub.
        trust_remote_code: Must be True: there is no such model without code of its own.
        model_kwargs: Further arguments for `from_pretrained`.

    Raises:
        ConfigurationError: `trust_remote_code` is False.
    """

    pointwise = False

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        device: str = "auto",
        dtype: str = "auto",
        revision: str | None = None,
        trust_remote_code: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        device, dtype = device_name(device), dtype_name(dtype)
        if not isinstance(model, str | os.PathLike):
            raise ConfigurationError(f"model={shown(model)}: give a name on the hub, or a folder.")
        if not is_one_of(dtype, DTYPES):
            raise ConfigurationError(
                f"dtype={shown(dtype)} is unknown; use one of {', '.join(DTYPES)}."
            )
        check_types(
            device=device,
            instruction=None,
            revision=revision,
            trust_remote_code=trust_remote_code,
            prompt=None,
            model_kwargs=model_kwargs,
        )
        if not trust_remote_code:
            raise ConfigurationError(
                f"A listwise model runs code of its own, and trust_remote_code is False. Read the "
                f"code of {os.fspath(model)}, then pass trust_remote_code=True."
            )
        self.name = os.fspath(model)
        self._settings: dict[str, Any] = {
            "device": device,
            "dtype": dtype,
            "revision": revision,
            "trust_remote_code": trust_remote_code,
            "model_kwargs": dict(model_kwargs or {}),
        }
        self._model: Any = None
        self._lock = ProcessLock()

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy loads the model for itself: neither a lock nor a model's own code can be copied.
        return partial(type(self), **self._settings), (self.name,)

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    def load(self) -> None:
        """Load the model now rather than on first use.

        Raises:
            ConfigurationError: The device is not there.
            ModelLoadError: There is no such model, or it offers no `rerank`.
            ScorerOutOfMemoryError: It does not fit in memory.
        """
        with self._lock():
            self._loaded()

    def score(self, query: str, texts: Sequence[str]) -> Scores:
        """Return one score per text, in order; `[]` for no texts.

        Args:
            query: What the texts are judged against.
            texts: `(n,)` texts, all of them ranked together.

        Raises:
            InputTypeError: The query or a text is not a string.
            ScorerError: The model could not be loaded or could not score.
        """
        texts = check_request(query, texts)
        if not texts:
            return Scores()
        with self._lock():
            model = self._loaded()
            try:
                answer = model.rerank(query, list(texts))
            except Exception as error:  # It may be anybody's code.
                kind = ScorerOutOfMemoryError if is_out_of_memory(error) else ScorerError
                raise kind(
                    f"{self.name} could not rank {len(texts)} texts: {type(error).__name__}: "
                    f"{error} {see('the-model-failed')}"
                ) from error
        return checked(self._in_order(answer, len(texts)), len(texts), self)

    def close(self) -> None:
        """Unload the model; the next use loads it again."""
        with self._lock():
            self._model = None

    def _in_order(self, answer: Iterable[Any], n: int) -> list[Any]:
        try:
            found = {operator.index(one["index"]): one["relevance_score"] for one in answer}
        except (TypeError, KeyError) as error:
            raise ScorerContractError(
                f"The rerank of {self.name} returned {shown(answer)}; it must return one mapping "
                f"with 'index' and 'relevance_score' per document. "
                f"{see('a-scorer-broke-its-contract')}"
            ) from error
        if found.keys() != set(range(n)):
            missing = sorted(set(range(n)) - found.keys())
            raise ScorerContractError(
                f"The rerank of {self.name} gave no score to the documents {missing[:5]} of {n}; "
                f"give it fewer at a time (first_stage_k). {see('a-scorer-broke-its-contract')}"
            )
        return [found[position] for position in range(n)]

    def _loaded(self) -> Any:
        if self._model is None:
            self._model = self._load()
        return self._model

    def _load(self) -> Any:
        import transformers

        settings = self._settings
        place = choose_device(settings["device"])
        try:
            with building():
                model: Any = transformers.AutoModel.from_pretrained(
                    self.name,
                    revision=settings["revision"],
                    trust_remote_code=True,
                    dtype=choose_dtype(settings["dtype"], place),
                    **settings["model_kwargs"],
                )
            model = model.to(place).eval()
        except Exception as error:  # A model's own code may raise anything.
            kind = ScorerOutOfMemoryError if is_out_of_memory(error) else ModelLoadError
            raise kind(
                f"Could not load the listwise model {self.name!r}: {type(error).__name__}: {error} "
                f"{see('a-model-could-not-be-loaded')}"
            ) from error
        if not callable(getattr(model, "rerank", None)):
            raise ModelLoadError(
                f"{self.name} is a {type(model).__name__} and offers no rerank(query, documents): "
                f"it is not listwise. Use CrossEncoderScorer({self.name!r}). "
                f"{see('a-model-could-not-be-loaded')}"
            )
        return model
