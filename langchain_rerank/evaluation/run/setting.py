"""What an evaluation is of: retriever, data set, depth, what counts as a hit, stated once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack

from langchain_core.runnables import RunnableConfig

from langchain_rerank.base_retrievers.stages import as_stage
from langchain_rerank.checks import (
    check_fits,
    check_flag,
    check_top_n,
    check_weight,
    listed,
    shown,
    whole_number,
)
from langchain_rerank.errors import ConfigurationError, InputTypeError
from langchain_rerank.evaluation.data.datasets import DatasetLike, as_dataset
from langchain_rerank.evaluation.data.questions import Dataset
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.run.environment import now
from langchain_rerank.evaluation.run.identity import Unsaid, identity
from langchain_rerank.evaluation.run.journal import Journal
from langchain_rerank.evaluation.run.progress import Progress
from langchain_rerank.evaluation.run.systems import FirstStageLike, Reranker, own_order
from langchain_rerank.resolving import LOAD_SETTINGS, ModelSettings, resolve_scorer

Identity = str | Mapping[str, str]


class RunSettings(TypedDict, total=False):
    """What every evaluation may be told besides what it evaluates.

    Attributes:
        top_n: How many documents of every order are judged; None for all.
        relevance: What counts as a hit; by default the first label that a record has.
        seed: Seed of intervals, samples and randomisation.
        journal: A file that keeps what is finished.
        resume: Whether to go on with what `journal` holds; failed questions are tried again.
        progress: A hook `(done, total)`, True for a bar, False for none; None for a bar in a
            terminal.
        settings: What else the report should say about the run; a journal that was written with
            other values is not resumed.
        identity: What identifies a model or a system that does not say so itself (by its name in
            the report, or for all), so that a journal of it can be resumed.
    """

    top_n: int | None
    relevance: Relevance | None
    seed: int
    journal: str | Path | None
    resume: bool
    progress: Progress | bool | None
    settings: Mapping[str, Any] | None
    identity: Identity | None


class RerankingSettings(RunSettings, ModelSettings, total=False):
    """What an evaluation of rerankers may be told besides.

    Models given by name are loaded by the settings of `CrossEncoderScorer`: `device`, `dtype`, ...

    Attributes:
        metadata_fields: Metadata put before the text that is scored.
        config: Config for what is asked: callbacks, tags, metadata.
    """

    metadata_fields: Sequence[str]
    config: RunnableConfig | None


@dataclass(frozen=True)
class Setting:
    """What is evaluated on what, and how: every door states it once.

    Besides what `RunSettings` and `RerankingSettings` list:

    Attributes:
        dataset: The questions.
        retriever: The first stage; None where systems are asked as they are.
        k: How many candidates it gives.
        first_stage_weight: Share of the first stage in the order of scorers.
        stated: The `settings` of `RunSettings`; other values are another run.
        load_settings: How models given by name are loaded.
        started: When the run started.
    """

    dataset: Dataset = field(default_factory=lambda: Dataset(()))
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

    def __post_init__(self) -> None:
        # Before anything is scored: what fails at the end loses what was computed.
        object.__setattr__(self, "seed", whole_number(self.seed, "seed", least=0))
        check_flag(self.resume, "resume")
        for field_name in self.metadata_fields:
            if not isinstance(field_name, str):
                raise ConfigurationError(f"metadata_fields has {shown(field_name)}: give names.")
        for name, fits, expected in (
            ("journal", isinstance(self.journal, str | PathLike | None), "a path or None"),
            ("relevance", isinstance(self.relevance, Relevance), "a Relevance or None"),
            (
                "progress",
                callable(self.progress) or isinstance(self.progress, bool | None),
                "a hook, True, False or None",
            ),
            (
                "identity",
                isinstance(self.identity, str | Mapping | None),
                "a string, strings by name, or None",
            ),
            ("config", isinstance(self.config, Mapping), "a RunnableConfig or None"),
        ):
            check_fits(name, getattr(self, name), fits, expected)

    @classmethod
    def of(cls, **settings: Unpack[RunSettings]) -> Self:
        """Return the setting that `RunSettings` state.

        Raises:
            ConfigurationError: An impossible `top_n`.
            InputTypeError: There is no such setting.
        """
        _refuse_unknown(settings, RunSettings.__optional_keys__)
        given: dict[str, Any] = {**settings}
        relevance, stated = given.pop("relevance", None), given.pop("settings", None)
        if not isinstance(stated, Mapping | None):
            raise ConfigurationError(f"settings={shown(stated)}: it must be a mapping or None.")
        return cls(
            top_n=check_top_n(given.pop("top_n", None)),
            relevance=Relevance() if relevance is None else relevance,
            stated=dict(stated or {}),
            **given,
        )

    @classmethod
    def of_reranking(
        cls,
        retriever: FirstStageLike,
        dataset: DatasetLike,
        k: int,
        first_stage_weight: float = 0.0,
        /,
        **settings: Unpack[RerankingSettings],
    ) -> Self:
        """Return the setting of a first stage and rerankers, which `RerankingSettings` state.

        Raises:
            ConfigurationError: No first stage, an impossible depth, or no share of its order.
            DataFileError: The data set cannot be read.
            InputTypeError: There is no such setting.
        """
        _refuse_unknown(settings, RerankingSettings.__optional_keys__)
        given: dict[str, Any] = {**settings}
        load = {name: given.pop(name) for name in LOAD_SETTINGS if name in given}
        if load.get("calibration_texts") is not None:  # Each of several models reads them.
            texts = listed(load["calibration_texts"], "calibration_texts", "texts")
            load["calibration_texts"] = texts
        metadata_fields, config = given.pop("metadata_fields", ()), given.pop("config", None)
        return replace(
            cls.of(**given),
            dataset=as_dataset(dataset),
            retriever=as_stage(retriever, "retriever"),
            k=whole_number(k, "first_stage_k"),
            first_stage_weight=check_weight(first_stage_weight),
            metadata_fields=tuple(listed(metadata_fields, "metadata_fields", "names")),
            config=RunnableConfig() if config is None else config,
            load_settings=load,
        )

    def on(self, data: DatasetLike, config: RunnableConfig) -> Self:
        """Return this setting on other questions, from now on."""
        return replace(self, dataset=as_dataset(data), config=config, started=now())

    def rerankers(self, models: Mapping[str, Any]) -> dict[str, Reranker]:
        """Return by their names what reranks: scorers, or what LangChain runs as it is.

        Raises:
            ConfigurationError: A model is none of these, or has an order of its own, into which the
                first stage's is not mixed.
        """
        found: dict[str, Reranker] = {}
        for name, model in models.items():
            if not own_order(model):
                found[name] = resolve_scorer(model, **self.load_settings)
            elif self.first_stage_weight:
                raise ConfigurationError(
                    f"first_stage_weight={self.first_stage_weight}: {name} is a "
                    f"{type(model).__name__}, which has an order of its own. Give a scorer or a "
                    f"model, or set the weight in it."
                )
            else:
                found[name] = model
        return found

    async def open_journal(
        self, fingerprint: Callable[[dict[str, Unsaid]], Mapping[str, Any]]
    ) -> Journal:
        """Return the journal of a run.

        Its fingerprint holds what rows depend on: labels, measures and cutoffs may change. The
        argument says that besides data set and settings, given a dictionary for what it does not
        know, by system.
        """
        if self.journal is None:
            return Journal(None, {})
        unsaid: dict[str, Unsaid] = {}
        whole = {
            "questions": [(one.id, one.question) for one in self.dataset.records],
            **await asyncio.to_thread(fingerprint, unsaid),  # Models load for it.
            "id_key": self.relevance.id_key,
            "settings": {**self.load_settings, **self.stated},
        }
        return Journal(self.journal, whole, resume=self.resume, unsaid=unsaid)

    def identities(self, systems: Mapping[str, Any], unsaid: dict[str, Unsaid]) -> dict[str, Any]:
        """Return what identifies each system; `unsaid` gets, by name, what that does not say."""
        said = self.identity
        return {
            name: [type(one).__name__, given]
            if (given := said.get(name) if isinstance(said, Mapping) else said) is not None
            else identity(one, unsaid.setdefault(name, Unsaid()))
            for name, one in systems.items()
        }


def _refuse_unknown(given: Iterable[str], known: Collection[str]) -> None:
    unknown = next((one for one in given if one not in known), None)
    if unknown is not None:
        raise InputTypeError(
            f"There is no setting {unknown!r}; there are {', '.join(sorted(known))}."
        )
