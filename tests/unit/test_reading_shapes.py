"""The files that people have, each as a small one in tests/data/shapes, read as they are."""

import json
from pathlib import Path

import pytest

from langchain_rerank.errors import ConfigurationError, DataFileError, RerankError
from langchain_rerank.evaluation.data.beir import load_collection
from langchain_rerank.evaluation.data.files import load_dataset
from langchain_rerank.evaluation.data.questions import from_records
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.data.trec import read_qrels, read_run
from langchain_rerank.files import load_documents

SHAPES = Path(__file__).parents[1] / "data" / "shapes"
QUESTIONS = ["What does LoRA train?", "Wie groß ist QLoRA?"]
ANSWERS = ["Two small matrices.", "Vier Bit je Gewicht."]
CONTEXTS = [
    ("LoRA trains two small matrices for each layer.",),
    ("QLoRA speichert Gewichte in vier Bit, und lässt sie fest.",),
]
IDS = [("lora",), ("qlora",)]


@pytest.mark.parametrize(
    ("name", "label", "expected", "answered"),
    [
        ("beir", "qrels", [{"lora": 1}, {"qlora": 1}], False),
        ("mteb", "qrels", [{"lora": 1}, {"qlora": 1}], False),
        ("mteb_parquet", "qrels", [{"lora": 1}, {"qlora": 1}], False),
        ("ragas.csv", "reference_contexts", CONTEXTS, True),
        ("ragas.jsonl", "reference_contexts", CONTEXTS, True),
        ("langsmith.csv", "tags", [(), ()], True),
        ("langsmith.json", "tags", [(), ()], True),
        ("squad.json", "reference_contexts", CONTEXTS, True),
        ("squad.parquet", "reference_contexts", CONTEXTS, True),
        ("saved", "reference_context_ids", IDS, True),
        ("array.json", "reference_context_ids", IDS, True),
        ("columns.json", "reference_context_ids", IDS, True),
        ("wrapped.json", "reference_context_ids", IDS, True),
        ("llama_index.json", "reference_context_ids", IDS, False),
        ("topics.tsv", "tags", [(), ()], False),
        ("rows.jsonl", "qrels", [{"lora": 2}, {"qlora": 2}], True),
        ("rows.jsonl.gz", "qrels", [{"lora": 2}, {"qlora": 2}], True),
        ("comma.csv", "expected_source", [("lora.md", "paper.pdf"), ("qlora.md",)], True),
        ("semicolon.csv", "expected_source", [("lora.md",), ("qlora.md",)], True),
        ("excel.csv", "expected_source", [("lora.md",), ("qlora.md",)], True),
        ("tab.tsv", "expected_source", [("lora.md",), ("qlora.md",)], True),
        ("bar.csv", "expected_source", [("lora.md",), ("qlora.md",)], True),
        ("utf16.csv", "expected_source", [("lora.md",), ("qlora.md",)], True),
    ],
)
def test_a_shape_is_read_as_it_is(name, label, expected, answered):
    data = load_dataset(SHAPES / name)
    records = [one for one in data.records if one.id != "no"]  # SQuAD's that has no answer
    assert [one.question for one in records] == QUESTIONS
    assert [getattr(one, label) for one in records] == expected
    assert [one.reference for one in records] == (ANSWERS if answered else [None, None])
    assert not any(one.problem for one in data.records)


def test_synonyms_of_columns_are_said_and_other_columns_are_kept():
    data = load_dataset(SHAPES / "ragas.csv")
    (said,) = data.warnings
    assert "read 'user_input' as question" in said
    assert "kept as metadata: 'persona_name', 'synthesizer_name'" in said
    assert data.records[0].metadata["persona_name"] == "Student"
    assert load_dataset(SHAPES / "rows.jsonl").warnings == ()
    assert load_dataset(SHAPES / "rows.jsonl").records[0].metadata == {"difficulty": "easy"}


def test_a_question_without_an_answer_has_no_label():
    (unanswerable,) = [one for one in load_dataset(SHAPES / "squad.json").records if one.id == "no"]
    assert Relevance().rule_for(unanswerable) is None


def test_a_split_is_named_where_there_are_several():
    with pytest.raises(ConfigurationError, match="it has train, test"):
        load_dataset(SHAPES / "saved_splits")
    assert len(load_dataset(SHAPES / "saved_splits", split="train")) == 1
    with pytest.raises(DataFileError, match="the folder has dev, test"):
        load_collection(SHAPES / "beir", split="train")


def test_judged_queries_that_are_not_asked_are_named_and_the_others_run():
    data = load_dataset(SHAPES / "beir", split="dev")
    assert [one.id for one in data.records] == ["q1"]
    assert data.records[0].qrels == {"lora": 1}
    assert "dev.tsv judges 1 queries that are not asked, for instance 'q404'" in data.warnings[0]


def test_an_encoding_that_a_file_does_not_say_is_asked_for_and_taken():
    with pytest.raises(DataFileError, match=r"not UTF-8.*encoding=.*--encoding"):
        load_dataset(SHAPES / "cp1252.csv")
    data = load_dataset(SHAPES / "cp1252.csv", encoding="cp1252")
    assert [one.question for one in data.records] == QUESTIONS


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ambiguous.csv", r"parted by ',' and ';'; say which with delimiter.*--delimiter"),
        ("no_question.csv", r"no column that holds the question, only 'colour', 'size'"),
        ("open_quote.csv", r"open_quote\.csv:2: .*quote left open"),
        ("ragged.csv", r"ragged\.csv:2: 3 cells under a header of 2; quote cells that hold ','"),
        ("half.jsonl", r"half\.jsonl:2: This is no JSON"),
        ("sheet.xlsx", r"Save the sheet as CSV \(UTF-8\)"),
        ("utf16_unmarked.csv", r"encoding='utf-16-le'"),
        ("list.csv", r"list\.csv:2: .*Write it as JSON"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_one_thing_to_do(name, message):
    with pytest.raises(RerankError, match=message):
        load_dataset(SHAPES / "refused" / name)


def test_a_delimiter_that_is_named_is_taken():
    path = SHAPES / "refused" / "ambiguous.csv"
    assert load_dataset(path, delimiter=";").records[0].question == "Why"
    assert load_dataset(path, delimiter=",").records[0].question == "How"
    with pytest.raises(ConfigurationError, match="delimiter='xy'"):
        load_dataset(path, delimiter="xy")


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("passages.jsonl", ["lora", "qlora"]),
        ("squad.json", ["Adapters/1", "Adapters/2"]),
        ("llama_index.json", ["lora", "qlora"]),
        ("beir/corpus.jsonl", ["lora", "qlora"]),
        ("mteb_parquet/corpus/corpus-00000-of-00001.parquet", ["lora", "qlora"]),
    ],
)
def test_passages_keep_their_ids_and_metadata(name, ids):
    found = load_documents([SHAPES / name])
    assert [one.id for one in found] == ids
    assert CONTEXTS[0][0] in found[0].page_content
    if name == "passages.jsonl":
        assert found[0].metadata["chunk"] == 7


def test_qrels_have_comments_tabs_spaces_and_grades_with_a_point():
    assert read_qrels(SHAPES / "trec" / "qrels.txt") == {
        "q1": {"lora": 1, "qlora": 0},
        "q2": {"qlora": 2},
    }
    assert read_qrels(SHAPES / "trec" / "qrels_plain.txt") == {
        "301": {"CR93E-3103#37": 1, "CR93E-3284": 0}
    }


@pytest.mark.parametrize("name", ["run.txt", "run.txt.gz"])
def test_runs_have_doubled_tabs_ranks_that_are_no_numbers_and_long_tags(name):
    assert read_run(SHAPES / "trec" / name) == {
        "q1": [("lora", 2.5), ("qlora", 1.5)],
        "q2": [("qlora", 3.5), ("lora", 0.5)],
    }


@pytest.mark.parametrize(
    "header",
    [
        "query-id\tcorpus-id\tscore",
        "query_id\tdoc_id\trelevance",
        "qid\tdocid\tlabel",
        "topic iteration docno relevance",
        "Query Document Grade",
    ],
)
def test_any_header_of_qrels_is_a_header(tmp_path, header):
    line = "7 0 d1 1" if len(header.split()) == 4 else "7\td1\t1"
    (tmp_path / "q.tsv").write_text(f"{header}\n{line}\n")
    assert read_qrels(tmp_path / "q.tsv") == {"7": {"d1": 1}}


def test_columns_of_qrels_in_another_order_are_found_by_their_names(tmp_path):
    (tmp_path / "q.tsv").write_text("corpus-id\tquery-id\tscore\nd1\t7\t2\n")
    assert read_qrels(tmp_path / "q.tsv") == {"7": {"d1": 2}}


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize(
    "row",
    [
        {"inputs": {"question": "q"}, "outputs": {"answer": "a", "relevant_docs": ["x"]}},
        {"inputs": {"query": "q"}, "reference_outputs": {"reference_context_ids": ["x"]}},
        {"input": {"question": "q"}, "output": {"answer": "a", "gold_ids": "['x']"}},
    ],
)
def test_labels_among_the_expected_outputs_are_labels_in_one_row_as_in_many(tmp_path, rows, row):
    path = tmp_path / "examples.jsonl"
    path.write_text("\n".join([json.dumps(row)] * rows))
    found = load_dataset(path).records
    assert [(one.question, one.reference_context_ids) for one in found] == [("q", ("x",))] * rows


def test_what_a_system_returned_is_no_label():
    row = {
        "inputs": {"question": "q"},
        "outputs": {"answer": "a", "sources": ["x"], "context": "y"},
    }
    record = from_records([row]).records[0]
    assert record.expected_source == record.reference_contexts == ()


def test_the_empty_rows_at_the_end_of_a_spreadsheet_are_no_questions(tmp_path):
    path = tmp_path / "sheet.csv"
    path.write_text("question;relevant_ids\nq;x\n\n;\n ; \n;;\n")
    data = load_dataset(path)
    assert [one.question for one in data.records] == ["q"]
    assert len(data.warnings) == 1
