"""Graded candidate lists: what the student learns from."""

# ruff: noqa: S311 - sampling, not cryptography

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from langchain_core.embeddings import Embeddings
from rich.progress import track
from scipy.special import logit

from langchain_rerank import CrossEncoderScorer
from langchain_rerank.evaluation.data.beir import Collection
from langchain_rerank.evaluation.data.datasets import Record
from langchain_rerank.ranking import z_scores
from reranker_training.questions import bi_encoder, first_stages, from_text, judged


def prepare(options: SimpleNamespace, output: Path, cache: Path) -> list[dict[str, Any]]:
    """Return the shuffled training lists; they stay in `lists.jsonl` for a resumed run."""
    file = output / "lists.jsonl"
    if not file.exists():
        embeddings = bi_encoder(options.embedding_model, cache)
        sources = [(learnt(spec, options)[0], options.label_bonus) for spec in options.folders]
        texts = [from_text(path, options.questions, options.seed) for path in options.unlabelled]
        sources += [(one, 0.0) for one in texts]
        lists = [one for source in sources for one in graded(*source, options, embeddings)]
        random.Random(options.seed).shuffle(lists)
        partial = file.with_suffix(".partial")
        partial.write_text("".join(json.dumps(one) + "\n" for one in lists), encoding="utf-8")
        partial.rename(file)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def learnt(spec: str, options: SimpleNamespace) -> tuple[Collection, Collection]:
    """Return the questions to learn from and those held apart, for the calibration."""
    found = judged(spec, "train", options.questions, options.seed)
    cut = round(options.held_apart * len(found.dataset))
    rest = replace(found.dataset, records=found.dataset.records[cut:])
    return replace(found, dataset=rest), replace(found, dataset=found.dataset.head(cut))


def graded(
    source: Collection, bonus: float, options: SimpleNamespace, embeddings: Embeddings
) -> Iterator[dict[str, Any]]:
    """Yield one list per question: `query`, `docs` and their `labels`, higher is better."""
    rng = random.Random(f"{options.seed} {source.dataset.name}")
    stages = first_stages(source, embeddings, depth=50)
    texts = {str(one.id): one.page_content for one in source.documents}
    teacher = CrossEncoderScorer(options.reranker) if options.reranker else None
    for record in track(source.dataset.records, f"lists of {source.dataset.name}"):
        query = record.question
        found = [
            {str(d.id): d.metadata["first_stage_score"] for d in stages[name].invoke(query)}
            for name in ("BM25", "dense")
        ]
        chosen = choose(record, *map(list, found), texts, options.list_size, rng)
        if len(chosen) < 2:
            continue
        pool = list(dict.fromkeys([*found[0], *found[1], *chosen]))
        grades = dict.fromkeys(pool, 0.0)
        for scores, weight in zip(found, (options.bm25_weight, options.cosine_weight), strict=True):
            lowest = min(scores.values(), default=0.0)  # what was not found cannot exceed it
            add(grades, pool, [scores.get(one, lowest) for one in pool], weight)
        size = round(options.window_words * 2 ** rng.uniform(-1, 1))
        whole = rng.random() < 1 / 12  # one list in twelve keeps whole texts
        docs = [texts[one] if whole else crop(texts[one], query, size) for one in chosen]
        if teacher is not None:
            add(grades, chosen, logits(teacher.score(query, docs)), options.reranker_weight)
        labels = [grades[one] + bonus * (record.qrels.get(one, 0) > 0) for one in chosen]
        yield {"query": query, "docs": docs, "labels": labels}


def add(
    grades: dict[str, float], ids: Sequence[str], scores: Sequence[float], weight: float
) -> None:
    """Add a teacher's scores of texts, standardised, to their grades."""
    for one, value in zip(ids, z_scores(scores), strict=True):
        grades[one] += weight * value


def choose(
    record: Record,
    by_words: Sequence[str],
    by_meaning: Sequence[str],
    texts: dict[str, str],
    size: int,
    rng: random.Random,
) -> list[str]:
    """Return the ids of one list: relevant ones, near ones, others that were found, a stray one.

    Hard, middling and easy comparisons are in every list.
    """
    relevant = [one for one, grade in record.qrels.items() if grade > 0 and one in texts]
    near, far = [*by_words[:10], *by_meaning[:10]], sorted({*by_words, *by_meaning})
    rng.shuffle(near)
    rng.shuffle(far)
    best = [*relevant[: size // 2], *near[: size // 2], *far]
    return list(dict.fromkeys([*list(dict.fromkeys(best))[: size - 1], rng.choice(list(texts))]))


def logits(scores: Sequence[float]) -> list[float]:
    """Return the logits of scores between 0 and 1; scores of another scale as they are."""
    if not all(0.0 <= one <= 1.0 for one in scores):
        return list(scores)
    return [float(logit(min(max(one, 1e-7), 1 - 1e-7))) for one in scores]


def crop(text: str, query: str, size: int) -> str:
    """Return the run of `size` words that shares most different words with the query.

    Short texts make training several times faster, and this window is the one that was graded.

    >>> crop("one two three four cats sleep all day long", "three sleep?", 4)
    'three four cats sleep'
    """
    words = text.split()
    terms = {word.strip(".,;:?!()").lower()[:6] for word in query.split() if len(word) > 3}
    keys = [word.strip(".,;:?!()").lower()[:6] for word in words]
    starts = [*range(0, max(1, len(words) - size), max(1, size // 4)), max(0, len(words) - size)]
    best = max(starts, key=lambda start: len(terms.intersection(keys[start : start + size])))
    return " ".join(words[best : best + size])
