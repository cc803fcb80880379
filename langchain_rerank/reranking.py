"""The one implementation of reranking: settings, scoring as a traced step, ranking.

`CrossEncoderReranker` and `CrossEncoderRerankRetriever` both inherit it.
"""

from __future__ import annotations

import difflib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self, TypedDict, Unpack

from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig, RunnableLambda
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
    check_query,
    check_seconds,
    check_threshold,
    check_top_n,
    device_name,
    dtype_name,
    listed,
    real_number,
    shown,
    whole_number,
)
from langchain_rerank.documents import (
    FIRST_STAGE_RANK,
    Deduplicate,
    of_one_scale,
    rank_documents,
    ranked_copy,
    scored_text,
    unique,
)
from langchain_rerank.errors import (
    ConfigurationError,
    InputError,
    InputTypeError,
    MissingExtraError,
    RerankError,
    RerankWarning,
    ScorerError,
    see,
)
from langchain_rerank.fields import CheckedAssignment, Count
from langchain_rerank.resolving import LOAD_SETTINGS, ModelLike, ScorerUser, SharedScorer
from langchain_rerank.result import RerankResult
from langchain_rerank.scorers import contract, deadline
from langchain_rerank.scorers.contract import Scorer, Scores
from langchain_rerank.scorers.cross_encoder import DEFAULT_MODEL
from langchain_rerank.scorers.prompt import RerankPrompt

logger = logging.getLogger(__name__)


_WARM_UP: Final = ("Is the model ready?", ["A text to warm up on."])


class CallSettings(TypedDict, total=False):
    """The settings that one call may override."""

    top_n: int | None
    score_threshold: float | None


class Cut(NamedTuple):
    """What is returned of what was scored."""

    top_n: int | None
    score_threshold: float | None


class Scored(NamedTuple):
    """What the scorer gave, or why it gave nothing."""

    scores: Scores
    error: Exception | None = None


class Reranking(CheckedAssignment):
    """The settings that a reranker has, and reranking itself."""

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
    "bfloat16" or "float16"."""
    backend: str = "torch"
    """"torch", or "openvino" to compute on the CPU with OpenVINO (extra `openvino`)."""
    max_length: int | Literal["model"] | None = None
    """Tokens of query and document together; None is 512 or the model's limit if that is lower,
    "model" is the model's limit."""
    max_batch_tokens: int | None = None
    """The most tokens of one batch, for a GPU that is shared with a language model, say; None takes
    what the device has memory for."""
    trust_remote_code: bool = False
    """Whether code that comes with a model may run."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    model_kwargs: dict[str, Any] | None = None
    """Further arguments for loading the model in transformers."""
    instruction: str | None = None
    """What the model is told to look for, for models that take an instruction (Qwen3)."""
    prompt: RerankPrompt | None = None
    """How the model is asked and which token answers, where its files do not say so."""

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
    first_stage_weight: float = Field(default=0.0, ge=0.0, le=1.0)
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

    _warned: set[str] = PrivateAttr(default_factory=set)
    _resolved: SharedScorer | None = PrivateAttr(default=None)
    _user: ScorerUser = PrivateAttr(default_factory=ScorerUser)

    @field_validator("top_n", mode="before")
    @classmethod
    def _check_top_n(cls, value: object) -> int | None:
        return check_top_n(value)

    @field_validator("score_threshold", mode="before")
    @classmethod
    def _check_threshold(cls, value: object) -> float | None:
        return check_threshold(value)

    @field_validator("max_length", "max_batch_tokens", mode="before")
    @classmethod
    def _check_tokens(cls, value: object, info: ValidationInfo) -> object:
        # Before pydantic, which takes True for 1 and refuses NumPy's integers.
        name = str(info.field_name)
        if value is None or (name == "max_length" and isinstance(value, str) and value == "model"):
            return value
        return whole_number(value, name, otherwise=", or 'model'" if name == "max_length" else "")

    @field_validator("trust_remote_code", mode="before")
    @classmethod
    def _check_trust(cls, value: object) -> bool:
        return check_flag(value, "trust_remote_code")

    @field_validator("first_stage_weight", mode="before")
    @classmethod
    def _check_weight(cls, value: object) -> object:
        number = real_number(value)
        if number is None:
            raise ConfigurationError(f"first_stage_weight={shown(value)}: give a number, 0 to 1.")
        return number

    @field_validator("device", mode="before")
    @classmethod
    def _name_device(cls, value: object) -> object:
        return device_name(value)

    @field_validator("dtype", mode="before")
    @classmethod
    def _name_dtype(cls, value: object) -> object:
        return dtype_name(value)

    @field_validator("timeout", mode="before")
    @classmethod
    def _check_timeout(cls, value: object) -> float | None:
        return None if value is None else check_seconds("timeout", value)

    @field_validator("metadata_fields", mode="before")
    @classmethod
    def _check_metadata_fields(cls, value: object) -> object:
        if isinstance(value, str):
            raise ConfigurationError(f"metadata_fields must be a list of names: [{shown(value)}].")
        return value

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

    def rerank(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks = None,
        **settings: Unpack[CallSettings],
    ) -> RerankResult:
        """Return the best of `documents` for `query`, with scores, ranks and timings.

        Args:
            documents: `(n,)` candidates in first-stage order; left as they are.
            query: The query.
            callbacks: Callbacks that see the step as a run named "rerank".
            **settings: `top_n` and `score_threshold` override the settings for this call.

        Raises:
            ConfigurationError: An override is impossible, or there is none of this name.
            InputError: An empty query, or more than `max_candidates` candidates.
            ScorerError: The scorer failed, with `on_error="raise"`.
        """
        cut = self._cut_of_call(settings)
        check_query(query)
        candidates = self._candidates(documents)
        started = perf_counter()
        scored = self._score(query, candidates, {"callbacks": callbacks})
        return self._result(query, candidates, scored, cut, started)

    async def arerank(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks = None,
        **settings: Unpack[CallSettings],
    ) -> RerankResult:
        """Return what `rerank` returns, without blocking the event loop."""
        cut = self._cut_of_call(settings)
        check_query(query)
        candidates = self._candidates(documents)
        started = perf_counter()
        scored = await self._ascore(query, candidates, {"callbacks": callbacks})
        return self._result(query, candidates, scored, cut, started)

    def warm_up(self) -> None:
        """Load the model and score one short text, so that the first query need not wait for that.

        `timeout` does not count here, and `on_error` forgives nothing: a service that starts
        should say that it cannot.

        Raises:
            ScorerError: The model cannot be loaded, or does not score.
        """
        with self._failing_as_scorer():
            contract.score(self.scorer, *_WARM_UP)

    async def awarm_up(self) -> None:
        """Do what `warm_up` does, without blocking the event loop."""
        with self._failing_as_scorer():
            await contract.ascore(self.scorer, *_WARM_UP)

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _cut(self, settings: dict[str, Any]) -> Cut:
        """Return what a call returns; takes its `top_n` and `score_threshold` out of `settings`."""
        # Checked again, since `model_copy(update=...)` checks nothing.
        return Cut(
            check_top_n(settings.pop("top_n", self.top_n)),
            check_threshold(settings.pop("score_threshold", self.score_threshold)),
        )

    def _cut_of_call(self, settings: Mapping[str, Any]) -> Cut:
        others = dict(settings)
        cut = self._cut(others)
        if others:
            raise ConfigurationError(
                f"{', '.join(others)} cannot be set in a call; top_n and score_threshold can. Set "
                f"it in another {type(self).__name__}, or in a copy: model_copy(update={{...}})."
            )
        return cut

    @contextmanager
    def _failing_as_scorer(self) -> Iterator[None]:
        """Turn what a scorer may raise into this package's errors."""
        try:
            yield
        except RerankError:
            raise
        except Exception as error:
            name = contract.scorer_name(self.scorer)
            raise ScorerError(
                f"The reranker {name} failed: {type(error).__name__}: {error}"
            ) from error

    def _candidates(
        self, documents: Sequence[Document], *, limit: int | None = None
    ) -> list[Document]:
        """Return the first `limit` documents without duplicates, or refuse them."""
        documents = listed(documents, "documents", "LangChain documents")
        for position, document in enumerate(documents):
            if not isinstance(document, Document):
                raise InputTypeError(
                    f"Candidate {position} must be a LangChain Document, got "
                    f"{type(document).__name__}: wrap a text in Document(page_content=...)."
                )
            if not isinstance(document.page_content, str):
                raise InputTypeError(
                    f"The text of candidate {position} (id {document.id!r}) must be a string, got "
                    f"{type(document.page_content).__name__}: convert it to a string."
                )
            if not isinstance(document.metadata, Mapping | None):
                raise InputTypeError(
                    f"The metadata of candidate {position} (id {document.id!r}) must be a mapping, "
                    f"got {type(document.metadata).__name__}."
                )
        if self.id_key is not None:
            self._warn_of_unknown_fields("id_key", [self.id_key], documents)
        candidates = unique(documents, self.deduplicate, self.id_key)[:limit]
        if len(candidates) > self.max_candidates:
            raise InputError(
                f"{len(candidates)} candidates are more than max_candidates={self.max_candidates}. "
                f"A cross-encoder reads every candidate: narrow the first stage, or raise "
                f"max_candidates if this is meant. {see('too-many-candidates')}"
            )
        return candidates

    def _rerank_step(
        self, query: str, candidates: Sequence[Document]
    ) -> tuple[RunnableLambda[Any, Any], dict[str, Any]]:
        """Return scoring as a runnable, so that traces show it, and the input to show there."""
        scorer = self.scorer
        self._warn_of_unknown_fields("metadata_fields", self.metadata_fields, candidates)
        name = contract.scorer_name(scorer)
        texts = [scored_text(document, self.metadata_fields) for document in candidates]
        # Here, so that a wrong input is the caller's error and never the scorer's failure.
        contract.check_request(query, texts)

        def rerank(_: dict[str, Any]) -> dict[str, Any]:
            return _outputs(
                deadline.within(self.timeout, name, lambda: contract.score(scorer, query, texts))
            )

        async def arerank(_: dict[str, Any]) -> dict[str, Any]:
            return _outputs(
                await deadline.awithin(
                    self.timeout, name, lambda: contract.ascore(scorer, query, texts)
                )
            )

        shown = {
            "query": query,
            "model": name,
            "candidates": len(candidates),
        }
        return RunnableLambda(rerank, arerank, name="rerank"), shown

    def _warn_of_unknown_fields(
        self, setting: str, fields: Sequence[str], candidates: Sequence[Document]
    ) -> None:
        """Say once which of a setting's fields no candidate has: it may be misspelt."""
        if not fields or not candidates:
            return
        known = {str(key) for document in candidates for key in document.metadata or ()}
        for field in fields:
            if field not in known:
                close = difflib.get_close_matches(field, known, n=1)
                nearest = f" The nearest key is {close[0]!r}." if close else ""
                self._warn_once(
                    f"{setting} has {field!r}, which none of the candidates has in its "
                    f"metadata, so it is not read.{nearest} Their keys: "
                    f"{', '.join(sorted(known)[:20]) or 'none'}.",
                    about=f"{setting} {field}",
                )

    def _warn_once(self, message: str, *, about: str | None = None) -> None:
        """Warn, unless that was done before of the same message, or `about` the same thing."""
        if (about or message) not in self._warned:
            self._warned.add(about or message)
            warnings.warn(message, RerankWarning, stacklevel=3)

    def _score(self, query: str, candidates: Sequence[Document], config: RunnableConfig) -> Scored:
        if not candidates:
            return Scored(Scores())
        step, shown = self._rerank_step(query, candidates)
        try:
            return Scored(step.invoke(shown, config)["scores"])
        except Exception as error:  # noqa: BLE001 - `_tolerated` says why, and raises most of them
            return self._tolerated(error)

    async def _ascore(
        self, query: str, candidates: Sequence[Document], config: RunnableConfig
    ) -> Scored:
        if not candidates:
            return Scored(Scores())
        step, shown = self._rerank_step(query, candidates)
        try:
            return Scored((await step.ainvoke(shown, config))["scores"])
        except Exception as error:  # noqa: BLE001 - as above
            return self._tolerated(error)

    def _tolerated(self, error: Exception) -> Scored:
        """Return the scorer's error where the settings allow to go on; else raise it."""
        if isinstance(error, (ConfigurationError, InputError, InputTypeError, MissingExtraError)):
            raise error  # What to change stands in the message, and no retry helps.
        if self.on_error == "raise":
            with self._failing_as_scorer():
                raise error
        # A scorer may be anybody's code and fail with anything. The log keeps the traceback, so
        # that a bug stays visible.
        logger.warning(
            "The reranker %s failed; returning the first stage's order (on_error='first_stage'). "
            "%s",
            contract.scorer_name(self.scorer),
            see("the-model-failed"),
            exc_info=error,
        )
        return Scored(Scores(), error)

    def _result(
        self,
        query: str,
        candidates: Sequence[Document],
        scored: Scored,
        cut: Cut,
        started: float,
    ) -> RerankResult:
        if scored.error is None:
            kept = rank_documents(
                candidates,
                scored.scores,
                top_n=cut.top_n,
                score_threshold=cut.score_threshold,
                first_stage_weight=self.first_stage_weight,
            )
        else:
            kept = [
                ranked_copy(document, {FIRST_STAGE_RANK: rank})
                for rank, document in enumerate(of_one_scale(candidates)[: cut.top_n], start=1)
            ]
        ms = (perf_counter() - started) * 1000.0
        return RerankResult(
            query=query,
            documents=kept,
            model=contract.scorer_name(self.scorer),
            candidates=len(candidates),
            truncated=scored.scores.truncated,
            timings={"rerank": ms, **(scored.scores.timings or {}), "total": ms},
            error=scored.error,
            score_threshold=cut.score_threshold,
            best_score=max(scored.scores, default=None),
        )


def _outputs(scores: Scores) -> dict[str, Any]:
    return {"scores": scores, "truncated": scores.truncated}
