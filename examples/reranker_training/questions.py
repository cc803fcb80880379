"""Who asks what of which documents: judged questions, or stand-ins made from plain text."""

# ruff: noqa: S311 - sampling, not cryptography

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass, replace
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_rerank import BM25Retriever, DenseRetriever, HybridRetriever
from langchain_rerank.cli.kept_embeddings import KeptEmbeddings
from langchain_rerank.evaluation.data.beir import load_collection
from langchain_rerank.files import load_documents
from langchain_rerank.first_stage import default_embeddings


@dataclass(frozen=True)
class Asked:
    """A question, with the grade of each judged document by its id."""

    question: str
    qrels: dict[str, int]


@dataclass(frozen=True)
class Questions:
    """Questions about one corpus."""

    name: str
    documents: list[Document]
    asked: list[Asked]
    labelled: bool = True

    def sample(self, count: int | None, seed: int) -> Questions:
        """Return the same with a random `count` of the questions; all of them for None."""
        picked = random.Random(f"{seed} {self.name}").sample(
            self.asked, min(len(self.asked), count if count is not None else len(self.asked))
        )
        return replace(self, asked=picked)


def judged(spec: str, default_split: str) -> Questions:
    """Return the judged questions of a BEIR folder, named as ``folder`` or ``folder:split``."""
    path, _, split = spec.partition(":")
    collection = load_collection(path, split=split or default_split)
    asked = [Asked(one.question, one.qrels) for one in collection.dataset.records]
    return Questions(Path(path).name, list(collection.documents), asked)


def from_text(path: str, count: int, seed: int) -> Questions:
    """Return a pseudo-question for up to ``count`` passages of the text files at ``path``.

    Half of the time the sentence behind the question is removed from its passage, so that the
    model cannot win by looking for a copy. The passage counts as judged only to put it among the
    candidates; it earns no label.
    """
    rng = random.Random(f"{seed} {path}")
    corpus = Path(path, "corpus.jsonl")  # of a BEIR folder, without its questions
    files = corpus if corpus.is_file() else Path(path)
    passages = load_documents(files, chunk_size=900, chunk_overlap=0)
    rng.shuffle(passages)
    passages = passages[: count * 2]
    bags = [set(one.page_content.lower().split()) for one in passages]
    counts: dict[str, int] = {}
    for word in (word for bag in bags for word in bag):
        counts[word] = counts.get(word, 0) + 1
    rarity = {word: math.log(len(bags) / number) for word, number in counts.items()}
    documents, asked = [], []
    for number, passage in enumerate(passages):
        text = passage.page_content
        sentences = [
            one for one in re.split(r"(?<=[.!?])\s+|\n\s*\n", text) if len(one.split()) >= 4
        ]
        if number < count and sentences:
            chosen = rng.choice(sentences)
            asked.append(Asked(pseudo_question(chosen, rarity, rng), {str(passage.id): 1}))
            if len(sentences) > 2 and rng.random() < 0.5:
                text = text.replace(chosen, " ")
        documents.append(passage.model_copy(update={"page_content": text}))
    return Questions(Path(path).name, documents, asked, labelled=False)


def pseudo_question(sentence: str, rarity: dict[str, float], rng: random.Random) -> str:
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
    terms = sorted({word.strip(".,;:()[]'\"?!") for word in words} - {""})
    weights = [rarity.get(term.lower(), 8.0) ** 2 * rng.random() for term in terms]
    ranked = sorted(zip(weights, terms, strict=True), reverse=True)
    chosen = [term for _, term in ranked[: rng.randint(2, 6)]]
    if rng.random() < 0.5:
        chosen.sort(key=sentence.find)
    if kind > 0.85:
        chosen.insert(0, rng.choice(("what is", "how does", "why", "which", "when is", "who")))
    return " ".join(chosen) or sentence


@dataclass(frozen=True)
class Kept:
    """A bi-encoder that has embedded its texts before."""

    embeddings: Embeddings
    vectors: dict[str, list[float]]

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a query."""
        return self.embeddings.embed_query(text)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts of the corpus."""
        return [self.vectors[text] for text in texts]


def first_stages(
    questions: Questions, embedding_model: str | None, cache: Path, depth: int
) -> tuple[dict[str, BaseRetriever], Kept]:
    """Return BM25, dense and hybrid over the documents, and the bi-encoder behind them."""
    cache.mkdir(parents=True, exist_ok=True)
    embeddings = KeptEmbeddings(
        default_embeddings(embedding_model),
        model=embedding_model or "all-MiniLM-L6-v2",
        store=cache / "index.sqlite3",
        progress=lambda what, done, total: print(f"{what}: {done} of {total}", end="\r"),
    )
    store = InMemoryVectorStore(embeddings)
    store.add_documents(questions.documents)
    bm25 = BM25Retriever.from_documents(questions.documents, k=depth)
    dense = DenseRetriever(vectorstore=store, k=depth)
    hybrid = HybridRetriever(retrievers=[bm25, dense], k=depth)
    vectors = {entry["text"]: entry["vector"] for entry in store.store.values()}
    stages = {"BM25": bm25, "dense": dense, "hybrid": hybrid}
    return stages, Kept(embeddings, vectors)
