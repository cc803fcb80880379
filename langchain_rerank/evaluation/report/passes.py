"""One scoring pass over a data set: run it, order its candidates, report on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_rerank import ranking
from langchain_rerank.evaluation.data.datasets import Dataset, Record
from langchain_rerank.evaluation.data.relevance import Judgement, Relevance
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.run import scoring
from langchain_rerank.evaluation.run.environment import environment
from langchain_rerank.evaluation.run.progress import Progress, progress_of
from langchain_rerank.evaluation.run.scoring import Candidates, Scored, ScoringPass
from langchain_rerank.evaluation.score import assemble, statistics
from langchain_rerank.evaluation.score.assemble import Ranking
from langchain_rerank.evaluation.score.measures import Measure, ceilings
from langchain_rerank.evaluation.score.results import FIRST_STAGE, QueryRow
from langchain_rerank.scorers.contract import Scorer


def run_pass(
    work: ScoringPass,
    dataset: Dataset,
    k: int,
    scorers: Mapping[str, Scorer],
    progress: Progress | bool | None,
) -> tuple[dict[str, Candidates], dict[str, dict[str, Scored]]]:
    """Retrieve and score every usable question; return candidates and scores by query id.

    Raises:
        ConfigurationError: No document has the key that the labels are compared with.
        EvaluationError: Every question failed.
    """
    records = [one for one in dataset.records if not one.problem]
    work.warm_up(records, k, scorers)
    found: dict[str, Candidates] = {}
    scored: dict[str, dict[str, Scored]] = {}
    steps = len(records) * (1 + len(scorers))
    with progress_of(progress, "Retrieving and scoring") as advance:
        done = 0
        # All candidates before any score: wrong labels show before the expensive part.
        for record in records:
            found[record.id] = work.candidates(record, k)
            advance(done := done + 1, steps)
        scoring.refuse_total_failure([one.error for one in found.values()])
        work.relevance.check(documents(records, found, work))
        for record in records:
            candidates = found[record.id]
            scored[record.id] = {
                name: Scored(error=candidates.error)
                if candidates.error
                else work.scores(name, scorer, record, candidates.keys)
                for name, scorer in scorers.items()
            }
            advance(done := done + len(scorers), steps)
    for name in scorers:
        scoring.refuse_total_failure([one[name].error for one in scored.values()])
    return found, scored


def documents(
    records: Sequence[Record], found: Mapping[str, Candidates], work: ScoringPass
) -> list[tuple[Record, list[Any]]]:
    """Return each record with its candidate documents, as `Relevance.check` takes them."""
    return [(one, [work.documents[key] for key in found[one.id].keys]) for one in records]


def rankings(candidates: Candidates, scored: Mapping[str, Scored]) -> dict[str, Ranking]:
    """Return the candidates' own order and that of each reranker."""
    found = {
        FIRST_STAGE: Ranking(
            candidates.keys,
            candidates.first_stage_scores,
            _times(first_stage=candidates.ms),
            candidates.error,
        )
    }
    for name, one in scored.items():
        order = ranking.order(one.scores)
        found[name] = Ranking(
            tuple(candidates.keys[position] for position in order),
            tuple(one.scores[position] for position in order),
            _times(first_stage=candidates.ms, rerank=one.ms),
            one.error,
        )
    return found


def _times(**stages: float | None) -> dict[str, float]:
    """Return the stages that were timed, and their total where all of them were."""
    timed = {stage: ms for stage, ms in stages.items() if ms is not None}
    return {**timed, "total": sum(timed.values())} if len(timed) == len(stages) else timed


def judgements(
    work: ScoringPass, records: Sequence[Record], *found: Mapping[str, Candidates]
) -> dict[str, Judgement]:
    """Return the judgement of each record over all the candidates that were found for it, by id.

    A grader judges what was returned and a chunk counts where it was: judged depth by depth, each
    depth would find all that is relevant.
    """
    return {
        one.id: assemble.judge(
            work.relevance,
            one,
            list(dict.fromkeys(key for by_query in found for key in by_query[one.id].keys)),
            work.documents,
        )
        for one in records
    }


def mean_ceilings(
    work: ScoringPass,
    records: Sequence[Record],
    found: Mapping[str, Candidates],
    judged: Mapping[str, Judgement],
    measure: Measure,
    top_n: int | None,
) -> tuple[float, float]:
    """Return the means of `measures.ceilings` over labelled records, at least one."""
    both = []
    for record in records:
        if work.relevance.rule_for(record) is not None:
            judgement = judged[record.id]
            ids = work.relevance.ids(judgement, found[record.id].keys)
            both.append(ceilings(measure, ids, judgement.qrels, top_n))
    best, reach = (statistics.mean(one) for one in zip(*both, strict=True))
    return best, reach


def finished(
    rows: Sequence[QueryRow],
    dataset: Dataset,
    work: ScoringPass,
    found: Mapping[str, Candidates],
    *,
    title: str,
    systems: Sequence[str],
    measures: Sequence[Measure],
    k: int,
    top_n: int | None,
    seed: int,
    started: str,
    settings: Mapping[str, Any],
    judged: Mapping[str, Judgement] | None = None,
    beside: Sequence[float | None] = (),
) -> Report:
    """Return the report of judged rows: summaries, comparisons, loss split, settings.

    `judged` are the judgements of the rows, where more than `found` was judged; `beside` are the p
    values of what the report compares besides.
    """
    summary = assemble.summaries(rows, [FIRST_STAGE, *systems], measures, seed)
    compared = assemble.comparisons(rows, summary, FIRST_STAGE, systems, measures, seed)
    if len(systems) > 1:
        compared += assemble.comparisons(rows, summary, systems[0], systems[1:], measures, seed)
    compared = assemble.adjusted(compared, beside)
    records = [one for one in dataset.records if one.id in found]
    judged = judgements(work, records, found) if judged is None else judged
    units = {one.id: work.relevance.ids(judged[one.id], found[one.id].keys) for one in records}
    return Report(
        title=title,
        baseline=FIRST_STAGE,
        measures=tuple(map(str, measures)),
        systems=summary,
        comparisons=compared,
        queries=tuple(rows),
        loss_split=assemble.loss_split(rows, units, systems, measures, k, top_n),
        settings={
            "dataset": dataset.name,
            "queries": len(dataset),
            "first_stage": type(work.retriever).__name__,
            "first_stage_k": k,
            "top_n": top_n,
            "relevance": relevance_settings(work.relevance),
            "metadata_fields": list(work.metadata_fields),
            "seed": seed,
            **settings,
        },
        environment=environment(started),
        warnings=(
            *dataset.warnings,
            *work.relevance.check(documents(records, found, work)),
            *assemble.noted(rows),
        ),
        texts={key: one.page_content for key, one in work.documents.items()},
    )


def relevance_settings(relevance: Relevance) -> dict[str, Any]:
    """Return what a report says about what counted as a hit."""
    named = {"rule": relevance.rule, "normalize": relevance.normalize}
    return {
        **{key: getattr(one, "__name__", one) for key, one in named.items()},
        "chunks": relevance.chunks,
        "source_key": relevance.source_key,
        "id_key": relevance.id_key,
    }
