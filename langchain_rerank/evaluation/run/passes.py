"""A first stage and rerankers of its candidates, over a data set: everything asked once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig

from langchain_rerank import ranking
from langchain_rerank.base_retrievers.depth import with_depth
from langchain_rerank.base_retrievers.merging import with_own_scores
from langchain_rerank.base_retrievers.stages import documents_of
from langchain_rerank.documents import (
    DENSE_SCORE,
    scores_to_mix,
    with_scores,
    without_scores,
)
from langchain_rerank.duplicates import unique
from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.run.again import confirm
from langchain_rerank.evaluation.run.collect import (
    ByQuery,
    Collector,
    refuse_total_failure,
    weighted,
)
from langchain_rerank.evaluation.run.identity import Unsaid, identity
from langchain_rerank.evaluation.run.progress import progress_of
from langchain_rerank.evaluation.run.setting import Setting
from langchain_rerank.evaluation.run.stage import FIRST_STAGE, Found, Stage, digest, stopwatch
from langchain_rerank.evaluation.run.systems import (
    Reranker,
    called,
    first_stage_scores,
    own_order,
    reranked,
    reranks,
    system,
)

_WARM_UP_TEXTS = 4


@dataclass(frozen=True)
class Pass:
    """A setting under way, and the collector that asks, and keeps what was found.

    One question at a time, since latency measured beside others is not the latency of one.
    """

    setting: Setting
    collector: Collector

    @property
    def documents(self) -> Mapping[str, Document]:
        """Every document that was seen, by key."""
        return self.collector.journal.documents

    @property
    def warnings(self) -> list[str]:
        """What whoever reads the report should know about the journal."""
        return self.collector.journal.warnings

    @property
    def records(self) -> list[Record]:
        """The questions that can be asked."""
        return self.setting.dataset.usable

    @property
    def relevance(self) -> Relevance:
        """What counts as a hit."""
        return self.setting.relevance

    async def retrieve(self, record: Record, k: int, config: RunnableConfig) -> Found:
        """Return at most `k` candidates, each id once, as a reranking retriever has them."""
        elapsed = stopwatch()
        found: Any = await called(with_depth(self.setting.retriever, k), record.question, config)
        ms = elapsed()
        more = f" for the question {record.question!r}."
        candidates = documents_of(found, "The first stage", more=more)
        times = {"first_stage": ms, "total": ms}
        own = with_own_scores(self.setting.retriever, unique(candidates, "id")[:k])
        kept = Found.of(own, self.relevance.key, latency_ms=times).once()
        documents = list(kept.documents.values())
        mixed = tuple(scores_to_mix(documents) or ())
        return replace(kept, scores=first_stage_scores(documents), mixed=mixed)

    def retrieval(self, k: int, name: str = FIRST_STAGE) -> Stage:
        """Return the stage that asks the first stage for `k` candidates."""

        async def ask(record: Record, config: RunnableConfig) -> dict[str, Found]:
            return {name: await self.retrieve(record, k, config)}

        return Stage((name,), ask)

    def reranking(self, name: str, model: Reranker, candidates: ByQuery) -> Stage:
        """Return the stage that reranks candidates, or asks what is no reranker of candidates."""
        if not reranks(model):
            return system(name, model, self.relevance.key, cost=self.setting.k)

        async def ask(record: Record, config: RunnableConfig) -> dict[str, Found]:
            given = candidates[record.id]
            if given.error is not None:
                return {name: Found(error=given.error)}
            return {name: await self.rerank(model, record, self.candidates(given), config)}

        return Stage((name,), ask, lambda one: digest(candidates[one.id].keys), cost=self.setting.k)

    def candidates(self, found: Found) -> dict[str, Document]:
        """Return the candidates of one question by key, with the scores that this question gave.

        A document is kept once for all questions, as the first one that found it saw it.
        """
        documents = [without_scores(self.documents[key]) for key in found.keys]
        if found.scores:
            documents = with_scores(documents, found.scores)
        if found.mixed and found.mixed != found.scores:
            documents = with_scores(documents, found.mixed, DENSE_SCORE)
        return dict(zip(found.keys, documents, strict=True))

    async def rerank(
        self,
        model: Reranker,
        record: Record,
        candidates: Mapping[str, Document],
        config: RunnableConfig,
    ) -> Found:
        """Return the order that `model` gives candidates, whatever the journal has."""
        return await reranked(
            model, record, candidates, self.setting.metadata_fields, config, self.relevance.key
        )

    async def warm_up(self, models: Mapping[str, Reranker], k: int) -> None:
        """Ask the first unfinished question untimed."""
        seen: dict[str, Mapping[str, Document]] = {}

        async def first(record: Record, config: RunnableConfig) -> dict[str, Found]:
            found = await self.retrieve(record, k, config)
            seen[record.id] = found.documents
            return {FIRST_STAGE: found}

        def reranking(name: str, model: Reranker) -> Stage:
            if not reranks(model):
                return self.reranking(name, model, {})

            async def ask(record: Record, config: RunnableConfig) -> dict[str, Found]:
                row = self.collector.journal.get(FIRST_STAGE, record.id) or {"keys": ()}
                known = {key: self.documents[key] for key in row["keys"]} or seen.get(record.id, {})
                # Without a text a model is not loaded.
                few = dict(list(known.items())[:_WARM_UP_TEXTS]) or {"": Document(record.question)}
                return {name: await self.rerank(model, record, few, config)}

            return Stage((name,), ask)

        stages = [Stage((FIRST_STAGE,), first), *(reranking(*one) for one in models.items())]
        await self.collector.warm_up(stages, self.records)

    def check_labels(self, *found: ByQuery) -> list[str]:
        """Return what `Relevance.check` says of labels that no document has."""
        return self.relevance.check(
            [
                (one, [self.documents[key] for key in seen_by(one.id, found)])
                for one in self.records
                if one.id in found[0]
            ]
        )


def seen_by(query: str, found: Sequence[ByQuery]) -> list[str]:
    """Return the keys of all that was found for a question, each once."""
    return [*dict.fromkeys(key for by_query in found for key in by_query[query].keys)]


@asynccontextmanager
async def opened(
    setting: Setting, models: Mapping[str, Reranker], more: int = 0
) -> AsyncIterator[Pass]:
    """Give the pass of a setting, with its journal open.

    `more` is what else than retrieving and scoring once progress is to count, as its cost.
    """
    usable = len(setting.dataset.usable)
    steps, cost = usable * (1 + len(models)), usable * (1 + setting.k * len(models)) + more
    first_stage = with_depth(setting.retriever, setting.k)
    with (
        await setting.open_journal(
            lambda unsaid: {
                "first_stage_k": setting.k,
                "first_stage": identity(first_stage, unsaid.setdefault(FIRST_STAGE, Unsaid())),
                "models": setting.identities(models, unsaid),
                "metadata_fields": list(setting.metadata_fields),
            }
        ) as journal,
        progress_of(setting.progress, "Retrieving and scoring") as advance,
    ):
        spent = weighted(advance, steps, cost)
        work = Pass(setting, Collector(journal, setting.config, advance=spent))
        known = {
            one.id: Found.from_row(journal.get(FIRST_STAGE, one.id) or {"keys": ()})
            for one in work.records
        }
        # Scorers have said what they are.
        asked = [work.reranking(name, one, known) for name, one in models.items() if own_order(one)]
        stages = [work.retrieval(setting.k), *asked]
        await confirm(work.collector, stages, work.records, list(models))
        yield work


async def run_pass(
    work: Pass, models: Mapping[str, Reranker]
) -> tuple[ByQuery, dict[str, ByQuery]]:
    """Return the candidates of every usable question, and what each model made of them."""
    await work.warm_up(models, work.setting.k)
    # All candidates before any score: wrong labels show before the expensive part.
    first = await work.collector.all([work.retrieval(work.setting.k)], work.records)
    candidates = first[FIRST_STAGE]
    refuse_total_failure(candidates)
    work.check_labels(candidates)
    stages = [work.reranking(name, one, candidates) for name, one in models.items()]
    found = await work.collector.all(stages, work.records)
    for one in found.values():
        refuse_total_failure(one)
    return candidates, found


def rankings(
    candidates: Found, found: Mapping[str, Found], first_stage_weight: float = 0.0
) -> dict[str, Found]:
    """Return the candidates' own order and that of each reranker, with the time of both stages."""
    orders = {FIRST_STAGE: candidates}
    for name, one in found.items():
        order = mixed(candidates, one, first_stage_weight)
        orders[name] = replace(order, latency_ms=_times(candidates, one)).once()
    return orders


def mixed(candidates: Found, found: Found, first_stage_weight: float) -> Found:
    """Return a scorer's order with a share of the first stage in it, as a retriever mixes it."""
    # 0 is the reranker itself: rounding in z-scores must not order what it ties.
    if not first_stage_weight or not found.scores:
        return found
    by_key = dict(zip(found.keys, found.scores, strict=True))
    scores = [by_key[key] for key in candidates.keys]
    scores = ranking.interpolate(scores, candidates.mixed or None, first_stage_weight)
    order = ranking.order(scores)
    return replace(
        found,
        keys=tuple(candidates.keys[place] for place in order),
        scores=tuple(scores[place] for place in order),
    )


def _times(candidates: Found, found: Found) -> dict[str, float]:
    """Return the stages that were timed, and their total where both were."""
    first, second = candidates.latency_ms.get("first_stage"), found.latency_ms.get("rerank")
    if first is None or second is None or "total" in found.latency_ms:
        return found.latency_ms
    return {"first_stage": first, "rerank": second, "total": first + second}
