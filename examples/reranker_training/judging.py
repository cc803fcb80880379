"""How good the orders are: three first stages, four orders each, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from langchain_core.documents import Document
from numpy.typing import NDArray
from rich.progress import track

from langchain_rerank import CrossEncoderScorer, Scorer, ranking
from langchain_rerank.documents import rank_documents
from langchain_rerank.evaluation.score import statistics
from langchain_rerank.evaluation.score.measures import parse_measure
from langchain_rerank.wrappers import CachedScorer, MixedScorer
from reranker_training.lists import logits
from reranker_training.questions import Asked, Questions, first_stages

STAGES = ("BM25", "dense", "hybrid")
ORDERS = ("its order", "cosine", "model", "mixture")
NDCG = parse_measure("nDCG@10")
Values = NDArray[np.float64]
Scored = tuple[list[float], list[bool]]  # of one question: logits, and which are relevant


def scorer_of(model: str, cache: Path) -> CachedScorer:
    """Return the model as a scorer that keeps its scores, for a command that was interrupted."""
    cache.mkdir(parents=True, exist_ok=True)
    return CachedScorer(CrossEncoderScorer(model), path=cache / "scores.db")


def judge(
    questions: Questions,
    scorer: Scorer,
    *,
    weight: float,
    embedding_model: str | None,
    depth: int,
    cache: Path,
) -> Values:
    """Return nDCG@10 by question, first stage and order, ``(n, 3, 4)``; print what .5 gives."""
    stages, bi_encoder = first_stages(questions, embedding_model, cache, depth)
    cosine = MixedScorer(scorer, bi_encoder, weight=1.0)
    mixture = MixedScorer(scorer, bi_encoder, weight=weight)
    found = np.zeros((len(questions.asked), len(STAGES), len(ORDERS)))
    scored: list[Scored] = []
    for row, asked in enumerate(track(questions.asked, questions.name)):
        for column, name in enumerate(STAGES):
            candidates = stages[name].invoke(asked.question)
            texts = [one.page_content for one in candidates]
            scores = scorer.score(asked.question, texts)
            if name == "hybrid":
                scored.append((logits(scores), relevant(candidates, asked)))
            by_cosine = ranking.order(cosine.score(asked.question, texts))
            if name == "BM25":  # it has no cosines, so that the scorer computes them
                mixed = ranking.order(mixture.score(asked.question, texts))
                by_mixture = [candidates[position] for position in mixed]
            else:
                by_mixture = rank_documents(candidates, scores, first_stage_weight=weight)
            orders = (
                candidates,
                [candidates[position] for position in by_cosine],
                rank_documents(candidates, scores),
                by_mixture,
            )
            found[row, column] = [
                NDCG([str(one.id) for one in order], asked.qrels) for order in orders
            ]
    print(f"{questions.name}, {at_one_half(scored)}")
    return found


def table(judged: dict[str, Values]) -> str:
    """Return the figures as a Markdown table with 95 % intervals over questions.

    In the rows of the mean every collection weighs the same.
    """
    head = ("collection", "questions", "first stage", *ORDERS, "model - its", "mixture - its")
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    names = [*judged, *(["mean"] if len(judged) > 1 else [])]
    ends = [statistics.MEANS] * len(ORDERS) + [statistics.DIFFERENCES] * 2
    for name in names:
        group = [judged[name]] if name in judged else list(judged.values())
        for column, stage in enumerate(STAGES):
            values = [with_differences(one[:, column]) for one in group]
            drawn = [statistics.draws(one, seed=seed) for seed, one in enumerate(values)]
            mixed = statistics.Draws(
                np.mean([one.means for one in drawn], axis=0),
                np.mean([one.extra for one in drawn], axis=0),
            )
            means = np.mean([one.mean(axis=0) for one in values], axis=0)
            cells = [
                "{:.3f} [{:.3f}, {:.3f}]".format(mean, *mixed.interval(position, ends[position]))
                for position, mean in enumerate(means)
            ]
            count = str(sum(map(len, values)))
            lines.append("| " + " | ".join([name, count, stage, *cells]) + " |")
    return "\n".join(lines)


def with_differences(values: Values) -> Values:
    """Return the values of the four orders, and what model and mixture gain on the first stage."""
    return np.hstack([values, values[:, 2:] - values[:, :1]])


def pairs(
    questions: Questions, scorer: Scorer, *, embedding_model: str | None, depth: int, cache: Path
) -> Iterator[Scored]:
    """Yield the logits of the hybrid's candidates and which are relevant, for each question."""
    stages, _ = first_stages(questions, embedding_model, cache, depth)
    for asked in track(questions.asked, questions.name):
        candidates = stages["hybrid"].invoke(asked.question)
        scores = scorer.score(asked.question, [one.page_content for one in candidates])
        yield logits(scores), relevant(candidates, asked)


def relevant(candidates: Sequence[Document], asked: Asked) -> list[bool]:
    """Return which of the candidates are relevant."""
    return [asked.qrels.get(str(one.id), 0) > 0 for one in candidates]


def at_one_half(found: Sequence[Scored]) -> str:
    """Return what a threshold of .5 gives: the logits are 0 there."""
    kept = [
        sorted(
            ((score, right) for score, right in zip(*one, strict=True) if score >= 0), reverse=True
        )
        for one in found
    ]
    passages = [right for one in kept for _, right in one]
    first = [one[0][1] for one in kept if one]
    return (
        f"at .5: {np.mean(passages or [0]):.2f} of {len(passages)} passages are relevant; "
        f"{len(first) / len(found):.2f} of {len(found)} questions are answered, of those "
        f"{np.mean(first or [0]):.2f} with a relevant passage first"
    )
