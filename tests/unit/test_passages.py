"""Passages from files of rows: what somebody cut already stays what it is."""

import gzip
import json

import pytest

from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.files import load_documents
from langchain_rerank.reading import Form

LONG = "Adapters are small matrices. " * 60  # 1,740 characters


def jsonl(path, *rows):
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def test_passages_of_jsonl_keep_their_ids_and_their_length(tmp_path):
    path = jsonl(tmp_path / "corpus.jsonl", {"_id": "p1", "text": LONG}, {"_id": 2, "text": "b"})
    first, second = load_documents([path])
    assert (first.id, first.page_content) == ("p1", LONG)
    assert (second.id, second.metadata) == ("2", {"source": "corpus.jsonl"})


def test_a_passage_with_a_corpus_of_its_own_is_one_passage(tmp_path):
    row = {"_id": "p", "text": "b", "corpus": {"name": "mine"}}
    (found,) = load_documents([jsonl(tmp_path / "a.jsonl", row)])
    assert (found.id, found.page_content, found.metadata["corpus"]) == ("p", "b", {"name": "mine"})


def test_the_metadata_of_a_passage_is_the_users(tmp_path):
    row = {"_id": "p", "text": LONG, "lang": "en", "metadata": {"chunk": "user's", "source": "s"}}
    (whole,) = load_documents([jsonl(tmp_path / "a.jsonl", row)])
    assert whole.metadata == {"source": "s", "chunk": "user's", "lang": "en"}
    cut = load_documents([jsonl(tmp_path / "a.jsonl", row)], chunk_size=500)
    assert {one.metadata["chunk"] for one in cut} == {"user's"}


def test_passages_are_cut_where_a_size_is_asked_for_and_only_those_that_are_longer(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"_id": "long", "text": LONG}, {"_id": "b", "text": "b"})
    found = load_documents([path], chunk_size=600)
    assert [one.id for one in found] == ["long#1", "long#2", "long#3", "long#4", "b"]
    assert all(len(one.page_content) <= 600 for one in found)


def test_running_text_is_cut_as_before(tmp_path):
    (tmp_path / "guide.md").write_text(LONG)
    found = load_documents([tmp_path])
    assert [one.id for one in found] == [f"guide.md#{n}" for n in range(1, len(found) + 1)]
    assert len(found) > 3
    assert found[1].metadata["chunk"] == 2
    assert len(load_documents([tmp_path], chunk_size=10_000)) == 1


@pytest.mark.parametrize("size", [0, -3])
def test_an_impossible_chunk_size_is_refused(tmp_path, size):
    (tmp_path / "guide.md").write_text(LONG)
    with pytest.raises(ConfigurationError, match=f"chunk_size={size}"):
        load_documents([tmp_path], chunk_size=size)


@pytest.mark.parametrize(
    "settings",
    [
        {"chunk_size": "512"},
        {"chunk_size": 51.2},
        {"chunk_overlap": -1},
        {"chunk_overlap": "5"},
        {"chunk_size": 40, "chunk_overlap": 40},
    ],
)
def test_impossible_chunk_settings_are_named(tmp_path, settings):
    (tmp_path / "a.txt").write_text("A passage.", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"chunk_(size|overlap)="):
        load_documents([tmp_path], **settings)


ROWS = [{"_id": "1", "text": "one", "title": ""}, {"_id": "2", "text": "two", "title": "T"}]
TEXTS = ["one", "T\ntwo"]


def test_a_json_array_is_passages_and_not_running_text(tmp_path):
    path = tmp_path / "corpus.json"
    path.write_text(json.dumps(ROWS, indent=2))
    assert [(one.id, one.page_content) for one in load_documents([path])] == [
        ("1", "one"),
        ("2", "T\ntwo"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_passages_are_read_in_encodings_that_say_what_they_are(tmp_path, encoding):
    path = tmp_path / "corpus.jsonl"
    path.write_text('{"_id": "é", "text": "Größe"}', encoding=encoding)
    (found,) = load_documents([path])
    assert (found.id, found.page_content) == ("é", "Größe")


def test_another_encoding_is_named_and_read_when_it_is_said(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(
        "Die Größe der Übersetzung wächst, und die Prüfung läuft über Nächte.".encode("cp1252")
    )
    with pytest.raises(DataFileError, match=r"not UTF-8 \(byte 6\).*--encoding"):
        load_documents([path])
    (found,) = load_documents([path], form=Form(encoding="cp1252"))
    assert found.page_content.startswith("Die Größe")
    with pytest.raises(ConfigurationError, match="no encoding 'latin-99'"):
        load_documents([path], form=Form(encoding="latin-99"))


def test_packed_tables_and_parquet_are_passages_too(tmp_path):
    pandas = pytest.importorskip("pandas")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))
    (tmp_path / "b.csv").write_text("_id;text;title\n1;one;\n2;two;T\n")
    pandas.DataFrame(ROWS).to_parquet(tmp_path / "c.parquet")
    for name in ("a.jsonl.gz", "b.csv", "c.parquet"):
        assert [one.page_content for one in load_documents([tmp_path / name])] == TEXTS, name


def test_the_paragraphs_of_squad_are_passages(tmp_path):
    path = tmp_path / "dev.json"
    article = {"title": "LoRA", "paragraphs": [{"context": "a", "qas": []}, {"context": "b"}]}
    path.write_text(json.dumps({"version": "2", "data": [article]}))
    found = load_documents([path])
    assert [(one.id, one.page_content) for one in found] == [("LoRA/1", "a"), ("LoRA/2", "b")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"_id": "a", "text": "x"}\n{"_id": "a", "text": "y"}', "'a' was used in line 1"),
        ('{"_id": "a", "text": 1}', 'string "text"'),
        ('{"_id": {}, "text": "x"}', 'string "text"'),
        ('{"_id": "a", "text": "x", "metadata": [1]}', 'string "text"'),
        ("[1]", 'string "text"'),
        ('[{"_id": "a", "text": "x"}', "no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"text": ' + "1" * 5000 + "}", "no JSON"),
    ],
)
def test_what_is_no_passage_is_an_error_that_says_so(tmp_path, text, message):
    path = tmp_path / "corpus.jsonl"
    path.write_text(text)
    with pytest.raises(DataFileError, match=message):
        load_documents([path])


def test_one_id_in_two_files_is_an_error(tmp_path):
    paths = [jsonl(tmp_path / name, {"_id": "x", "text": name}) for name in ("a.jsonl", "b.jsonl")]
    with pytest.raises(DataFileError, match="two of its passages have the id 'x'"):
        load_documents(paths)


def test_a_damaged_archive_is_an_error(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"_id": "a", "text": "x"}')[:-6])
    with pytest.raises(DataFileError, match="gzip is damaged"):
        load_documents([path])


def test_a_folder_that_datasets_saved_is_passages(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_list(ROWS).save_to_disk(tmp_path / "corpus")
    found = load_documents([tmp_path / "corpus"])
    assert [one.page_content for one in found] == TEXTS
    datasets.DatasetDict({"a": datasets.Dataset.from_list(ROWS)}).save_to_disk(tmp_path / "splits")
    assert [one.id for one in load_documents([tmp_path / "splits"])] == ["1", "2"]
    with pytest.raises(ConfigurationError, match=r"no split 'b': it has a\."):
        load_documents([tmp_path / "splits"], form=Form(split="b"))


@pytest.mark.parametrize(
    ("row", "id_"),
    [
        ({"ID": "d1", "Text": "a"}, "d1"),
        ({"Doc ID": "d1", "text": "a"}, "d1"),
        ({"corpus-id": "d1", "text": "a"}, "d1"),
        ({"DOCNO": "d1", "TEXT": "a"}, "d1"),
        ({"id": 7.0, "text": "a"}, "7"),
        ({"id": float("nan"), "text": "a"}, "a.jsonl:1"),
    ],
)
def test_the_id_of_a_passage_is_found_however_its_column_is_written(tmp_path, row, id_):
    (found,) = load_documents([jsonl(tmp_path / "a.jsonl", row)])
    assert (found.id, found.page_content) == (id_, "a")


def test_a_sheet_of_passages_may_have_capitals_and_metadata_as_json(tmp_path):
    (tmp_path / "a.csv").write_text('ID;Text;Title;Metadata\n007;a;T;"{""lang"": ""en""}"\n')
    (found,) = load_documents([tmp_path / "a.csv"])
    assert (found.id, found.page_content) == ("007", "T\na")
    assert found.metadata == {"source": "a.csv", "title": "T", "lang": "en"}
