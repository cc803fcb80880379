"""A real collection, whose figures are known."""

from pathlib import Path

import ir_measures
import pytest
from ir_measures import AP, RR, R, nDCG

from langchain_rerank.evaluation import compare_rerank, load_collection, sweep_k, write_run
from langchain_rerank.first_stage import BM25Retriever
from langchain_rerank.testing import CountingScorer, WordOverlapScorer

SCIFACT = Path(__file__).parents[3] / "shared" / "collections" / "scifact"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SCIFACT.is_dir(), reason=f"the collection {SCIFACT.name} is not here"),
]


@pytest.fixture(scope="module")
def scifact():
    found = load_collection(SCIFACT)
    return BM25Retriever.from_documents(list(found.documents), k=100), found.dataset


def test_bm25_has_its_known_quality_and_ir_measures_agrees_to_the_last_bit(scifact, tmp_path):
    retriever, data = scifact
    measures = [nDCG @ 10, RR @ 10, R @ 100, AP @ 100]
    names = list(map(str, measures))
    report = compare_rerank(
        retriever,
        WordOverlapScorer(),
        data,
        first_stage_k=100,
        measures=names,
        progress=False,
    )
    assert report.systems["first_stage"].measures["nDCG@10"].mean == pytest.approx(0.676, abs=0.01)
    qrels = {row.query_id: row.qrels for row in report.queries}
    for system, summary in report.systems.items():
        run = {row.query_id: row.systems[system] for row in report.queries}
        write_run(tmp_path / "run", {query: (one.ids, one.scores) for query, one in run.items()})
        written = list(ir_measures.read_trec_run(str(tmp_path / "run")))
        for measure, name in zip(measures, names, strict=True):
            values = {
                found.query_id: found.value
                for found in ir_measures.iter_calc([measure], qrels, written)
            }
            assert {query: one.measures[name] for query, one in run.items()} == values
            assert summary.measures[name].mean == pytest.approx(
                sum(values.values()) / len(values), abs=1e-14
            )


def test_a_sweep_costs_at_most_a_third_more_pairs_than_one_evaluation_at_the_largest_depth(scifact):
    retriever, data = scifact
    scorer = CountingScorer(WordOverlapScorer())
    report = sweep_k(retriever, scorer, data, progress=False)
    candidates = sum(
        min(100, len(found)) for found in retriever.batch([one.question for one in data.records])
    )
    assert len(scorer.texts) <= 1.3 * candidates
    assert report.sweep.single_pass
    assert all(point.latency["total"].n > 0 for point in report.sweep.points)
