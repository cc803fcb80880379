"""Questions out of plain text, for training without labels."""

# ruff: noqa: S311 - sampling, not cryptography

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import random
import re
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

from reranker_training.data import Collection, Example


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text; each has at least four words.

    >>> split_sentences("Cells divide into two cells. See below. Each one has its own nucleus!")
    ['Cells divide into two cells.', 'Each one has its own nucleus!']
    """
    pieces = re.split(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])|\n\s*\n", text)
    return [piece.strip() for piece in pieces if len(piece.split()) >= 4]


def passages(text: str, rng: random.Random) -> Iterator[list[str]]:
    """Cut a text into runs of whole sentences of 30 to 200 words; yield lists of sentences."""
    run: list[str] = []
    target = rng.choice((30, 50, 70, 100, 140, 200))
    for sentence in split_sentences(text):
        run.append(sentence)
        if sum(len(s.split()) for s in run) >= target:
            yield run
            run, target = [], rng.choice((30, 50, 70, 100, 140, 200))
    if sum(len(s.split()) for s in run) >= 20:
        yield run


def crop(text: str, query: str, size: int, rng: random.Random) -> str:
    """Return the run of ``size`` words that shares most different words with the query.

    Ties are broken at random. Short texts make training several times faster, and the window that
    shares most words is the one that either teacher graded.

    >>> crop("one two three four cats sleep all day long", "three sleep?", 4, random.Random(0))
    'three four cats sleep'
    """
    words = text.split()
    if len(words) <= size:
        return text
    terms = {word.strip(".,;:?!()").lower()[:6] for word in query.split() if len(word) > 3}
    keys = [word.strip(".,;:?!()").lower()[:6] for word in words]
    starts = [*range(0, len(words) - size, max(1, size // 4)), len(words) - size]
    rng.shuffle(starts)
    best = max(starts, key=lambda start: len(terms.intersection(keys[start : start + size])))
    return " ".join(words[best : best + size])


def shorten(example: Example, window_words: int, seed: int) -> Example:
    """Return the example with all texts cut to one length, which is drawn for the list.

    It lies between half and twice ``window_words``; one list in twelve keeps whole texts.
    """
    rng = random.Random(f"{seed} {example.query}")
    size = round(window_words * 2 ** rng.uniform(-1, 1)) if rng.random() > 1 / 12 else 10_000
    texts = [crop(text, example.query, size, rng) for text in example.texts]
    return Example(example.query, texts, example.teacher, example.labels)


def pseudo_query(sentence: str, idf: dict[str, float], rng: random.Random) -> str:
    """Return a stand-in for a question: a sentence, a part of one, or its rare words."""
    words = sentence.split()
    kind = rng.random()
    if kind < 0.3:
        return " ".join(words[:40])
    if kind < 0.55:  # a run of words, as in a search for a phrase
        size = rng.randint(4, 12)
        start = rng.randint(0, max(0, len(words) - size))
        return " ".join(words[start : start + size])
    # Key words: rare ones are likelier, order is kept half of the time.
    terms = sorted({w.strip(".,;:()[]'\"?!") for w in words} - {""})
    weights = [idf.get(term.lower(), 8.0) ** 2 * rng.random() for term in terms]
    ranked = sorted(zip(weights, terms, strict=True), reverse=True)
    chosen = [term for _, term in ranked[: rng.randint(2, 6)]]
    if rng.random() < 0.5:
        chosen.sort(key=sentence.find)
    if kind > 0.85:
        chosen.insert(0, rng.choice(("what is", "how does", "why", "which", "when is", "who")))
    return " ".join(chosen)


def make_unlabelled(source: Collection, limit: int, rng: random.Random) -> Collection:
    """Return a collection of passages with one pseudo-question for up to ``limit`` of them.

    Half of the time the sentence behind the question is removed from its passage, so that the
    model cannot win by looking for a copy. The passage is the question's relevant document in
    ``qrels`` only to put it among the candidates; it earns no label.
    """
    runs = [run for text in source.texts.values() for run in passages(text, rng)]
    rng.shuffle(runs)
    words = [set(" ".join(run).lower().split()) for run in runs]
    counts: dict[str, int] = {}
    for word in (w for bag in words for w in bag):
        counts[word] = counts.get(word, 0) + 1
    idf = {word: math.log(len(runs) / count) for word, count in counts.items()}
    result = Collection(source.name + "-text", {}, {}, {})
    for number, run in enumerate(runs[: limit * 2]):
        doc_id, sentences = f"t{number}", list(run)
        if number < limit:
            chosen = rng.randrange(len(sentences))
            result.queries[doc_id] = pseudo_query(sentences[chosen], idf, rng)
            result.qrels[doc_id] = {doc_id: 1}
            if len(sentences) > 2 and rng.random() < 0.5:
                del sentences[chosen]
        result.texts[doc_id] = " ".join(sentences)
    return result


def package_docstrings(package: str, limit: int, seen: set[str]) -> Iterator[str]:
    """Yield docstrings of at least 40 words from a package's modules, classes and functions."""
    found = 0
    root = importlib.import_module(package)
    names = [package]
    path = getattr(root, "__path__", [])
    found_modules = pkgutil.walk_packages(path, package + ".", onerror=lambda _: None)
    skipped = re.compile(r"test|\._|__main__|conftest")
    names.extend(info.name for info in found_modules if not skipped.search(info.name))
    random.Random(0).shuffle(names)
    for name in names:
        try:
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
                module = importlib.import_module(name)
        except (Exception, SystemExit):  # noqa: BLE001, S112 - an extra is missing, say: any error
            continue
        members = [m for n, m in sorted(vars(module).items()) if not n.startswith("_")]
        for item in [module, *members]:
            text = inspect.getdoc(item) if callable(item) or item is module else None
            if text and len(text.split()) >= 40 and text not in seen:
                seen.add(text)
                yield text
                found += 1
                if found >= limit:
                    return
