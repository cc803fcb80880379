"""The one implementation of reranking: candidates, scoring as a traced step, ranking.

`CrossEncoderReranker` and `CrossEncoderRerankRetriever` both inherit it.
"""

from __future__ import annotations

import difflib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final, NamedTuple, TypedDict, Unpack

from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig, RunnableLambda
from pydantic import PrivateAttr

from langchain_rerank.checks import check_query, check_threshold, check_top_n, listed, shown
from langchain_rerank.documents import (
    FIRST_STAGE_RANK,
    of_one_scale,
    rank_documents,
    ranked_copy,
    scored_text,
)
from langchain_rerank.duplicates import unique
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
from langchain_rerank.rerank_settings import RerankSettings
from langchain_rerank.result import RerankResult
from langchain_rerank.scorers import contract, deadline
from langchain_rerank.scorers.contract import Scores

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


class Reranking(RerankSettings):
    """Reranking by the settings that a reranker has."""

    _warned: set[str] = PrivateAttr(default_factory=set)

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
        cut, candidates, started = self._begun(documents, query, settings)
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
        cut, candidates, started = self._begun(documents, query, settings)
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

    def _cut(self, settings: dict[str, Any]) -> Cut:
        """Return what a call returns; takes its `top_n` and `score_threshold` out of `settings`."""
        return Cut(
            check_top_n(settings.pop("top_n", self.top_n)),
            check_threshold(settings.pop("score_threshold", self.score_threshold)),
        )

    def _begun(
        self, documents: Sequence[Document], query: str, settings: Mapping[str, Any]
    ) -> tuple[Cut, list[Document], float]:
        """Return what a call returns and scores, and when it began; refuse what is impossible."""
        others = dict(settings)
        cut = self._cut(others)
        if others:
            raise ConfigurationError(
                f"{', '.join(others)} cannot be set in a call; top_n and score_threshold can. Set "
                f"it in another {type(self).__name__}, or in a copy: model_copy(update={{...}})."
            )
        check_query(query)
        return cut, self._candidates(documents), perf_counter()

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
    ) -> tuple[RunnableLambda[Any, Any], dict[str, Any], list[Scores]]:
        """Return scoring as a runnable, so that traces show it, its input, and where its scores go.

        Not by its output: callbacks may change what they are shown.
        """
        scorer = self.scorer
        self._warn_of_unknown_fields("metadata_fields", self.metadata_fields, candidates)
        name = contract.scorer_name(scorer)
        texts = [scored_text(document, self.metadata_fields) for document in candidates]
        # Here, so that a wrong input is the caller's error and never the scorer's failure.
        contract.check_request(query, texts)

        found: list[Scores] = []

        def rerank(_: dict[str, Any]) -> dict[str, Any]:
            found.append(
                deadline.within(self.timeout, name, lambda: contract.score(scorer, query, texts))
            )
            return _outputs(found[0])

        async def arerank(_: dict[str, Any]) -> dict[str, Any]:
            found.append(
                await deadline.awithin(
                    self.timeout, name, lambda: contract.ascore(scorer, query, texts)
                )
            )
            return _outputs(found[0])

        traced = {"query": query, "model": name, "candidates": len(candidates)}
        return RunnableLambda(rerank, arerank, name="rerank"), traced, found

    def _warn_of_unknown_fields(
        self, setting: str, fields: Sequence[str], candidates: Sequence[Document]
    ) -> None:
        """Say once which of a setting's fields no candidate has: it may be misspelt."""
        if not fields or not candidates:
            return
        keys = {key for document in candidates for key in document.metadata or ()}
        known = {key if isinstance(key, str) else shown(key) for key in keys}
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
        step, traced, found = self._rerank_step(query, candidates)
        try:
            step.invoke(traced, config)
            return Scored(found[0])
        except Exception as error:  # noqa: BLE001 - `_tolerated` says why, and raises most of them
            return self._tolerated(error)

    async def _ascore(
        self, query: str, candidates: Sequence[Document], config: RunnableConfig
    ) -> Scored:
        if not candidates:
            return Scored(Scores())
        step, traced, found = self._rerank_step(query, candidates)
        try:
            await step.ainvoke(traced, config)
            return Scored(found[0])
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
            first_stage_weight=self.first_stage_weight,
        )


def _outputs(scores: Scores) -> dict[str, Any]:
    return {"scores": list(scores), "truncated": scores.truncated}
