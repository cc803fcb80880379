"""The settings of a reranker, checked as they are given, and the scorer that they lead to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from langchain_rerank.checks import (
    check_flag,
    check_seconds,
    check_threshold,
    check_top_n,
    device_name,
    dtype_name,
    listed,
    shown,
    whole_number,
)
from langchain_rerank.duplicates import Deduplicate
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.fields import CheckedAssignment, Count, Real
from langchain_rerank.resolving import LOAD_SETTINGS, ModelLike, ScorerUser, SharedScorer
from langchain_rerank.scorers.contract import ClosedOnExit, Scorer
from langchain_rerank.scorers.cross_encoder import DEFAULT_MODEL
from langchain_rerank.scorers.prompt import RerankPrompt


def _length(value: object) -> object:
    if value is None or (isinstance(value, str) and value == "model"):
        return value
    return whole_number(value, "max_length", otherwise=", or 'model'")


def _calibration_texts(value: Any) -> list[Any] | None:
    return None if value is None else listed(value, "calibration_texts", "texts")


def _names(value: object) -> object:
    if isinstance(value, str):
        raise ConfigurationError(f"metadata_fields must be a list of names: [{shown(value)}].")
    return value


def _timeout(value: object) -> float | None:
    return None if value is None else check_seconds("timeout", value)


def _trust(value: object) -> bool:
    return check_flag(value, "trust_remote_code")


# By name, and not with the types: a subclass with a default of its own states the type again.
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "device": device_name,
    "dtype": dtype_name,
    "max_length": _length,
    "trust_remote_code": _trust,
    "calibration_texts": _calibration_texts,
    "top_n": check_top_n,
    "score_threshold": check_threshold,
    "metadata_fields": _names,
    "timeout": _timeout,
}


class RerankSettings(CheckedAssignment, ClosedOnExit):
    """The settings that a reranker has, and the scorer that they lead to."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        protected_namespaces=(),
        validate_default=True,
    )

    model: ModelLike = DEFAULT_MODEL
    """A hub name or local path ("embedded" names the small model that ships with the package), a
    `sentence_transformers.CrossEncoder`, a `langchain_core` `BaseCrossEncoder`, or any scorer.
    Loaded on first use and shared between objects with the same load settings."""
    device: str = "auto"
    """"auto" (a GPU where there is one, else the CPU) or a torch device such as "cuda:1"."""
    dtype: str = "auto"
    """"auto" (half precision where the hardware is fast at it), "float32" (the reference scores),
    "bfloat16", "float16", or "int8" (on CPUs, faster and not exact; extra `int8`)."""
    backend: str = "torch"
    """"torch", or "openvino" to compute on the CPU with OpenVINO (extra `openvino`)."""
    max_length: int | Literal["model"] | None = None
    """Tokens of query and document together; None is 512 or the model's limit if that is lower,
    "model" is the model's limit."""
    max_batch_tokens: Count | None = None
    """The most tokens of one batch, for a GPU that is shared with a language model, say; None takes
    what the device has memory for."""
    trust_remote_code: bool = False
    """Whether code that comes with a model may run."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    model_kwargs: dict[str, Any] | None = Field(default=None, repr=False)  # may hold a token
    """Further arguments for loading the model in transformers."""
    instruction: str | None = None
    """What the model is told to look for, for models that take an instruction (Qwen3)."""
    prompt: RerankPrompt | None = None
    """How the model is asked and which token answers, where its files do not say so."""
    calibration_texts: list[str] | None = None
    """For `dtype="int8"`: texts such as the model will read, some dozens of them."""

    top_n: int | None = 5
    """How many documents to return; None returns all."""
    score_threshold: float | None = None
    """The lowest relevance score that is returned (inclusive); None returns any."""
    metadata_fields: list[str] = Field(default_factory=list)
    """Metadata (a title, say) put before the text that is scored, where a document has it."""
    deduplicate: Deduplicate = "id"
    """Keep the first of documents with equal "id" (those without one: equal text and metadata) or
    equal "text", or all ("off")."""
    id_key: str | None = None
    """The metadata that tells documents apart for `deduplicate="id"`, in place of their ids; those
    without it are told apart by their ids."""
    first_stage_weight: Real = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the first stage in the order, 0 (the reranker alone) to 1: z-scores of both within
    the candidates; of a hybrid with a `DenseRetriever` the scores of that one, and reciprocal ranks
    where the first stage gives no scores that fit its order. `relevance_score` stays the
    reranker's; the mixture stands in `interpolated_score`."""
    max_candidates: Count = 1000
    """More candidates than this are an error: nobody reranks a corpus by accident."""
    on_error: Literal["raise", "first_stage"] = "raise"
    """What to do when the scorer fails: raise, or return the first stage's order (and say so in the
    log; the documents then have no `relevance_score`)."""
    timeout: float | None = None
    """Seconds that scoring the candidates of a query may take, loading the model on first use
    included; None is without limit. After that it is a `ScorerTimeoutError`, which `on_error` may
    forgive: work that waits is cancelled, a running batch ends and its scores are dropped."""

    _resolved: SharedScorer | None = PrivateAttr(default=None)
    _user: ScorerUser = PrivateAttr(default_factory=ScorerUser)

    @field_validator(*_CHECKS, mode="before")
    @classmethod
    def _check_setting(cls, value: object, info: ValidationInfo) -> object:
        return _CHECKS[str(info.field_name)](value)

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        _ = self.scorer  # what is impossible is refused here, not at the first query
        if self.id_key is not None and self.deduplicate != "id":
            raise ConfigurationError(
                f"id_key={self.id_key!r} says which documents deduplicate='id' takes for the same, "
                f"and deduplicate={self.deduplicate!r} asks for no id. Leave one of them out."
            )
        return self

    @property
    def scorer(self) -> Scorer:
        """The scorer behind `model`. Reading it loads nothing."""
        settings = {name: getattr(self, name) for name in LOAD_SETTINGS}
        # The settings are compared, not trusted: `model_copy(update=...)` carries private state on.
        if self._resolved is None or not self._resolved.is_for(self.model, settings):
            self._resolved = SharedScorer(self.model, settings)
        return self._resolved.used_by(self._user)

    def close(self) -> None:
        """Release the model, and GPU memory with it, once nobody else shares it.

        A scorer or a `CrossEncoder` that was passed in stays open: it belongs to its owner. Using
        the object again loads the model again.
        """
        resolved, self._resolved = self._resolved, None
        if resolved is not None:
            resolved.left_by(self._user)

    def __copy__(self) -> Self:
        copied = super().__copy__()
        user = ScorerUser()
        copied._user = user  # noqa: SLF001 - of this class
        if self._resolved is not None:
            self._resolved.used_by(user)
        return copied
