"""BM25 on real collections: the published quality, by both packages alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from langchain_core.documents import Document

from langchain_rerank.first_stage import BM25Retriever

COLLECTIONS = Path(__file__).parents[2].parent / "shared" / "collections"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not COLLECTIONS.is_dir(), reason="needs the test collections in ../shared/collections"
    ),
]


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def load(name):
    folder = COLLECTIONS / name
    corpus = [
        Document(f"{row.get('title', '')} {row['text']}".strip(), id=row["_id"])
        for row in read_lines(folder / "corpus.jsonl")
    ]
    queries = {row["_id"]: row["text"] for row in read_lines(folder / "queries.jsonl")}
    qrels = {}
    for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels.setdefault(query, {})[document] = int(grade)
    return corpus, queries, qrels


@pytest.mark.parametrize(
    ("name", "ndcg"), [("scifact", 0.680), ("chunking_eval", 0.791), ("clapnq_dev", 0.932)]
)
def test_bm25_has_the_quality_of_the_baseline(name, ndcg):
    ir_measures = pytest.importorskip("ir_measures")
    corpus, queries, qrels = load(name)
    retriever = BM25Retriever.from_documents(corpus, k=100, backend="bm25s")
    run = {
        query: {
            document.id: document.metadata["first_stage_score"]
            for document in retriever.invoke(queries[query])
        }
        for query in qrels
    }
    measure = ir_measures.nDCG @ 10
    found = ir_measures.calc_aggregate([measure], qrels, run)[measure]
    assert found == pytest.approx(ndcg, abs=0.0006)


def test_both_packages_rank_a_real_collection_alike():
    corpus, queries, _ = load("clapnq_dev")
    one, other = (
        BM25Retriever.from_documents(corpus, k=100, backend=backend)
        for backend in ("rank_bm25", "bm25s")
    )
    for query in queries.values():
        expected, found = one.invoke(query), other.invoke(query)
        assert [document.id for document in found] == [document.id for document in expected]
        assert [document.metadata["first_stage_score"] for document in found] == pytest.approx(
            [document.metadata["first_stage_score"] for document in expected]
        )
