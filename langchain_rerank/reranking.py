"""The one implementation of reranking: settings, scoring as a traced step, ranking.

`CrossEncoderReranker` and `CrossEncoderRerankRetriever` both inherit it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import perf_counter
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig, RunnableLambda
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from langchain_rerank.checks import check_query, check_threshold, check_top_n
from langchain_rerank.documents import (
    FIRST_STAGE_RANK,
    Deduplicate,
    rank_documents,
    ranked_copy,
    scored_text,
    unique,
)
from langchain_rerank.errors import ConfigurationError, InputError, InputTypeError, see
from langchain_rerank.resolving import LOAD_SETTINGS, ScorerUser, SharedScorer
from langchain_rerank.result import RerankResult
from langchain_rerank.scorers import contract
from langchain_rerank.scorers.contract import Scorer, Scores
from langchain_rerank.scorers.cross_encoder import DEFAULT_MODEL

logger = logging.getLogger(__name__)


class Cut(NamedTuple):
    """What is returned of what was scored."""

    top_n: int | None
    score_threshold: float | None


class Scored(NamedTuple):
    """What the scorer gave, or why it gave nothing."""

    scores: Scores
    error: Exception | None = None


class Reranking(BaseModel):
    """The settings that a reranker has, and reranking itself."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        protected_namespaces=(),
        validate_assignment=True,
        validate_default=True,
    )

    model: Any = DEFAULT_MODEL
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
    max_length: int | None = None
    """Tokens of query and document together; None is 512 or the model's limit if that is lower."""
    trust_remote_code: bool = False
    """Whether code that comes with a model may run."""
    revision: str | None = None
    """Branch, tag or commit of a hub model."""
    model_kwargs: dict[str, Any] | None = None
    """Further arguments for loading the model in transformers."""
    instruction: str | None = None
    """What the model is told to look for, for models that take an instruction (Qwen3)."""

    top_n: int | None = 5
    """How many documents to return; None returns all."""
    score_threshold: float | None = None
    """The lowest relevance score that is returned (inclusive); None returns any."""
    metadata_fields: list[str] = Field(default_factory=list)
    """Metadata (a title, say) put before the text that is scored, where a document has it."""
    deduplicate: Deduplicate = "id"
    """Keep the first of documents with equal "id" (those without one: equal text and metadata) or
    equal "text", or all ("off")."""
    first_stage_weight: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of the first stage in the order, 0 (the reranker alone) to 1: z-scores of both within
    the candidates; of a hybrid with a `DenseRetriever` the scores of that one, and reciprocal ranks
    where the first stage gives no scores that fit its order. `relevance_score` stays the
    reranker's; the mixture stands in `interpolated_score`."""
    max_candidates: int = Field(default=1000, ge=1)
    """More candidates than this are an error: nobody reranks a corpus by accident."""
    on_error: Literal["raise", "first_stage"] = "raise"
    """What to do when the scorer fails: raise, or return the first stage's order (and say so in the
    log; the documents then have no `relevance_score`)."""

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

    @field_validator("metadata_fields", mode="before")
    @classmethod
    def _check_metadata_fields(cls, value: object) -> object:
        if isinstance(value, str):
            raise ConfigurationError(f"metadata_fields must be a list of names: [{value!r}].")
        return value

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        _ = self.scorer  # what is impossible is refused here, not at the first query
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
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> RerankResult:
        """Return the best of `documents` for `query`, with scores, ranks and timings.

        Args:
            documents: `(n,)` candidates in first-stage order; left as they are.
            query: The query.
            callbacks: Callbacks that see the step as a run named "rerank".

        Raises:
            InputError: An empty query, or more than `max_candidates` candidates.
            ScorerError: The scorer failed, with `on_error="raise"`.
        """
        check_query(query)
        candidates = self._candidates(documents)
        started = perf_counter()
        scored = self._score(query, candidates, {"callbacks": callbacks})
        return self._result(query, candidates, scored, self._cut, started)

    async def arerank(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> RerankResult:
        """Return what `rerank` returns, without blocking the event loop."""
        check_query(query)
        candidates = self._candidates(documents)
        started = perf_counter()
        scored = await self._ascore(query, candidates, {"callbacks": callbacks})
        return self._result(query, candidates, scored, self._cut, started)

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

    @property
    def _cut(self) -> Cut:
        # Checked again, since `model_copy(update=...)` checks nothing.
        return Cut(check_top_n(self.top_n), check_threshold(self.score_threshold))

    def _candidates(
        self, documents: Sequence[Document], *, limit: int | None = None
    ) -> list[Document]:
        """Return the first `limit` documents without duplicates, or refuse them."""
        documents = list(documents)  # a generator can be read once
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
        candidates = unique(documents, self.deduplicate)[:limit]
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
        texts = [scored_text(document, self.metadata_fields) for document in candidates]
        # Here, so that a wrong input is the caller's error and never the scorer's failure.
        contract.check_request(query, texts)

        def rerank(_: dict[str, Any]) -> dict[str, Any]:
            return _outputs(contract.score(scorer, query, texts))

        async def arerank(_: dict[str, Any]) -> dict[str, Any]:
            return _outputs(await contract.ascore(scorer, query, texts))

        shown = {
            "query": query,
            "model": contract.scorer_name(scorer),
            "candidates": len(candidates),
        }
        return RunnableLambda(rerank, arerank, name="rerank"), shown

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
        if self.on_error == "raise" or isinstance(error, (ConfigurationError, InputError)):
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
                for rank, document in enumerate(candidates[: cut.top_n], start=1)
            ]
        ms = (perf_counter() - started) * 1000.0
        return RerankResult(
            query=query,
            documents=kept,
            model=contract.scorer_name(self.scorer),
            candidates=len(candidates),
            truncated=scored.scores.truncated,
            timings={"rerank": ms, "total": ms},
            error=scored.error,
        )


def _outputs(scores: Scores) -> dict[str, Any]:
    return {"scores": scores, "truncated": scores.truncated}
