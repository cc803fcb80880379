"""What int8 changes over real candidates: `make measure-int8 FOLDERS="scifact clapnq_dev"`.

Of every question BM25's first documents are scored in float32 and in int8. It prints how alike
the orders are, how far a logit is off, and what happens to nDCG@10, with a 95 % interval over
questions.
"""

# ruff: noqa: T201 - it prints what it measured

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from scipy.stats import spearmanr

from langchain_rerank import BM25Retriever, CrossEncoderScorer
from langchain_rerank.evaluation import compare_models, load_collection
from langchain_rerank.evaluation.score import bootstrap
from langchain_rerank.wrappers import CachedScorer

PRECISIONS = ("float32", "int8")
NDCG = "nDCG@10"


def logits(scores: list[float]) -> np.ndarray:
    """Return `(n,)` logits of scores between 0 and 1."""
    kept = np.clip(scores, 1e-12, 1 - 1e-12)
    return np.log(kept / (1 - kept))


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", help="collections, as of BEIR")
    parser.add_argument("--model", default="embedded", help="one whose scores are sigmoids")
    parser.add_argument("--questions", type=int, default=150, help="of each, the first ones")
    parser.add_argument("--depth", type=int, default=50)
    asked = parser.parse_args()
    loaded = {dtype: CrossEncoderScorer(asked.model, dtype=dtype) for dtype in PRECISIONS}
    for one in loaded.values():
        one.load()
    if loaded["int8"].dtype != "int8":
        raise SystemExit("This model is not used in int8; the log says why.")
    models = {dtype: CachedScorer(one) for dtype, one in loaded.items()}
    changes = []
    for folder in asked.folders:
        collection = load_collection(folder)
        bm25 = BM25Retriever.from_documents(list(collection.documents), k=asked.depth)
        records = collection.dataset.records[: asked.questions]
        dataset = replace(collection.dataset, records=records)
        report = compare_models(bm25, models, dataset, first_stage_k=asked.depth, measures=NDCG)
        likeness, off = [], [0.0]
        for record in records:
            texts = [one.page_content for one in bm25.invoke(record.question)]
            one, other = (logits(model.score(record.question, texts)) for model in models.values())
            if len(texts) > 1:
                likeness.append(spearmanr(one, other).statistic)
            off.extend(abs(one - other))
        ndcg = np.array(
            [[one.systems[dtype].measures[NDCG] for dtype in PRECISIONS] for one in report.queries]
        )
        changes.append(ndcg[:, 1] - ndcg[:, 0])
        low, high = bootstrap.draws(changes[-1][:, None], seed=0).interval(0, bootstrap.DIFFERENCES)
        print(
            f"{folder}: {len(records)} questions, rank correlation {np.mean(likeness):.4f} "
            f"(least {min(likeness):.4f}), logits at most {max(off):.2f} off, {NDCG} "
            f"{ndcg[:, 0].mean():.4f} -> {ndcg[:, 1].mean():.4f} "
            f"({changes[-1].mean():+.4f}, {low:+.4f} to {high:+.4f})",
            flush=True,
        )
    print(f"mean of the collections: {np.mean([one.mean() for one in changes]):+.4f}")


if __name__ == "__main__":
    main()
