"""How much of the first stage's order to keep: the interpolation weight, cross-validated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from langchain_rerank.checks import check_weight, listed, shown, whole_number, with_setting
from langchain_rerank.errors import ConfigurationError, EvaluationError
from langchain_rerank.evaluation.data.datasets import DatasetLike
from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.run.background import run
from langchain_rerank.evaluation.run.passes import Pass, mixed, opened, run_pass
from langchain_rerank.evaluation.run.setting import RerankingSettings, Setting
from langchain_rerank.evaluation.run.stage import Found
from langchain_rerank.evaluation.run.systems import (
    FirstStageLike,
    Reranker,
    RerankerLike,
    own_order,
    reranker_name,
)
from langchain_rerank.evaluation.score import assemble, statistics
from langchain_rerank.evaluation.score.bootstrap import SIGNIFICANT, Floats
from langchain_rerank.evaluation.score.choice import cross_validated, spread
from langchain_rerank.evaluation.score.measures import Measure, parse_measure, value_of
from langchain_rerank.evaluation.score.results import RERANKED

DEFAULT_WEIGHTS = tuple(step / 20 for step in range(21))
FEWEST_QUERIES = 10  # fewer leave folds of one query


@dataclass(frozen=True)
class WeightPoint:
    """One weight.

    Attributes:
        weight: The weight of the first stage, 0 to 1.
        mean: Mean of the measure over all queries.
    """

    weight: float
    mean: float


@dataclass(frozen=True)
class WeightTuning:
    """Which weight of the first stage to use.

    Attributes:
        weight: The weight to use: 0.0 where no gain is shown, since then the reranker alone does.
        gain: Mean gain over the reranker alone, each query judged with the weight that the other
            folds chose, so that no query helps to choose its own.
        ci: 95 % interval of `gain`; None where a value is not between 0 and 1.
        has_gain: Whether the interval lies above 0.
        reason: That in a sentence.
        measure: The measure.
        best_weight: The weight with the best mean over all queries; its mean flatters itself.
        fold_weights: The weight that was best without each fold: how stable the choice is.
        points: The curve.
        queries: How many labelled queries it rests on.
        queries_needed: How many would show a gain of this size, at the least; None where it is
            shown, or there is none.
    """

    weight: float
    gain: float
    ci: tuple[float, float] | None
    has_gain: bool
    reason: str
    measure: str
    best_weight: float
    fold_weights: tuple[float, ...]
    points: tuple[WeightPoint, ...]
    queries: int
    queries_needed: int | None = None

    def apply(self, retriever: Any) -> Any:
        """Return a copy of a reranking retriever or compressor with `first_stage_weight` set.

        Raises:
            ConfigurationError: It has no such setting.
        """
        return with_setting(retriever, "first_stage_weight", self.weight)


def tune_first_stage_weight(
    retriever: FirstStageLike,
    model: RerankerLike,
    dataset: DatasetLike,
    *,
    first_stage_k: int = 50,
    weights: Sequence[float] = DEFAULT_WEIGHTS,
    folds: int = 5,
    measure: str | Measure = "nDCG@10",
    **settings: Unpack[RerankingSettings],
) -> WeightTuning:
    """Return which share of the first stage's order to keep, from one scoring pass.

    Every weight orders the same candidates by the same scores, as `first_stage_weight` of a
    reranking retriever does; nothing is scored twice.

    Args:
        retriever: The first stage, as for `compare_rerank`.
        model: The reranker, as for `compare_rerank`.
        dataset: A data set, the path of one, or a list of records.
        first_stage_k: How many candidates are scored.
        weights: The weights to try, 0 to 1; 0 is always tried.
        folds: How many folds the queries are split into.
        measure: A name such as "nDCG@10", or a measure.
        **settings: As for `compare_rerank`, whose journal is taken over with `resume` where it has
            the same settings; `seed` is that of the folds, too.

    Raises:
        ConfigurationError: An impossible setting, or labels that no document can be compared with.
        DataFileError: The data set or the journal cannot be read.
        EvaluationError: Fewer than 10 labelled queries, or every question failed.
    """
    given = listed(weights, "weights", "numbers")
    tried = sorted({0.0, *(check_weight(weight, "weights") for weight in given)})
    if len(tried) < 2:
        raise ConfigurationError(f"weights={shown(weights)}: expected one above 0.")
    folds = whole_number(folds, "folds", least=2)
    judge_by = parse_measure(measure)
    setting = Setting.of_reranking(retriever, dataset, first_stage_k, **settings)
    models = setting.rerankers({RERANKED: model})
    if own_order(models[RERANKED]):
        raise ConfigurationError(
            f"{reranker_name(models[RERANKED])} gives no scores to mix with the first stage's. "
            f"Give a model or a scorer."
        )
    values = run(_tried(setting, models, tried, judge_by))
    return choose_weight(values, tried, folds=folds, seed=setting.seed, measure=str(judge_by))


async def _tried(
    setting: Setting, models: Mapping[str, Reranker], weights: Sequence[float], measure: Measure
) -> Floats:
    """Return the value of every labelled query at every weight, `(n, w)`.

    Raises:
        EvaluationError: Fewer than 10 labelled queries, or every question failed.
    """
    asked = labelled(setting.dataset.usable, setting.relevance, "a weight")
    async with opened(setting, models) as work:
        candidates, found = await run_pass(work, models)
        return np.array(
            [
                _values(work, one, candidates[one.id], found[RERANKED][one.id], weights, measure)
                for one in asked
            ]
        )


def labelled(records: Iterable[Record], relevance: Relevance, tuned: str) -> list[Record]:
    """Return the questions with labels, if they are enough to tune by.

    Args:
        records: Questions.
        relevance: Which labels count.
        tuned: What is tuned, for the message.

    Raises:
        EvaluationError: Fewer than 10.
    """
    found = [one for one in records if relevance.rule_for(one) is not None]
    if len(found) < FEWEST_QUERIES:
        raise EvaluationError(
            f"{len(found)} labelled questions are too few to tune {tuned}; at least "
            f"{FEWEST_QUERIES} are needed, and 50 or more to see a small gain."
        )
    return found


def _values(
    work: Pass,
    record: Record,
    candidates: Found,
    reranked: Found,
    weights: Sequence[float],
    measure: Measure,
) -> list[float]:
    """Return the value of one query at each weight; a failed one is 0 at all."""
    if candidates.error or reranked.error:
        return [0.0] * len(weights)
    judgement = assemble.judge(work.relevance, record, candidates.keys, work.documents)
    found = []
    for weight in weights:
        keys = mixed(candidates, reranked, weight).keys
        ids = work.relevance.ids(judgement, keys[: work.setting.top_n])
        found.append(value_of(measure, ids, judgement.qrels)[0])
    return found


def choose_weight(
    values: Floats,
    weights: Sequence[float],
    *,
    folds: int = 5,
    seed: int = 0,
    measure: str = "nDCG@10",
) -> WeightTuning:
    """Return the weight to use, from the value of every query at every weight.

    Args:
        values: `(n, w)`; the first column is weight 0.
        weights: `(w,)` ascending, beginning with 0.
        folds: How many folds the queries are split into, at most one per query.
        seed: Seed of folds and intervals.
        measure: What the values are.
    """
    means = values.mean(axis=0)
    gains, chosen = cross_validated(values, folds=folds, seed=seed)
    found = statistics.paired({0: (values[:, 0] + gains, values[:, 0])}, seed=seed)[0]
    best_weight = float(weights[int(np.argmax(means))])
    has_gain = found.ci is not None and found.ci[0] > 0.0 and best_weight > 0.0
    figures = f"{measure} changes by {gains.mean():+.3f}"
    if found.ci is not None and found.p_value is not None:
        p = f"p = {found.p_value:.3f}" if found.p_value >= 0.001 else "p < 0.001"
        figures += f" (95 % interval {found.ci[0]:+.3f} to {found.ci[1]:+.3f}, {p})"
    needed = None
    if not has_gain:
        tail = SIGNIFICANT / 2
        needed = statistics.queries_needed(-float(gains.mean()), spread(gains), 0.0, tail=tail)
    return WeightTuning(
        weight=best_weight if has_gain else 0.0,
        gain=float(gains.mean()),
        ci=found.ci,
        has_gain=has_gain,
        reason=_reason(figures, best_weight if has_gain else None, needed),
        measure=measure,
        best_weight=best_weight,
        fold_weights=tuple(float(weights[one]) for one in chosen),
        points=tuple(
            WeightPoint(float(weight), float(mean))
            for weight, mean in zip(weights, means, strict=True)
        ),
        queries=len(values),
        queries_needed=needed,
    )


def _reason(figures: str, weight: float | None, needed: int | None) -> str:
    """Return why a weight is to be used, or none is."""
    if weight is None:
        more = f" At least about {needed} queries would show such a gain." if needed else ""
        return (
            f"No gain is shown over the reranker alone: on queries that did not choose the weight, "
            f"{figures}. Keep first_stage_weight=0.{more}"
        )
    alone = " The reranker adds nothing to it." if weight == 1.0 else ""
    return (
        f"Keeping {weight:g} of the first stage helps: on queries that did not choose it, "
        f"{figures}.{alone}"
    )
