"""Graded candidate lists: what the student learns from."""

# ruff: noqa: S311 - sampling, not cryptography

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reranker_training.data import Collection, Example, read_collection, read_jsonl, read_texts
from reranker_training.teachers import Lexical, console, embed, standardise
from reranker_training.text import make_unlabelled, shorten


@dataclass(frozen=True)
class Options:
    """What shapes a training run; written to ``training.json`` beside the model."""

    base: str
    teacher: str
    labelled: list[str]
    unlabelled: list[str]
    questions: int = 3000
    list_size: int = 8
    lists_per_step: int = 8
    epochs: float = 1.0
    learning_rate: float = 1e-4
    max_length: int = 384
    window_words: int = 80
    cosine_weight: float = 1.0
    bm25_weight: float = 1.0
    label_bonus: float = 2.0
    pointwise_weight: float = 0.2
    average_decay: float = 0.99
    freeze_layers: int = 0
    minutes: float | None = None
    seed: int = 7


def build_examples(
    source: Collection, labelled: bool, options: Options, device: str, cache: Path
) -> Iterator[Example]:
    """Yield up to ``options.questions`` graded candidate lists of one collection."""
    rng = random.Random(f"{options.seed} {source.name}")
    doc_ids, texts = list(source.texts), list(source.texts.values())
    position = {doc_id: i for i, doc_id in enumerate(doc_ids)}
    query_ids = rng.sample(sorted(source.queries), min(options.questions, len(source.queries)))
    documents = embed(texts, options.teacher, device, cache, f"{source.name} texts")
    asked = [source.queries[query_id] for query_id in query_ids]
    questions = embed(asked, options.teacher, device, cache, f"{source.name} questions")
    lexical = Lexical(texts)
    depth = min(50, len(texts))
    for row, query_id in enumerate(query_ids):
        cosine = documents @ questions[row]
        bm25 = lexical.scores(source.queries[query_id])
        by_cosine = np.argsort(-cosine, kind="stable")[:depth]
        by_bm25 = np.argsort(-bm25, kind="stable")[:depth]
        pool = np.union1d(by_cosine, by_bm25)
        relevant = [position[d] for d in source.qrels[query_id]]
        chosen = list(dict.fromkeys(relevant))[: options.list_size // 2]
        # Half of the list from the first ten of either ranking, the rest from further down,
        # one at random: hard, middling and easy comparisons in every list.
        near = [*by_cosine[:10], *by_bm25[:10]]
        rng.shuffle(near)
        far = [int(i) for i in rng.sample(list(pool), len(pool))]
        for candidate in [*near[: options.list_size // 2], *far]:
            if len(chosen) < options.list_size - 1 and int(candidate) not in chosen:
                chosen.append(int(candidate))
        stray = rng.randrange(len(texts))
        if stray not in chosen:
            chosen.append(stray)
        if len(chosen) < 2:
            continue
        labels = [float(i in relevant) for i in chosen] if labelled else []
        grades = options.cosine_weight * standardise(cosine, pool)[chosen]
        grades = grades + options.bm25_weight * standardise(bm25, pool)[chosen]
        if labelled:
            grades = grades + options.label_bonus * np.asarray(labels, dtype=np.float32)
        yield Example(source.queries[query_id], [texts[i] for i in chosen], grades.tolist(), labels)


def prepare(options: Options, output: Path, cache: Path, device: str) -> list[Example]:
    """Return the shuffled training lists; they stay in ``lists.jsonl`` for a resumed run."""
    file = output / "lists.jsonl"
    if file.exists():
        return [Example(**row) for row in read_jsonl(file)]
    rng = random.Random(options.seed)
    examples: list[Example] = []
    for spec in options.labelled:
        found = build_examples(read_collection(spec, "train"), True, options, device, cache)
        examples.extend(found)
        console.print(f"{spec}: {len(examples)} lists so far")
    for spec in options.unlabelled:
        source = make_unlabelled(read_texts(Path(spec)), options.questions, rng)
        examples.extend(build_examples(source, False, options, device, cache))
        console.print(f"{spec} (text only): {len(examples)} lists so far")
    rng.shuffle(examples)
    examples = [shorten(example, options.window_words, options.seed) for example in examples]
    partial = file.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(asdict(example)) + "\n" for example in examples)
    partial.rename(file)
    return examples
