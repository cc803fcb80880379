"""Who asks what of which documents: judged questions, or stand-ins made from plain text."""

# ruff: noqa: S311 - sampling, not cryptography

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever

from langchain_rerank.cli.kept_embeddings import KeptEmbeddings
from langchain_rerank.cli.loading import build_first_stage
from langchain_rerank.evaluation.data.beir import Collection, load_collection
from langchain_rerank.evaluation.data.datasets import Dataset, Record
from langchain_rerank.files import load_documents
from langchain_rerank.first_stage import default_embeddings


def judged(spec: str, split: str, count: int | None = None, seed: int = 0) -> Collection:
    """Return a BEIR folder, `folder` or `folder:split`, with `count` of its questions at random."""
    path, _, named = spec.partition(":")
    found = load_collection(path, split=named or split)
    asked = [one for one in found.dataset.records if not one.problem]
    rng = random.Random(f"{seed} {found.dataset.name}")
    picked = rng.sample(asked, len(asked) if count is None else min(count, len(asked)))
    return replace(found, dataset=replace(found.dataset, records=tuple(picked)))


def from_text(path: str, count: int, seed: int) -> Collection:
    """Return a stand-in for a question about up to `count` passages of the files at `path`.

    Half of the time the sentence behind the question is removed from its passage, so that the
    model cannot win by looking for a copy. The passage counts as judged only to put it among the
    candidates; it earns no label.
    """
    rng = random.Random(f"{seed} {path}")
    corpus = Path(path, "corpus.jsonl")  # of a BEIR folder, without its questions
    passages = load_documents(corpus if corpus.is_file() else path, chunk_size=900, chunk_overlap=0)
    rng.shuffle(passages)
    passages = passages[: count * 2]
    counts = Counter(word for one in passages for word in set(one.page_content.lower().split()))
    documents, records = [], []
    for passage in passages:
        text, name = passage.page_content, str(passage.id)
        sentences = [one for one in re.split(r"(?<=[.!?])\s+|\n\s*\n", text) if one.count(" ") > 2]
        if len(records) < count and sentences:
            chosen = rng.choice(sentences)
            records.append(Record(name, stand_in(chosen, counts, rng), qrels={name: 1}))
            if len(sentences) > 2 and rng.random() < 0.5:
                text = text.replace(chosen, " ")
        documents.append(passage.model_copy(update={"page_content": text}))
    return Collection(tuple(documents), Dataset(tuple(records), Path(path).name))


def stand_in(sentence: str, counts: Counter[str], rng: random.Random) -> str:
    """Return a stand-in for a question: a sentence, a part of one, or its rare words."""
    words = sentence.split()
    kind = rng.choice(("sentence", "phrase", "words", "question"))
    if kind == "sentence":
        return " ".join(words[:40])
    if kind == "phrase":
        start = rng.randrange(max(1, len(words) - 4))
        return " ".join(words[start : start + rng.randint(4, 12)])
    terms = sorted({word.strip(".,;:()[]'\"?!") for word in words} - {""})
    terms.sort(key=lambda term: counts[term.lower()] * rng.random())
    asked = ["what is", "how does", "why", "which", "when is", "who"]
    begin = [rng.choice(asked)] if kind == "question" else []
    return " ".join([*begin, *terms[: rng.randint(2, 6)]])


def bi_encoder(model: str | None, cache: Path) -> KeptEmbeddings:
    """Return the bi-encoder, which keeps what it embeds of documents."""
    return KeptEmbeddings(
        default_embeddings(model),
        model=model or "all-MiniLM-L6-v2",
        store=cache / "index.sqlite3",
        progress=lambda what, done, total: print(f"{what}: {done} of {total}", end="\r"),
    )


def first_stages(
    collection: Collection, embeddings: Embeddings, depth: int
) -> dict[str, BaseRetriever]:
    """Return BM25, dense and hybrid over the documents."""
    return {
        name: build_first_stage(name.lower(), collection.documents, k=depth, embeddings=embeddings)
        for name in ("BM25", "dense", "hybrid")
    }
