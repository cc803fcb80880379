"""What an evaluation is of: retriever, data set, depth, what counts as a hit, stated once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from langchain_core.runnables import RunnableConfig

from langchain_rerank.base_retrievers.depth import with_depth
from langchain_rerank.checks import check_top_n, check_weight, whole_number
from langchain_rerank.evaluation.data.datasets import Dataset, DatasetLike, as_dataset
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.run.environment import now
from langchain_rerank.evaluation.run.identity import identity
from langchain_rerank.evaluation.run.journal import Journal
from langchain_rerank.evaluation.run.progress import Progress
from langchain_rerank.evaluation.run.systems import Reranker, as_runnable

Identity = str | Mapping[str, str]


@dataclass(frozen=True)
class Setting:
    """What is evaluated on what, and how: every door states it once.

    Attributes:
        dataset: The questions.
        retriever: The first stage; None where systems are asked as they are.
        k: How many candidates it gives.
        top_n: How many documents of every order are judged; None for all.
        relevance: What counts as a hit.
        metadata_fields: Metadata put before the text that is scored.
        first_stage_weight: Share of the first stage in the order of scorers.
        seed: Seed of intervals and samples.
        journal: A file that keeps what is finished.
        resume: Whether to go on with what `journal` holds.
        progress: A hook, True, False or None.
        stated: What else the report should say; other values are another run.
        load_settings: How models given by name are loaded.
        identity: What identifies a reranker that does not say so itself, by its name or for all.
        config: Config for what is asked: callbacks, tags.
        started: When the run started.
    """

    dataset: Dataset
    retriever: Any = None
    k: int = 0
    top_n: int | None = None
    relevance: Relevance = field(default_factory=Relevance)
    metadata_fields: tuple[str, ...] = ()
    first_stage_weight: float = 0.0
    seed: int = 0
    journal: str | Path | None = None
    resume: bool = False
    progress: Progress | bool | None = None
    stated: Mapping[str, Any] = field(default_factory=dict)
    load_settings: Mapping[str, Any] = field(default_factory=dict)
    identity: Identity | None = None
    config: RunnableConfig = field(default_factory=RunnableConfig)
    started: str = field(default_factory=now)

    @classmethod
    def of(
        cls,
        retriever: Any,
        dataset: DatasetLike,
        k: int,
        *,
        relevance: Relevance | None,
        metadata_fields: Sequence[str],
        settings: Mapping[str, Any] | None,
        config: RunnableConfig | None,
        top_n: int | None,
        first_stage_weight: float = 0.0,
        **others: Any,
    ) -> Self:
        """Return the setting that the arguments of a door state.

        Raises:
            ConfigurationError: No first stage, or an impossible depth.
            DataFileError: The data set cannot be read.
        """
        check_top_n(top_n)
        return cls(
            as_dataset(dataset),
            as_runnable(retriever),
            whole_number(k, "first_stage_k"),
            top_n,
            relevance or Relevance(),
            tuple(metadata_fields),
            check_weight(first_stage_weight),
            stated=dict(settings or {}),
            config=config or RunnableConfig(),
            **others,
        )

    def open_journal(self, models: Mapping[str, Reranker]) -> Journal:
        """Return the journal of a run of these models over the first stage.

        Its fingerprint holds what rows depend on: labels, measures and cutoffs may change.

        Raises:
            ConfigurationError: The journal is that of another run, or another process has it.
            DataFileError: The journal cannot be read.
        """
        unknown: list[str] = []
        if self.journal is None:
            return Journal(None, {})
        base = self.retriever and with_depth(self.retriever, self.k)
        return self.opened(
            {
                "first_stage_k": self.k,
                "first_stage": identity(base, unknown),
                "models": self.identities(models, unknown),
                "metadata_fields": list(self.metadata_fields),
            },
            unknown,
        )

    def identities(self, systems: Mapping[str, Any], unknown: list[str]) -> dict[str, Any]:
        """Return what identifies each system; `unknown` gets the names of those that do not say."""
        said = self.identity
        return {
            name: [type(one).__name__, given]
            if (given := said.get(name) if isinstance(said, Mapping) else said) is not None
            else identity(one, unknown)
            for name, one in systems.items()
        }

    def opened(self, fingerprint: Mapping[str, Any], unknown: Sequence[str]) -> Journal:
        """Return the journal of a run that depends on `fingerprint`, the data set and settings.

        Raises:
            ConfigurationError: The journal is that of another run, or another process has it.
            DataFileError: The journal cannot be read.
        """
        whole = {
            "questions": [(one.id, one.question) for one in self.dataset.records],
            **fingerprint,
            "id_key": self.relevance.id_key,
            "settings": {**self.load_settings, **self.stated},
        }
        return Journal(self.journal, whole, resume=self.resume, unknown=unknown)
