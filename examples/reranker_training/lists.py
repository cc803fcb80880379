"""Graded candidate lists: what the student learns from."""

# ruff: noqa: S311 - sampling, not cryptography

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from langchain_rerank import CrossEncoderScorer
from langchain_rerank.ranking import z_scores
from reranker_training.questions import Asked, Questions, first_stages, from_text, judged


@dataclass(frozen=True)
class Options:
    """What shapes a training run; written to ``training.json`` beside the model."""

    base: str
    labelled: list[str]
    unlabelled: list[str]
    embedding_model: str | None
    reranker: str | None
    questions: int
    held_apart: float
    list_size: int
    lists_per_step: int
    epochs: float
    learning_rate: float
    max_length: int
    window_words: int
    cosine_weight: float
    bm25_weight: float
    reranker_weight: float
    label_bonus: float
    seed: int


def split(questions: Questions, options: Options) -> tuple[Questions, Questions]:
    """Return the questions to learn from and those held apart, for the calibration."""
    picked = questions.sample(options.questions, options.seed)
    cut = round(options.held_apart * len(picked.asked))
    return (
        Questions(picked.name, picked.documents, picked.asked[cut:]),
        Questions(picked.name, picked.documents, picked.asked[:cut]),
    )


def graded_lists(questions: Questions, options: Options, cache: Path) -> Iterator[dict[str, Any]]:
    """Yield one list per question: ``query``, ``docs`` and their ``labels``, higher is better."""
    rng = random.Random(f"{options.seed} {questions.name}")
    stages, _ = first_stages(questions, options.embedding_model, cache, depth=50)
    texts = {str(one.id): one.page_content for one in questions.documents}
    teacher = CrossEncoderScorer(options.reranker) if options.reranker else None
    for asked in track(questions.asked, f"lists of {questions.name}"):
        found = {
            name: {
                str(one.id): one.metadata["first_stage_score"]
                for one in stages[name].invoke(asked.question)
            }
            for name in ("BM25", "dense")
        }
        chosen = choose(asked, list(found["BM25"]), list(found["dense"]), texts, options, rng)
        if len(chosen) < 2:
            continue
        pool = list(dict.fromkeys([*found["BM25"], *found["dense"], *chosen]))
        grades = dict.fromkeys(pool, 0.0)
        weights = {"BM25": options.bm25_weight, "dense": options.cosine_weight}
        for name, scores in found.items():
            lowest = min(scores.values(), default=0.0)  # what was not found cannot exceed it
            values = z_scores([scores.get(one, lowest) for one in pool])
            for one, value in zip(pool, values, strict=True):
                grades[one] += weights[name] * value
        size = round(options.window_words * 2 ** rng.uniform(-1, 1))
        whole = rng.random() < 1 / 12  # one list in twelve keeps whole texts
        docs = [texts[one] if whole else crop(texts[one], asked.question, size) for one in chosen]
        if teacher is not None:
            values = z_scores(logits(teacher.score(asked.question, docs)))
            for one, value in zip(chosen, values, strict=True):
                grades[one] += options.reranker_weight * value
        bonus = options.label_bonus if questions.labelled else 0.0
        labels = [grades[one] + bonus * (asked.qrels.get(one, 0) > 0) for one in chosen]
        yield {"query": asked.question, "docs": docs, "labels": labels}


def choose(
    asked: Asked,
    by_words: Sequence[str],
    by_meaning: Sequence[str],
    texts: dict[str, str],
    options: Options,
    rng: random.Random,
) -> list[str]:
    """Return the ids of one list: relevant ones, near ones, others that were found, a stray one.

    Hard, middling and easy comparisons are in every list.
    """
    half = options.list_size // 2
    relevant = [one for one, grade in asked.qrels.items() if grade > 0 and one in texts]
    near = [*by_words[:10], *by_meaning[:10]]
    far = sorted({*by_words, *by_meaning})
    rng.shuffle(near)
    rng.shuffle(far)
    chosen = list(dict.fromkeys([*relevant[:half], *near[:half], *far]))[: options.list_size - 1]
    stray = rng.choice(list(texts))
    return chosen if stray in chosen else [*chosen, stray]


def logits(scores: Sequence[float]) -> list[float]:
    """Return the logits of scores between 0 and 1; scores of another scale as they are."""
    if not all(0.0 <= one <= 1.0 for one in scores):
        return list(scores)
    inner = [min(max(one, 1e-7), 1 - 1e-7) for one in scores]
    return [math.log(one / (1 - one)) for one in inner]


def crop(text: str, query: str, size: int) -> str:
    """Return the run of ``size`` words that shares most different words with the query.

    Short texts make training several times faster, and this window is the one that was graded.

    >>> crop("one two three four cats sleep all day long", "three sleep?", 4)
    'three four cats sleep'
    """
    words = text.split()
    if len(words) <= size:
        return text
    terms = {word.strip(".,;:?!()").lower()[:6] for word in query.split() if len(word) > 3}
    keys = [word.strip(".,;:?!()").lower()[:6] for word in words]
    starts = [*range(0, len(words) - size, max(1, size // 4)), len(words) - size]
    best = max(starts, key=lambda start: len(terms.intersection(keys[start : start + size])))
    return " ".join(words[best : best + size])


def prepare(options: Options, output: Path, cache: Path) -> list[dict[str, Any]]:
    """Return the shuffled training lists; they stay in ``lists.jsonl`` for a resumed run."""
    file = output / "lists.jsonl"
    if not file.exists():
        sources = [split(judged(spec, "train"), options)[0] for spec in options.labelled]
        sources += [from_text(path, options.questions, options.seed) for path in options.unlabelled]
        lists = [one for source in sources for one in graded_lists(source, options, cache)]
        random.Random(options.seed).shuffle(lists)
        partial = file.with_suffix(".partial")
        partial.write_text("".join(json.dumps(one) + "\n" for one in lists), encoding="utf-8")
        partial.rename(file)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def begin(options: Options, output: Path) -> bool:
    """Write down the options of a run, and return whether they are those that it was begun with."""
    output.mkdir(parents=True, exist_ok=True)
    settings, text = output / "training.json", json.dumps(asdict(options), indent=2)
    if settings.exists():
        return settings.read_text(encoding="utf-8") == text
    settings.write_text(text, encoding="utf-8")
    return True
