"""How good the orders are: three first stages, four orders each, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from rich.progress import track

from langchain_rerank import CrossEncoderScorer, Scorer
from langchain_rerank.evaluation import compare_models, compare_rerank
from langchain_rerank.evaluation.data.beir import Collection
from langchain_rerank.evaluation.score import bootstrap
from langchain_rerank.wrappers import CachedScorer, MixedScorer
from reranker_training.lists import logits
from reranker_training.questions import first_stages

STAGES = ("BM25", "dense", "hybrid")
ORDERS = ("first_stage", "cosine", "model", "mixture")
NDCG = "nDCG@10"
Values = NDArray[np.float64]
Scored = tuple[list[float], list[bool]]  # of one question: logits, and which are relevant


def scorer_of(model: str, cache: Path) -> CachedScorer:
    """Return the model as a scorer that keeps its scores, for a command that was interrupted."""
    cache.mkdir(parents=True, exist_ok=True)
    return CachedScorer(CrossEncoderScorer(model), path=cache / "scores.db")


def judge(
    collection: Collection, scorer: Scorer, embeddings: Embeddings, weight: float, depth: int
) -> Values:
    """Return nDCG@10 by question, first stage and order, `(n, 3, 4)`."""
    found = []
    for name, stage in first_stages(collection, embeddings, depth).items():
        mixed, share = scorer, weight
        if name == "BM25":  # it has no cosines, so that the scorer computes them
            mixed, share = MixedScorer(scorer, embeddings, weight=weight), 0.0
        cosine = MixedScorer(scorer, embeddings, weight=1.0)
        common = {"first_stage_k": depth, "measures": NDCG}
        models = {"cosine": cosine, "model": scorer}
        alone = compare_models(stage, models, collection.dataset, **common)
        both = compare_rerank(stage, mixed, collection.dataset, first_stage_weight=share, **common)
        rows = [
            one.systems | {"mixture": two.systems["reranked"]}
            for one, two in zip(alone.queries, both.queries, strict=True)
        ]
        found.append([[row[order].measures[NDCG] for order in ORDERS] for row in rows])
    return np.array(found).transpose(1, 0, 2)


def table(judged: dict[str, Values]) -> str:
    """Return the figures as a Markdown table with 95 % intervals over questions.

    In the rows of the mean every collection weighs the same.
    """
    head = "| collection | questions | first stage | its order | cosine | model | mixture |"
    lines = [f"{head} model - its | mixture - its |", "|---" * 9 + "|"]
    groups = {name: [values] for name, values in judged.items()}
    if len(judged) > 1:
        groups["mean"] = list(judged.values())
    for name, group in groups.items():
        for column, stage in enumerate(STAGES):
            orders = [values[:, column] for values in group]
            with_gains = [np.hstack([one, one[:, 2:] - one[:, :1]]) for one in orders]
            drawn = [bootstrap.draws(one, seed=seed) for seed, one in enumerate(with_gains)]
            mixed = bootstrap.Draws(
                np.mean([one.means for one in drawn], axis=0),
                np.mean([one.extra for one in drawn], axis=0),
            )
            ends = [bootstrap.MEANS] * 4 + [bootstrap.DIFFERENCES] * 2
            means = np.mean([one.mean(axis=0) for one in with_gains], axis=0)
            cells = [
                "{:.3f} [{:.3f}, {:.3f}]".format(mean, *mixed.interval(place, ends[place]))
                for place, mean in enumerate(means)
            ]
            count = str(sum(map(len, group)))
            lines.append("| " + " | ".join([name, count, stage, *cells]) + " |")
    return "\n".join(lines)


def pairs(
    collection: Collection, scorer: Scorer, embeddings: Embeddings, depth: int
) -> list[Scored]:
    """Return the logits of the hybrid's candidates and which are relevant, for each question."""
    hybrid, found = first_stages(collection, embeddings, depth)["hybrid"], []
    for asked in track(collection.dataset.records, collection.dataset.name):
        candidates = hybrid.invoke(asked.question)
        scores = scorer.score(asked.question, [one.page_content for one in candidates])
        relevant = [asked.qrels.get(str(one.id), 0) > 0 for one in candidates]
        found.append((logits(scores), relevant))
    return found


def at_one_half(found: Sequence[Scored]) -> str:
    """Return what a threshold of .5 gives: the logits are 0 there."""
    kept = [sorted(zip(*one, strict=True), reverse=True) for one in found]
    kept = [[right for score, right in one if score >= 0] for one in kept]
    passages = [right for one in kept for right in one]
    first = [one[0] for one in kept if one]
    return (
        f"at .5: {np.mean(passages or [0]):.2f} of {len(passages)} passages are relevant; "
        f"{len(first) / len(found):.2f} of {len(found)} questions are answered, of those "
        f"{np.mean(first or [0]):.2f} with a relevant passage first"
    )
