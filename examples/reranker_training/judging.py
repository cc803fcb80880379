"""How good an order is: nDCG@10 with bootstrap intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
import torch
import typer
from rich.table import Table
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from reranker_training.data import Collection, read_collection, sample
from reranker_training.student import score_pairs
from reranker_training.teachers import Floats, Lexical, console, embed, fast_dtype, progress_bar

Scorer = Callable[[str, list[str]], Sequence[float]]


def interval(groups: Sequence[Floats], resamples: int = 10_000) -> str:
    """Return the mean of the groups' means with its 95 % bootstrap interval, as text.

    Queries are resampled within each group, so that every collection weighs the same.
    Source: Sakai, https://doi.org/10.1145/1148170.1148261.
    """
    rng = np.random.default_rng(0)
    means = np.zeros(resamples)
    for values in groups:
        picks = rng.integers(0, len(values), size=(resamples, len(values)))
        means += values[picks].mean(axis=1) / len(groups)
    low, high = np.quantile(means, (0.025, 0.975))
    mean = np.mean([values.mean() for values in groups])
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def ndcg(run: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]]) -> Floats:
    """Return nDCG@10 of every judged query, in the order of ``qrels``."""
    found = {
        metric.query_id: metric.value
        for metric in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, run)
    }
    return np.asarray([found.get(query_id, 0.0) for query_id in qrels], dtype=np.float32)


def judge(
    source: Collection, score: Scorer, *, depth: int, teacher: str, device: str, cache: Path
) -> dict[str, Floats]:
    """Return nDCG@10 per query of three orders of BM25's first ``depth`` documents."""
    doc_ids, texts = list(source.texts), list(source.texts.values())
    queries = list(source.queries.values())
    documents = embed(texts, teacher, device, cache, f"{source.name} texts")
    questions = embed(queries, teacher, device, cache, f"{source.name} questions")
    lexical = Lexical(texts)
    runs: dict[str, dict[str, dict[str, float]]] = {"BM25": {}, "cosine": {}, "reranked": {}}
    with progress_bar() as bar:
        pairs = enumerate(source.queries.items())
        for row, (query_id, query) in bar.track(pairs, len(queries), description=source.name):
            bm25 = lexical.scores(query)
            top = np.argsort(-bm25, kind="stable")[:depth]
            orders = {
                "BM25": bm25[top],
                "cosine": documents[top] @ questions[row],
                "reranked": np.asarray(score(query, [texts[i] for i in top]), dtype=np.float32),
            }
            for name, values in orders.items():
                # Ranks stand in for scores: equal scores keep BM25's order, as a stable sort does.
                ranked = top[np.argsort(-values, kind="stable")]
                runs[name][query_id] = {doc_ids[i]: -float(r) for r, i in enumerate(ranked)}
    return {name: ndcg(run, source.qrels) for name, run in runs.items()}


def load_scorer(model: str, *, device: str, max_length: int, exact: bool) -> Scorer:
    """Return a function from (query, texts) to raw scores for a model folder or ``embedded``."""
    network: Any
    if model == "embedded":
        from langchain_rerank.embedded import MODEL_FOLDER
        from langchain_rerank.embedded.weights import load_embedded_model

        network, tokenizer = load_embedded_model(), AutoTokenizer.from_pretrained(MODEL_FOLDER)
    else:
        network = AutoModelForSequenceClassification.from_pretrained(model)
        tokenizer = AutoTokenizer.from_pretrained(model)
    network.to(device, torch.float32 if exact else fast_dtype(device)).eval()

    def score(query: str, texts: list[str]) -> Sequence[float]:
        with torch.inference_mode():
            pairs = [(query, text) for text in texts]
            logits: list[float] = score_pairs(network, tokenizer, pairs, max_length).tolist()
        return logits

    return score


def report(
    score: Scorer,
    specs: Sequence[str],
    *,
    depth: int,
    queries: int | None,
    teacher: str,
    device: str,
    cache: Path,
) -> None:
    """Print nDCG@10 with 95 % intervals for every collection, and their means.

    Raises:
        typer.BadParameter: No folder is named.
    """
    if not specs:
        raise typer.BadParameter("name at least one folder to judge on")
    table = Table(title=f"nDCG@10 over BM25's first {depth}, 95 % bootstrap intervals")
    columns = ("BM25", "cosine", "reranked", "reranked - BM25", "reranked - cosine")
    for column in ("collection", "queries", *columns):
        table.add_column(column)
    found: list[dict[str, Floats]] = []
    for spec in specs:
        source = sample(read_collection(spec, "test"), queries)
        values = judge(source, score, depth=depth, teacher=teacher, device=device, cache=cache)
        values["reranked - BM25"] = values["reranked"] - values["BM25"]
        values["reranked - cosine"] = values["reranked"] - values["cosine"]
        found.append(values)
        cells = [interval([values[name]]) for name in columns]
        console.log(source.name, *cells)
        table.add_row(source.name, str(len(source.queries)), *cells)
    table.add_row("mean", "", *(interval([values[name] for values in found]) for name in columns))
    console.print(table)
