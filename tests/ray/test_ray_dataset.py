"""rerank_dataset: every kind of file, the scores of one process, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from langchain_rerank import CrossEncoderScorer, rerank_dataset
from langchain_rerank.errors import ConfigurationError, DataFileError, ModelLoadError
from langchain_rerank.evaluation.data.trec import read_run
from langchain_rerank.testing.tiny_models import build_tiny_model

pytest.importorskip("ray", reason="needs the extra `ray`: make ray")

pytestmark = [
    pytest.mark.ray,
    pytest.mark.enable_socket,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
]

SETTINGS = {"dtype": "float32", "device": "cpu"}


def rows(n):
    return [
        {"id": i, "query": f"query {i // 20}", "text": f"text {i} " * (1 + i % 9)} for i in range(n)
    ]


@pytest.fixture(scope="module")
def local(tiny_model):
    return CrossEncoderScorer(tiny_model, **SETTINGS)


def expected(local, records):
    return [local.score(one["query"], [one["text"]])[0] for one in records]


def write_jsonl(path, records):
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def test_jsonl_gets_scores_and_keeps_what_else_it_has(local_ray, tiny_model, local, tmp_path):
    records = rows(130)
    source = write_jsonl(tmp_path / "pairs.jsonl", records)
    out = tmp_path / "scored.jsonl"
    assert rerank_dataset(source, out, model=tiny_model, part_pairs=50, **SETTINGS) == 130
    got = [json.loads(line) for line in out.read_text().splitlines()]
    assert [{k: v for k, v in one.items() if k != "score"} for one in got] == records
    assert [one["score"] for one in got] == pytest.approx(expected(local, records), abs=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.jsonl", "scored.jsonl"]


def test_parquet_gets_a_column(local_ray, tiny_model, local, tmp_path):
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    records = rows(130)
    source, out = tmp_path / "pairs.parquet", tmp_path / "scored.parquet"
    parquet.write_table(arrow.Table.from_pylist(records), source, row_group_size=33)
    rerank_dataset(source, out, model=tiny_model, part_pairs=50, **SETTINGS)
    got = parquet.read_table(out).to_pylist()
    assert [{k: v for k, v in one.items() if k != "score"} for one in got] == records
    assert [one["score"] for one in got] == pytest.approx(expected(local, records), abs=1e-5)


def test_a_trec_run_gets_new_scores_and_ranks(local_ray, tiny_model, local, tmp_path):
    folder = tmp_path / "collection"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{i}", "text": f"text {i} " * (1 + i % 5)} for i in range(10)]
    write_jsonl(folder / "corpus.jsonl", documents)
    write_jsonl(folder / "queries.jsonl", [{"_id": f"q{i}", "text": f"query {i}"} for i in (1, 2)])
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\n")
    run = tmp_path / "bm25.run"
    lines = [f"q{q} Q0 d{i} {i + 1} {10 - i} bm25" for q in (1, 2) for i in range(10)]
    run.write_text("\n".join(lines) + "\n")
    out = tmp_path / "reranked.run"
    rerank_dataset(run, out, model=tiny_model, collection=folder, part_pairs=7, **SETTINGS)
    for query, ranked in read_run(out).items():
        texts = {one["_id"]: one["text"] for one in documents}
        want = local.score(f"query {query[1:]}", [texts[name] for name, _ in ranked])
        assert [score for _, score in ranked] == pytest.approx(list(want), abs=1e-5)
        assert len(ranked) == 10


SCRIPT = """
import sys
from langchain_rerank import rerank_dataset
source, out, model = sys.argv[1:]
rerank_dataset(source, out, model=model, part_pairs=20, dtype="float32", device="cpu")
"""


def test_killed_and_started_again_it_ends_with_the_file_of_an_undisturbed_run(
    local_ray, tiny_model, tmp_path
):
    source = write_jsonl(tmp_path / "pairs.jsonl", rows(3000))
    whole, again = tmp_path / "whole.jsonl", tmp_path / "again.jsonl"
    rerank_dataset(source, whole, model=tiny_model, part_pairs=20, **SETTINGS)
    parts = tmp_path / "again.jsonl.parts"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, source, again, tiny_model],
        env=os.environ | {"RAY_ADDRESS": local_ray.get_runtime_context().gcs_address},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 120
    while len(list(parts.glob("part-??????"))) < 5 and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in parts.glob("part-??????")}
    assert 5 <= len(done) < 150
    assert not again.exists()
    with pytest.raises(ConfigurationError, match="another part_pairs"):
        rerank_dataset(source, again, model=tiny_model, part_pairs=30, **SETTINGS)
    rerank_dataset(source, again, model=tiny_model, part_pairs=20, **SETTINGS)
    assert again.read_bytes() == whole.read_bytes()
    assert not parts.exists()


def test_parts_of_another_state_of_model_or_texts_are_not_mixed_in(local_ray, tmp_path):
    model = build_tiny_model("bert", tmp_path / "model")
    source, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    write_jsonl(source, [*rows(30), {"query": "q"}])
    settings = {"model": str(model), "part_pairs": 10} | SETTINGS
    with pytest.raises(DataFileError):
        rerank_dataset(source, out, **settings)
    time.sleep(0.01)
    (model / "config.json").write_text((model / "config.json").read_text() + "\n")
    with pytest.raises(ConfigurationError, match="another state of the model"):
        rerank_dataset(source, out, **settings)


def test_a_collection_that_changed_is_another_run(local_ray, tiny_model, tmp_path):
    folder, run, out = tmp_path / "collection", tmp_path / "bm25.run", tmp_path / "out.run"
    (folder / "qrels").mkdir(parents=True)
    write_jsonl(folder / "corpus.jsonl", [{"_id": f"d{i}", "text": f"text {i}"} for i in range(9)])
    write_jsonl(folder / "queries.jsonl", [{"_id": "q1", "text": "query"}])
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    run.write_text("".join(f"q1 Q0 d{i} {i + 1} {9 - i} bm25\n" for i in range(9)))
    settings = {"model": tiny_model, "collection": folder, "part_pairs": 4} | SETTINGS
    # A folder where the result should go: everything is scored, and cannot be put in place.
    out.mkdir()
    with pytest.raises(OSError, match=r"out\.run"):
        rerank_dataset(run, out, **settings)
    corpus = (folder / "corpus.jsonl").read_text()
    (folder / "corpus.jsonl").write_text(corpus.replace("text 3", "another"))
    with pytest.raises(ConfigurationError, match="another collection"):
        rerank_dataset(run, out, **settings)
    (folder / "corpus.jsonl").write_text(corpus)
    out.rmdir()
    assert rerank_dataset(run, out, **settings) == 9


def test_a_file_without_rows_gives_one_without_rows(local_ray, tiny_model, tmp_path):
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    source, out = tmp_path / "pairs.parquet", tmp_path / "out.parquet"
    parquet.write_table(arrow.table({"query": arrow.array([], "string"), "text": []}), source)
    assert rerank_dataset(source, out, model=tiny_model, **SETTINGS) == 0
    assert parquet.read_table(out).column_names == ["query", "text", "score"]
    write_jsonl(tmp_path / "pairs.jsonl", [])
    assert rerank_dataset(tmp_path / "pairs.jsonl", tmp_path / "o.jsonl", model=tiny_model) == 0
    assert (tmp_path / "o.jsonl").read_text() == ""


def test_a_bad_row_is_named_with_its_line_and_no_row_is_lost(local_ray, tiny_model, tmp_path):
    source = write_jsonl(tmp_path / "pairs.jsonl", [*rows(30), {"query": "q"}, *rows(3)])
    with pytest.raises(DataFileError, match=r"pairs.jsonl:31: expected an object") as caught:
        rerank_dataset(source, tmp_path / "out.jsonl", model=tiny_model, part_pairs=20, **SETTINGS)
    assert caught.value.line == 31
    assert not (tmp_path / "out.jsonl").exists()


def test_a_model_that_cannot_be_loaded_is_that_error(local_ray, tmp_path):
    source = write_jsonl(tmp_path / "pairs.jsonl", rows(3))
    with pytest.raises(ModelLoadError):
        rerank_dataset(source, tmp_path / "out.jsonl", model=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("source", "out", "settings", "said"),
    [
        ("a.jsonl", "a.parquet", {}, "the same ending"),
        ("a.run", "b.run", {}, "needs the folder of its collection"),
        ("a.jsonl", "b.jsonl", {"collection": "c"}, "need none"),
        ("a.jsonl", "b.jsonl", {"dtype": "int3"}, "dtype='int3'"),
        ("a.jsonl", "b.jsonl", {"model": object()}, "a name or a folder"),
        ("a.jsonl", "b.jsonl", {"num_actors": 0}, "num_actors=0"),
        ("a.jsonl", "b.jsonl", {"part_pairs": 2.5}, "part_pairs=2.5"),
        ("a.jsonl", "b.jsonl", {"num_gpus": -1}, "num_gpus=-1"),
    ],
)
def test_what_does_not_go_together_is_refused(source, out, settings, said, tmp_path):
    with pytest.raises(ConfigurationError, match=said):
        rerank_dataset(tmp_path / source, tmp_path / out, **{"model": "embedded"} | settings)


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(DataFileError, match="No such file"):
        rerank_dataset(tmp_path / "a.jsonl", tmp_path / "b.jsonl", model="embedded")
    assert Path(tmp_path / "a.jsonl").exists() is False
