"""Which relevance score a document needs to be returned, from labelled questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from langchain_rerank.checks import check_threshold, listed, shown, whole_number
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.datasets import DatasetLike
from langchain_rerank.evaluation.data.relevance import Judgement
from langchain_rerank.evaluation.report.threshold import ThresholdTuning
from langchain_rerank.evaluation.run.passes import mixed
from langchain_rerank.evaluation.run.setting import RerankingSettings, Setting
from langchain_rerank.evaluation.run.stage import Found
from langchain_rerank.evaluation.run.systems import FirstStageLike, RerankerLike
from langchain_rerank.evaluation.score.thresholds import Ranking, check_no_answer, choose_threshold
from langchain_rerank.evaluation.tune import of_labelled


def tune_threshold(
    retriever: FirstStageLike,
    model: RerankerLike,
    dataset: DatasetLike,
    *,
    first_stage_k: int = 50,
    thresholds: Sequence[float] | None = None,
    no_answer: float = 0.5,
    folds: int = 5,
    first_stage_weight: float = 0.0,
    **settings: Unpack[RerankingSettings],
) -> ThresholdTuning:
    """Return which `score_threshold` to use with a model, from one scoring pass.

    Each threshold is told by the share of the questions that get a document, and of those the share
    whose first document is relevant. Recommended is the one with the most worth: 1 for a right
    first document, 0 for a wrong one, `no_answer` for none; and no threshold where a gain over that
    is not shown with 95 % confidence on questions that did not choose it.

    A question counts if it has a label. One whose labels name no relevant document (grades of 0)
    has no right answer, so every answer to it is wrong.

    Args:
        retriever: The first stage, as for `compare_rerank`.
        model: The reranker, as for `compare_rerank`.
        dataset: A data set, the path of one, or a list of records.
        first_stage_k: How many candidates are scored.
        thresholds: The thresholds to try; None takes up to 20 between the questions' best scores.
        no_answer: What no answer is worth beside a right one (1) and a wrong one (0). At .5 it pays
            to answer where the first document is as likely right as wrong; the higher, the surer
            an answer must be.
        folds: How many folds the questions are split into.
        first_stage_weight: Share of the first stage in the order, as the retriever has it.
        **settings: As for `compare_rerank`, whose journal is taken over with `resume` where it has
            the same settings; `seed` is that of the folds, too.

    Raises:
        ConfigurationError: An impossible setting, or labels that no document can be compared with.
        DataFileError: The data set or the journal cannot be read.
        EvaluationError: Fewer than 10 labelled questions, or every question failed.
    """
    tried = None if thresholds is None else _checked(thresholds)
    folds = whole_number(folds, "folds", least=2)
    no_answer = check_no_answer(no_answer)
    setting = Setting.of_reranking(
        retriever, dataset, first_stage_k, first_stage_weight, **settings
    )

    def ranking(judgement: Judgement, candidates: Found, reranked: Found) -> Ranking:
        scores = dict(zip(reranked.keys, reranked.scores, strict=True))
        order = mixed(candidates, reranked, setting.first_stage_weight).keys
        return [(scores[key], judgement.qrels.get(judgement.units[key], 0) > 0) for key in order]

    name, rankings, warnings = of_labelled(
        setting, model, "a threshold", "set a threshold on", ranking
    )
    found = choose_threshold(rankings, tried, no_answer=no_answer, folds=folds, seed=setting.seed)
    return ThresholdTuning(
        **vars(found), model=name, queries=len(rankings), no_answer=no_answer, warnings=warnings
    )


def _checked(thresholds: Sequence[float]) -> list[float]:
    given = listed(thresholds, "thresholds", "numbers")
    found = [one for one in map(check_threshold, given) if one is not None]
    if not found:
        raise ConfigurationError(f"thresholds={shown(thresholds)}: expected at least one number.")
    return found
