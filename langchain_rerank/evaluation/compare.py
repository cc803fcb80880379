"""What reranking buys: the candidates' own order against that of one or several rerankers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from langchain_rerank.checks import listed
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.datasets import DatasetLike
from langchain_rerank.evaluation.report.build import JudgedPass
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.run.background import run
from langchain_rerank.evaluation.run.passes import opened, rankings, run_pass
from langchain_rerank.evaluation.run.setting import RerankingSettings, Setting
from langchain_rerank.evaluation.run.stage import Found
from langchain_rerank.evaluation.run.systems import (
    FirstStageLike,
    Reranker,
    RerankerLike,
    reranker_name,
)
from langchain_rerank.evaluation.score.decision import among_systems
from langchain_rerank.evaluation.score.measures import Measure, parse_measures
from langchain_rerank.evaluation.score.results import FIRST_STAGE, RERANKED

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "Success@1", "R@10", "Judged@10")


def compare_rerank(
    retriever: FirstStageLike,
    model: RerankerLike,
    dataset: DatasetLike,
    *,
    first_stage_k: int = 50,
    measures: str | Sequence[str | Measure] = DEFAULT_MEASURES,
    first_stage_weight: float = 0.0,
    **settings: Unpack[RerankingSettings],
) -> Report:
    """Return what reranking the candidates of `retriever` with `model` buys, and what it costs.

    Every question is retrieved once and scored once, and both orders of the same candidates are
    judged, so that a random index cannot leak into the difference. The systems of the report are
    "first_stage" and "reranked".

    Args:
        retriever: The first stage: a retriever, a runnable or a callable from a question to
            documents; not a retriever that reranks already.
        model: A model name or path, a `sentence_transformers.CrossEncoder`, a LangChain
            `BaseCrossEncoder` or a scorer; a LangChain document compressor (Cohere's, FlashRank's,
            one that asks a language model), which reorders the candidates; or a retriever or
            chain, which is asked the question itself.
        dataset: A data set, the path of one, or a list of records.
        first_stage_k: How many candidates are scored.
        measures: Names such as "nDCG@10", or measures; the first is the main one.
        first_stage_weight: Share of the first stage in the order of scorers, as a reranking
            retriever has it; not for compressors and chains, whose order is their own.
        **settings: What `RerankingSettings` and `RunSettings` list: `top_n`, `relevance`,
            `journal`, `resume`, `config`, ...; and how a model given by name is loaded: `device`,
            `dtype`, ...

    Raises:
        ConfigurationError: An impossible setting, or labels that no document can be compared with.
        DataFileError: The data set or the journal cannot be read.
        EvaluationError: Every question failed.
    """
    return compare_models(
        retriever,
        {RERANKED: model},
        dataset,
        first_stage_k=first_stage_k,
        measures=measures,
        first_stage_weight=first_stage_weight,
        **settings,
    )


def compare_models(
    retriever: FirstStageLike,
    models: Mapping[str, RerankerLike] | Sequence[RerankerLike],
    dataset: DatasetLike,
    *,
    first_stage_k: int = 50,
    measures: str | Sequence[str | Measure] = DEFAULT_MEASURES,
    first_stage_weight: float = 0.0,
    **settings: Unpack[RerankingSettings],
) -> Report:
    """Return how several rerankers do on the same candidates: quality, latency, differences.

    Each is compared with the first stage, and each after the first with the first.
    `report.decision` names the one to take: the fastest that is shown to be as good as any other,
    or none.

    Args:
        retriever: The first stage, as for `compare_rerank`.
        models: What `compare_rerank` takes as a model, by the name that the report uses; a list
            uses the models' own names.
        dataset: A data set, the path of one, or a list of records.
        first_stage_k: How many candidates are scored.
        measures: Names such as "nDCG@10", or measures; the first is the main one.
        first_stage_weight: Share of the first stage in the order of scorers.
        **settings: As for `compare_rerank`.

    Raises:
        ConfigurationError: No model, two of the same name, or as for `compare_rerank`.
        DataFileError: The data set or the journal cannot be read.
        EvaluationError: Every question failed.
    """
    parsed = parse_measures(measures)
    setting = Setting.of_reranking(
        retriever, dataset, first_stage_k, first_stage_weight, **settings
    )
    return run(_compared(setting, setting.rerankers(_named(models)), parsed))


async def _compared(
    setting: Setting, models: Mapping[str, Reranker], measures: Sequence[Measure]
) -> Report:
    async with opened(setting, models) as work:
        candidates, found = await run_pass(work, models)
        judged = JudgedPass(work, measures, [candidates, *found.values()])

        def orders(query: str) -> dict[str, Found]:
            reranked = {name: one[query] for name, one in found.items()}
            return rankings(candidates[query], reranked, setting.first_stage_weight)

        names = " and ".join(reranker_name(one) for one in models.values())
        rows = judged.rows(orders)
        report = judged.report(rows, candidates, title=names, models=models, k=setting.k)
    return replace(report, decision=among_systems(report, setting.k, setting.seed))


def _named(models: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    if isinstance(models, Mapping):
        named = {str(name): model for name, model in models.items()}
    else:
        models = listed(models, "models", "models, or models by name")
        names = [one if isinstance(one, str) else reranker_name(one) for one in models]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ConfigurationError(
                f"Two models are called {twice[0]!r}; give them names: {{'a': ..., 'b': ...}}."
            )
        named = dict(zip(names, models, strict=True))
    if not named or FIRST_STAGE in named:
        raise ConfigurationError(
            f"Models are needed, under other names than {FIRST_STAGE!r}; got {list(named)}."
        )
    return named
