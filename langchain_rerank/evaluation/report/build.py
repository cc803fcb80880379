"""The report on judged queries: summaries, comparisons, settings, what to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from langchain_core.documents import Document

from langchain_rerank.evaluation.data.relevance import Judgement, Relevance
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.run.collect import ByQuery, refuse_total_failure
from langchain_rerank.evaluation.run.environment import environment
from langchain_rerank.evaluation.run.journal import Journal
from langchain_rerank.evaluation.run.passes import Pass, seen_by
from langchain_rerank.evaluation.run.setting import Setting
from langchain_rerank.evaluation.run.stage import FIRST_STAGE, Found
from langchain_rerank.evaluation.run.systems import Reranker, reranker_settings, reranks
from langchain_rerank.evaluation.run.unseen import without_terms
from langchain_rerank.evaluation.score import assemble
from langchain_rerank.evaluation.score.measures import Measure
from langchain_rerank.evaluation.score.results import QueryRow


def chain_report(
    setting: Setting,
    rows: Sequence[QueryRow],
    journal: Journal,
    *,
    systems: Sequence[str],
    measures: Sequence[Measure],
    settings: Mapping[str, Any],
) -> Report:
    """Return the report on systems that were asked as they are."""
    ran = [row for row in rows if row.systems]
    for name in systems:
        refuse_total_failure({row.query_id: Found(error=row.systems[name].error) for row in ran})
    shown = {
        row.query_id: {key for one in row.systems.values() for key in one.document_ids}
        for row in ran
    }
    unmet = setting.relevance.check(
        [
            (one, [journal.documents[key] for key in shown[one.id]])
            for one in setting.dataset.records
            if one.id in shown
        ]
    )
    return built(
        setting,
        rows,
        journal.documents,
        systems=systems,
        against=[(systems[0], systems[1:])],
        measures=measures,
        title=f"{' and '.join(systems)} on {setting.dataset.name}",
        settings=settings,
        warnings=[*journal.warnings, *unmet],
    )


@dataclass(frozen=True)
class JudgedPass:
    """What a pass found, judged by measures.

    Attributes:
        work: The pass.
        measures: The measures.
        seen: All that was returned, of which a label may be.
    """

    work: Pass
    measures: Sequence[Measure]
    seen: Sequence[ByQuery]

    @cached_property
    def judgements(self) -> dict[str, Judgement]:
        """The judgement of each record that ran over all that was found for it, by id.

        A grader judges what was returned and a chunk counts where it was: judged depth by depth,
        each depth would find all that is relevant.
        """
        relevance, documents = self.work.relevance, self.work.documents
        return {
            one.id: assemble.judge(relevance, one, seen_by(one.id, self.seen), documents)
            for one in self.work.records
        }

    def units(self, found: ByQuery) -> dict[str, tuple[str, ...]]:
        """Return the ranking of units that was found for each record, by id."""
        judged, ids = self.judgements, self.work.relevance.ids
        return {query: ids(judged[query], found[query].keys) for query in judged}

    def rows(self, orders: Callable[[str], Mapping[str, Found]]) -> list[QueryRow]:
        """Return one row per record; `orders` gives its rankings by system."""
        work = self.work
        return [
            assemble.query_row(
                one,
                orders(one.id) if one.id in self.judgements else {},
                work.documents,
                self.measures,
                work.relevance,
                work.setting.top_n,
                self.judgements.get(one.id),
            )
            for one in work.setting.dataset.records
        ]

    def report(
        self,
        rows: Sequence[QueryRow],
        candidates: ByQuery,
        *,
        title: str,
        models: Mapping[str, Reranker],
        k: int,
        settings: Mapping[str, Any] | None = None,
        beside: Sequence[float | None] = (),
    ) -> Report:
        """Return the report on a first stage and rerankers of its candidates.

        `beside` are p values of what else the report compares.
        """
        work, setting, systems = self.work, self.work.setting, list(models)
        # What is asked by itself has no candidates to put in order.
        reorders = [name for name, one in models.items() if reranks(one)]
        return built(
            setting,
            rows,
            work.documents,
            systems=[FIRST_STAGE, *systems],
            against=[(FIRST_STAGE, systems), *([(systems[0], systems[1:])] if systems[1:] else [])],
            measures=self.measures,
            title=f"{title} on {setting.dataset.name}",
            settings={
                "first_stage": type(setting.retriever).__name__,
                "first_stage_k": k,
                "metadata_fields": list(setting.metadata_fields),
                "first_stage_weight": setting.first_stage_weight,
                **(settings or {}),
                "models": {name: reranker_settings(one) for name, one in models.items()},
            },
            warnings=[
                *work.warnings,
                *work.check_labels(*self.seen),
                *without_terms(setting.retriever, work.records),
            ],
            beside=beside,
            loss_split=assemble.loss_split(
                rows, self.units(candidates), reorders, self.measures, k, setting.top_n
            ),
        )


def built(
    setting: Setting,
    rows: Sequence[QueryRow],
    documents: Mapping[str, Document],
    *,
    systems: Sequence[str],
    against: Sequence[tuple[str, Sequence[str]]],
    measures: Sequence[Measure],
    title: str,
    settings: Mapping[str, Any],
    warnings: Sequence[str],
    beside: Sequence[float | None] = (),
    **found: Any,
) -> Report:
    """Return the report on judged queries.

    `against` is what is compared, a baseline and the systems beside it; `beside` are p values of
    what else the report compares, and `found` other fields of it.
    """
    summary = assemble.summaries(rows, systems, measures, setting.seed)
    names = tuple(map(str, measures))
    compared = [
        one
        for baseline, others in against
        for one in assemble.comparisons(rows, summary, baseline, others, names, setting.seed)
    ]
    return Report(
        title=title,
        baseline=systems[0],
        measures=names,
        systems=summary,
        comparisons=assemble.adjusted(compared, beside),
        queries=tuple(rows),
        settings={
            "dataset": setting.dataset.name,
            "queries": len(setting.dataset),
            "top_n": setting.top_n,
            "relevance": relevance_settings(setting.relevance),
            "seed": setting.seed,
            **settings,
            **setting.stated,
        },
        environment=environment(setting.started),
        warnings=(*setting.dataset.warnings, *warnings, *assemble.noted(rows)),
        texts={key: one.page_content for key, one in documents.items()},
        **found,
    )


def relevance_settings(relevance: Relevance) -> dict[str, Any]:
    """Return what a report says about what counted as a hit."""
    names = ("rule", "normalize", "chunks", "source_key", "id_key")
    said = {name: getattr(relevance, name) for name in names}
    return {name: getattr(one, "__name__", one) for name, one in said.items()}  # of a function
