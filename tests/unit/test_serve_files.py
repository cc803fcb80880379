"""Files in parts, without Ray: every row in one part, parts whole or absent, nothing left over."""

from __future__ import annotations

import json
import random

import pytest

from langchain_rerank.errors import DataFileError
from langchain_rerank.serve import files

arrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")


def rows(n):
    return [{"id": i, "query": f"query {i // 7}", "text": f"text {i}\n"} for i in range(n)]


def scored(path, form, size, folder):
    """Score a file as actors do, each text with its length, and return the parts."""
    parts = files.parts_of(path, form, size)
    for part in random.Random(size).sample(parts, len(parts)):
        read, pairs = files.read_part(path, part, form)
        assert len(pairs) == part["pairs"] <= size
        files.write_part(folder, part, (read, [float(len(text)) for _, text in pairs]), form)
    return [part["part"] for part in parts]


def with_scores(records):
    return [one | {"score": float(len(one["text"]))} for one in records]


@pytest.mark.parametrize(
    ("n", "group", "size"),
    [
        (0, 7, 9),
        (1, 7, 9),
        (40, 7, 9),
        (40, 9, 7),
        (40, 100, 100),
        (2500, 1100, 1024),
        (2500, 5000, 900),
    ],
)
def test_every_row_of_parquet_is_in_one_part_however_it_is_grouped(n, group, size, tmp_path):
    source, out = tmp_path / "pairs.parquet", tmp_path / "out.parquet"
    schema = arrow.schema([("id", "int64"), ("query", "string"), ("text", "string")])
    table = arrow.Table.from_pylist(rows(n), schema.with_metadata({"mine": "kept"}))
    parquet.write_table(table, source, row_group_size=group)
    numbers = scored(source, files.PARQUET, size, tmp_path)
    files.join(source, tmp_path, numbers, files.PARQUET, out, as_run=False)
    got = parquet.read_table(out)
    assert got.to_pylist() == with_scores(rows(n))
    assert got.column_names == ["id", "query", "text", "score"]
    assert got.schema.metadata[b"mine"] == b"kept"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize(("n", "size"), [(0, 5), (1, 5), (40, 9), (40, 1)])
def test_every_line_of_jsonl_is_in_one_part(end, n, size, tmp_path):
    source, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    source.write_text(end.join(map(json.dumps, rows(n))), newline="")
    numbers = scored(source, files.JSONL, size, tmp_path)
    files.join(source, tmp_path, numbers, files.JSONL, out, as_run=False)
    assert [json.loads(line) for line in out.read_text().splitlines()] == with_scores(rows(n))


def test_a_score_that_a_row_has_already_is_replaced_where_it_stands(tmp_path):
    source, out = tmp_path / "pairs.parquet", tmp_path / "out.parquet"
    parquet.write_table(arrow.table({"score": ["old"], "query": ["q"], "text": ["abc"]}), source)
    numbers = scored(source, files.PARQUET, 5, tmp_path)
    files.join(source, tmp_path, numbers, files.PARQUET, out, as_run=False)
    assert parquet.read_table(out).to_pylist() == [{"score": 3.0, "query": "q", "text": "abc"}]


def test_what_is_interrupted_while_it_writes_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    parts, out = tmp_path / "parts", tmp_path / "out.jsonl"
    parts.mkdir()
    out.write_text("old")
    files.write_part(parts, {"part": 0}, ([{"query": "q", "text": "t"}], [1.0]), files.JSONL)
    with pytest.raises(FileNotFoundError):
        files.join(out, parts, [0, 1], files.JSONL, out, as_run=False)  # the second is missing
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "parts"]


def test_a_row_without_a_text_is_named(tmp_path):
    source = tmp_path / "pairs.parquet"
    table = arrow.table({"query": ["q"] * 5, "text": ["a", "b", "c", None, "e"]})
    parquet.write_table(table, source)
    (_, second) = files.parts_of(source, files.PARQUET, 3)
    with pytest.raises(DataFileError, match="row 3: query and text must be strings"):
        files.read_part(source, second, files.PARQUET)
