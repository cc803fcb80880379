"""How much of the first stage's order to keep: the interpolation weight, cross-validated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, Unpack

import numpy as np

from langchain_rerank.checks import check_weight, listed, shown, whole_number, with_setting
from langchain_rerank.errors import ConfigurationError, EvaluationError
from langchain_rerank.evaluation.data.datasets import DatasetLike
from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.data.relevance import Judgement, Relevance
from langchain_rerank.evaluation.report.rendering.words import p_is
from langchain_rerank.evaluation.run.background import run
from langchain_rerank.evaluation.run.passes import mixed, opened, run_pass
from langchain_rerank.evaluation.run.setting import RerankingSettings, Setting
from langchain_rerank.evaluation.run.stage import Found
from langchain_rerank.evaluation.run.systems import (
    FirstStageLike,
    RerankerLike,
    own_order,
    reranker_name,
)
from langchain_rerank.evaluation.score import assemble
from langchain_rerank.evaluation.score.bootstrap import MEANS, Floats, covered
from langchain_rerank.evaluation.score.choice import gain_of_choice
from langchain_rerank.evaluation.score.measures import Measure, parse_measure, value_of
from langchain_rerank.evaluation.score.results import RERANKED

T = TypeVar("T")

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
        warnings: What to know about the questions: those that failed, labels that match nothing.
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
    warnings: tuple[str, ...] = ()

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

    def values(judgement: Judgement, candidates: Found, reranked: Found) -> list[float]:
        orders = (mixed(candidates, reranked, weight).keys[: setting.top_n] for weight in tried)
        ranked = (setting.relevance.ids(judgement, keys) for keys in orders)
        return [value_of(judge_by, ids, judgement.qrels)[0] for ids in ranked]

    _, found, warnings = of_labelled(
        setting, model, "a weight", "mix with the first stage's", values
    )
    failed = [0.0] * len(tried)
    every = np.array([failed if one is None else one for one in found])
    chosen = choose_weight(every, tried, folds=folds, seed=setting.seed, measure=str(judge_by))
    return replace(chosen, warnings=warnings)


def of_labelled(
    setting: Setting,
    model: RerankerLike,
    tuned: str,
    purpose: str,
    value: Callable[[Judgement, Found, Found], T],
) -> tuple[str, list[T | None], tuple[str, ...]]:
    """Return the reranker's name, the value of each labelled question, and what to know of them.

    The value is None where a question failed.

    `value` gets what is relevant, the candidates and what the reranker made of them; `tuned` and
    `purpose` are words for messages.

    Raises:
        ConfigurationError: The reranker gives no scores.
        EvaluationError: Fewer than 10 labelled questions, or every question failed.
    """
    models = setting.rerankers({RERANKED: model})
    name = reranker_name(models[RERANKED])
    if own_order(models[RERANKED]):
        raise ConfigurationError(f"{name} gives no scores to {purpose}. Give a model or a scorer.")

    async def values() -> tuple[list[T | None], list[str]]:
        asked = labelled(setting.dataset.usable, setting.relevance, tuned)
        async with opened(setting, models) as work:
            candidates, by_model = await run_pass(work, models)
            found: list[T | None] = []
            errors: list[str] = []
            for one in asked:
                given, reranked = candidates[one.id], by_model[RERANKED][one.id]
                if error := given.error or reranked.error:
                    errors.append(f"{one.id!r}: {error}")
                    found.append(None)
                else:
                    judgement = assemble.judge(work.relevance, one, given.keys, work.documents)
                    found.append(value(judgement, given, reranked))
            said = [*work.warnings, *work.check_labels(candidates)]
        if errors:
            count = f"{len(errors)} of {len(asked)} labelled questions failed, and count 0"
            said.append(f"{count} with {tuned} and without. The first, {errors[0]}.")
        return found, said

    found, said = run(values())
    return name, found, (*setting.dataset.warnings, *said)


def labelled(records: Iterable[Record], relevance: Relevance, tuned: str) -> list[Record]:
    """Return the questions with labels, if they are enough to tune what `tuned` names by.

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


def choose_weight(
    values: Floats,
    weights: Sequence[float],
    *,
    folds: int = 5,
    seed: int = 0,
    measure: str = "nDCG@10",
) -> WeightTuning:
    """Return the weight to use, from the value of every query at every weight, `(n, w)`.

    The weights, `(w,)`, are ascending and begin with 0; `measure` is what the values are.
    """
    gained = gain_of_choice(values, folds=folds, seed=seed)
    ci = gained.ci if covered(values, MEANS) else None
    best_weight, figures = float(weights[gained.best]), f"{measure} changes by {gained.mean:+.3f}"
    if ci is not None:
        figures += f" (95 % interval {ci[0]:+.3f} to {ci[1]:+.3f}, {p_is(gained.p_value)})"
    has_gain = ci is not None and gained.shown
    needed = None if has_gain else gained.queries_needed
    return WeightTuning(
        weight=best_weight if has_gain else 0.0,
        gain=gained.mean,
        ci=ci,
        has_gain=has_gain,
        reason=_reason(figures, best_weight if has_gain else None, needed),
        measure=measure,
        best_weight=best_weight,
        fold_weights=tuple(float(weights[one]) for one in gained.fold_columns),
        points=tuple(
            WeightPoint(float(weight), float(mean))
            for weight, mean in zip(weights, values.mean(axis=0), strict=True)
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
