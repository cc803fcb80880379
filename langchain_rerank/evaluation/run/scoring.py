"""One pass over the questions: candidates from the first stage, and their scores.

Every (system, query) goes through the journal, so a finished one is neither retrieved nor scored
again. One question that fails keeps all others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from langchain_rerank.base_retrievers.depth import FirstStage, checked_depth, with_depth
from langchain_rerank.documents import first_stage_score, scored_text, scores_to_mix, unique
from langchain_rerank.errors import (
    ConfigurationError,
    EvaluationError,
    InputTypeError,
    MissingExtraError,
    ModelLoadError,
)
from langchain_rerank.evaluation.data.datasets import Dataset, Record
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.run.journal import Journal
from langchain_rerank.evaluation.score.results import FIRST_STAGE
from langchain_rerank.scorers import contract
from langchain_rerank.scorers.contract import Scorer, scorer_name
from langchain_rerank.wrappers.wrapper import identity_of

_WARM_UP_TEXTS = 4


@dataclass(frozen=True)
class Candidates:
    """What the first stage gave for one question.

    Attributes:
        keys: `(n,)` keys of the documents, in first-stage order.
        first_stage_scores: `(n,)` its scores; empty where it gives none.
        mixed_scores: `(n,)` what `first_stage_weight` mixes in; empty where that is the ranks.
        ms: How long it took; None where it was replayed or failed.
        error: Why there is nothing.
    """

    keys: tuple[str, ...] = ()
    first_stage_scores: tuple[float, ...] = ()
    mixed_scores: tuple[float, ...] = ()
    ms: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Scored:
    """The scores of one question's candidates.

    Attributes:
        scores: `(n,)` scores in first-stage order.
        ms: How long it took; None where it was replayed or failed.
        error: Why there is nothing.
    """

    scores: tuple[float, ...] = ()
    ms: float | None = None
    error: str | None = None


@dataclass
class ScoringPass:
    """Retrieves and scores, one question at a time, through a journal.

    One at a time, since latency measured beside other questions is not the latency of one.

    Attributes:
        retriever: The first stage.
        journal: Where finished rows are.
        relevance: Says what identifies a document.
        metadata_fields: Metadata put before the text that is scored.
        config: Config for the first stage (callbacks, tags).
    """

    retriever: FirstStage
    journal: Journal
    relevance: Relevance = field(default_factory=Relevance)
    metadata_fields: Sequence[str] = ()
    config: RunnableConfig | None = None

    @classmethod
    def begin(
        cls,
        retriever: Any,
        dataset: Dataset,
        scorers: Mapping[str, Scorer],
        k: int,
        *,
        relevance: Relevance | None,
        metadata_fields: Sequence[str],
        journal: str | Path | None,
        resume: bool,
        settings: Mapping[str, Any],
        config: RunnableConfig | None,
    ) -> ScoringPass:
        """Return a pass with its journal opened.

        The journal's fingerprint holds what its rows depend on: labels, measures and cutoffs may
        change between runs.

        Raises:
            ConfigurationError: No first stage, an impossible depth, or another run's journal.
            DataFileError: The journal cannot be read.
        """
        base, relevance = as_first_stage(retriever), relevance or Relevance()
        fingerprint = {
            "questions": [(one.id, one.question) for one in dataset.records],
            "first_stage": type(base).__name__,
            "first_stage_k": checked_depth(k, "first_stage_k"),
            "models": {name: [scorer_name(one), identity_of(one)] for name, one in scorers.items()},
            "metadata_fields": list(metadata_fields),
            "id_key": relevance.id_key,
            "settings": dict(settings),
        }
        return cls(
            base,
            Journal(journal, fingerprint, resume=resume),
            relevance,
            metadata_fields,
            config,
        )

    @property
    def documents(self) -> Mapping[str, Document]:
        """Every document that was seen, by key."""
        return self.journal.documents

    def warm_up(self, records: Sequence[Record], k: int, scorers: Mapping[str, Scorer]) -> None:
        """Run the first unfinished question once, untimed: first calls load models and indexes.

        Raises:
            MissingExtraError: A scorer needs a package that is not installed.
            ModelLoadError: A model cannot be loaded.
        """
        names = [FIRST_STAGE, *scorers]
        unfinished = (
            one for one in records if any(self.journal.get(name, one.id) is None for name in names)
        )
        record = next(unfinished, None)
        if record is None:
            return
        # Callbacks should see the real calls only, and a failure shows in them.
        config: RunnableConfig = {**(self.config or {}), "callbacks": []}
        texts: list[str] = []
        with contextlib.suppress(Exception):
            found = replace(self, config=config).retrieve(record, k)[:_WARM_UP_TEXTS]
            texts = [scored_text(one, self.metadata_fields) for one in found]
        for name, scorer in scorers.items():
            if self.journal.get(name, record.id) is None:
                try:
                    contract.score(scorer, record.question, texts)
                except (ModelLoadError, MissingExtraError):
                    raise  # It would fail once per question, slowly, and leave nothing to report.
                except Exception:  # noqa: BLE001, S112 - the real call reports it
                    continue

    def retrieve(self, record: Record, k: int) -> list[Document]:
        """Return at most `k` candidates, without repeated ids, as a reranking retriever has them.

        Raises:
            InputTypeError: The first stage returned something else than documents.
        """
        found: Any = with_depth(self.retriever, k).invoke(record.question, self.config)
        if not isinstance(found, (list, tuple)) or not all(
            isinstance(one, Document) for one in found
        ):
            raise InputTypeError(
                f"The first stage must return a list of documents, got {type(found).__name__} for "
                f"the question {record.question!r}."
            )
        return unique(found, "id")[:k]

    def candidates(self, record: Record, k: int, *, system: str = FIRST_STAGE) -> Candidates:
        """Return the candidates of a question at depth `k`, from the journal where it has them."""
        row = self.journal.get(system, record.id)
        if row is not None:
            known = tuple(row["first_stage_scores"])
            return Candidates(tuple(row["keys"]), known, tuple(row.get("mixed_scores", known)))
        started = perf_counter()
        try:
            found = self.retrieve(record, k)
        except Exception as error:  # noqa: BLE001 - anybody's retriever: one failure keeps the rest
            self.journal.put(system, record.id, {"error": described(error)}, {})
            return Candidates(error=described(error))
        ms = (perf_counter() - started) * 1000.0
        documents = self.relevance.keyed(found)
        keys = tuple(documents)
        known = known_scores(documents.values())
        mixed = tuple(scores_to_mix(list(documents.values())) or ())
        row = {"keys": keys, "first_stage_scores": known, "mixed_scores": mixed, "ms": ms}
        self.journal.put(system, record.id, row, documents)
        return Candidates(keys, known, mixed, ms)

    def scores(self, name: str, scorer: Scorer, record: Record, keys: Sequence[str]) -> Scored:
        """Return the scores of the documents `keys`, from the journal where it has them."""
        row = self.journal.get(name, record.id)
        if row is not None and list(row["keys"]) == list(keys):
            return Scored(tuple(row["scores"]))
        started = perf_counter()
        try:
            scores = tuple(self.score(scorer, record, [self.documents[key] for key in keys]))
        except Exception as error:  # noqa: BLE001 - anybody's scorer: one failure keeps the rest
            self.journal.put(name, record.id, {"error": described(error)}, {})
            return Scored(error=described(error))
        ms = (perf_counter() - started) * 1000.0
        self.journal.put(name, record.id, {"keys": keys, "scores": scores, "ms": ms}, {})
        return Scored(scores, ms)

    def score(
        self, scorer: Scorer, record: Record, documents: Sequence[Document]
    ) -> Sequence[float]:
        """Return the scores of documents, whatever the journal has."""
        if not documents:
            return []
        texts = [scored_text(one, self.metadata_fields) for one in documents]
        return contract.score(scorer, record.question, texts)

    def retrieved(self, record: Record, k: int) -> tuple[str, ...] | None:
        """Return the keys that the first stage gives now; None where it fails."""
        with contextlib.suppress(Exception):
            return tuple(dict.fromkeys(map(self.relevance.key, self.retrieve(record, k))))
        return None


def known_scores(documents: Iterable[Document]) -> tuple[float, ...]:
    """Return the first stage's scores; empty unless every document has a finite one."""
    scores = []
    for document in documents:
        score = first_stage_score(document)
        if score is None:
            return ()
        scores.append(score)
    return tuple(scores)


def described(error: Exception) -> str:
    """Return an error as one line: its class and message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")


def as_first_stage(retriever: Any) -> FirstStage:
    """Return `retriever` as a runnable.

    Raises:
        ConfigurationError: It is neither a runnable nor a callable.
    """
    if isinstance(retriever, Runnable):
        return retriever
    if callable(retriever) and not isinstance(retriever, type):
        return RunnableLambda(retriever)
    raise ConfigurationError(
        f"A retriever, a runnable from a question to documents or a callable was expected, got "
        f"{retriever!r}. A vector store becomes one by .as_retriever()."
    )


def resolved(models: Mapping[str, Any], **load_settings: Any) -> dict[str, Scorer]:
    """Return the scorers behind names, paths, models or scorers, by their names."""
    from langchain_rerank.resolving import resolve_scorer

    return {name: resolve_scorer(model, **load_settings) for name, model in models.items()}


def refuse_total_failure(errors: Sequence[str | None]) -> None:
    """Raise where every question failed: an outage is no evaluation.

    Raises:
        EvaluationError: Every one of `errors` is an error, and there is at least one.
    """
    first = next(iter(errors), None)
    if first is not None and all(errors):
        raise EvaluationError(
            f"Every one of the {len(errors)} questions failed; there is nothing to report. "
            f"The first: {first}"
        )
