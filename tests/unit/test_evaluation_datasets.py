import json
from dataclasses import dataclass

import pytest

from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.evaluation.data.datasets import (
    Record,
    as_dataset,
    from_ragas,
    from_records,
)
from langchain_rerank.evaluation.data.files import load_dataset


def test_every_key_of_a_record_is_read():
    record = from_records(
        [
            {
                "id": 7,
                "question": "What is LoRA?",
                "reference": "Low-rank adapters.",
                "expected_source": ["a.pdf", "b.pdf"],
                "reference_context_ids": ["1", 2],
                "qrels": {"d": 2},
                "reference_contexts": "one text",
                "expected_passage": "low-rank",
                "tags": ["easy"],
            }
        ]
    ).records[0]
    assert record.id == "7"
    assert record.expected_source == ("a.pdf", "b.pdf")
    assert record.reference_context_ids == ("1", "2")
    assert record.qrels == {"d": 2}
    assert record.reference_contexts == ("one text",)
    assert record.expected_passage == "low-rank"
    assert (record.tags, record.problem) == (("easy",), None)


def test_absent_values_of_every_kind_are_absent():
    record = from_records(
        [{"question": "q", "reference": None, "expected_source": "", "tags": float("nan")}]
    ).records[0]
    assert (record.reference, record.expected_source, record.tags) == (None, (), ())


def test_an_unknown_key_makes_one_record_invalid_and_names_the_nearest_known_one():
    data = from_records([{"question": "a"}, {"question": "b", "expected_sorce": "x"}])
    assert data.records[0].problem is None
    assert "record 2" in data.records[1].problem
    assert "'expected_sorce'" in data.records[1].problem
    assert "'expected_source'" in data.records[1].problem
    assert data.warnings == (data.records[1].problem,)


@pytest.mark.parametrize("question", ["", "  \n", None, 5])
def test_an_empty_question_makes_one_record_invalid(question):
    data = from_records([{"question": "a"}, {"id": "x", "question": question}])
    assert "record 2 (id 'x'): the question is empty" in data.records[1].problem


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("qrels", ["d"]),
        ("qrels", {"d": 0.5}),
        ("expected_source", {"a": 1}),
        ("reference_contexts", [["nested"]]),
        ("reference", {"a": 1}),
    ],
)
def test_a_value_of_the_wrong_type_makes_one_record_invalid_and_names_the_key(key, value):
    data = from_records([{"question": "a"}, {"question": "b", key: value}])
    assert key in data.records[1].problem
    assert "was expected" in data.records[1].problem


def test_a_record_that_is_no_dictionary_is_invalid():
    assert "a dictionary was expected" in from_records([{"question": "a"}, "b"]).records[1].problem


def test_duplicate_ids_are_told_apart_and_none_is_lost():
    data = from_records(
        [{"id": i, "question": f"q{n}"} for n, i in enumerate(["a", "a", "a#2", "a"])]
    )
    ids = [record.id for record in data.records]
    assert ids == ["a", "a#3", "a#2", "a#4"]
    assert len(data.warnings) == 2
    assert "record 2: the id 'a' was used before" in data.warnings[0]


def test_a_data_set_with_no_usable_record_is_an_error():
    with pytest.raises(ConfigurationError, match="it is empty"):
        from_records([])
    with pytest.raises(ConfigurationError, match=r"it has no question.*its keys are colour"):
        from_records([{"colour": "a"}, {"colour": "b"}])


def test_jsonl_is_read_and_records_are_named_by_file_and_line(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "a"}\n\n{"question": "b", "tag_s": 1, "expected_sorce": "x"}\n')
    data = load_dataset(path)
    assert data.name == "questions"
    assert data.records[0].question == "a"
    assert "questions.jsonl:3" in data.records[1].problem


@pytest.mark.parametrize("line", ['{"question": ', "[1]", '"text"'])
def test_a_malformed_line_is_an_error_with_path_and_line(tmp_path, line):
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "a"}\n' + line + "\n")
    with pytest.raises(DataFileError) as caught:
        load_dataset(path)
    assert (caught.value.path, caught.value.line) == (path, 2)


def test_csv_is_read_with_lists_as_json(tmp_path):
    path = tmp_path / "questions.csv"
    path.write_text(
        "\ufeffquestion,expected_source,qrels\n"
        '"[Why], really?","[""a.pdf"", ""b.pdf""]",\n'
        '"two\nlines",a.pdf,"{""d"": 2}"\n',
        encoding="utf-8",
    )
    first, second = load_dataset(path).records
    assert first.question == "[Why], really?"
    assert first.expected_source == ("a.pdf", "b.pdf")
    assert second.question == "two\nlines"
    assert (second.expected_source, second.qrels) == (("a.pdf",), {"d": 2})


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("colour\nx\n", 1, "no column that holds the question, only 'colour'"),
        ('question,tags\n"a\nb",x\nq,x,y\n', 4, "3 cells under a header of 2"),
        ("question,tags\nq,[x\n", 2, "starts as JSON"),
    ],
)
def test_a_broken_csv_is_an_error_with_its_line(tmp_path, text, line, message):
    path = tmp_path / "questions.csv"
    path.write_text(text)
    with pytest.raises(DataFileError, match=message) as caught:
        load_dataset(path)
    assert caught.value.line == line


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataFileError, match=r"suffix '.xlsx' is unknown"):
        as_dataset(tmp_path / "a.xlsx")
    with pytest.raises(DataFileError, match="cannot be read"):
        as_dataset(str(tmp_path / "absent.jsonl"))
    (tmp_path / "latin.jsonl").write_bytes('{"question": "é"}'.encode("latin-1"))
    with pytest.raises(DataFileError, match="not UTF-8"):
        as_dataset(tmp_path / "latin.jsonl")


def test_a_ragas_test_set_becomes_a_data_set():
    samples = [
        {
            "user_input": "What is LoRA?",
            "reference": "Adapters.",
            "reference_contexts": ["LoRA adds adapters."],
            "synthesizer_name": "single_hop",
            "retrieved_contexts": None,
        },
        {"eval_sample": {"user_input": "And QLoRA?", "reference_context_ids": [3]}},
    ]
    first, second = from_ragas(samples).records
    assert (first.question, first.reference) == ("What is LoRA?", "Adapters.")
    assert first.reference_contexts == ("LoRA adds adapters.",)
    assert second.reference_context_ids == ("3",)


def test_a_ragas_data_frame_becomes_a_data_set():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"user_input": ["a", "b"], "reference": ["x", None]})
    data = from_ragas(frame)
    assert [record.reference for record in data.records] == ["x", None]


def test_head_and_qrels_make_copies():
    data = from_records([{"question": "a"}, {"question": "b", "expected_source": "s"}])
    assert len(data.head(1)) == 1
    assert len(data.head(None)) == 2
    graded = data.with_qrels({"1": {"d": 1}})
    assert graded.records[0].qrels == {"d": 1}
    assert graded.records[1] == data.records[1]
    assert data.records[0].qrels == {}


def test_as_dataset_takes_all_forms(tmp_path):
    rows = [{"question": "a"}]
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps(rows[0]))
    assert as_dataset(rows).records == as_dataset(path).records
    data = from_records(rows)
    assert as_dataset(data) is data


def test_records_in_a_list_are_read_as_they_are():
    mine = [
        Record("a", "What is LoRA?", expected_source=("lora.md",), metadata={"page": 3}),
        Record("b", "What is QLoRA?", qrels={"d1": 2}, tags=("short",)),
    ]
    assert from_records(mine).records == tuple(mine)


def test_objects_of_ones_own_dataclass_are_rows():
    @dataclass
    class Asked:
        question: str
        answer: str

    (record,) = from_records([Asked("What is LoRA?", "An adapter.")]).records
    assert (record.question, record.reference) == ("What is LoRA?", "An adapter.")


def test_many_records_of_one_problem_are_a_few_warnings_with_their_number():
    bad = [{"question": "", "qrels": {"a": 1}}] * 30
    data = from_records([{"question": "q", "qrels": {"a": 1}}, *bad])
    assert [one.startswith("record ") for one in data.warnings] == [True, True, True, False]
    assert data.warnings[-1] == "27 more records cannot be used."
    data = from_records([{"id": "x", "question": f"q{n}"} for n in range(30)])
    assert data.warnings[-1] == "26 more records have an id that was used before."
    assert len(data.warnings) == 4


def test_columns_none_of_which_is_read_as_a_label_are_named():
    (said,) = from_records([{"question": "q", "expected_docs": ["a"]}]).warnings
    assert "kept as metadata: 'expected_docs'; no column is called as labels are" in said
    assert "reference_context_ids" in said
    assert from_records([{"question": "q"}]).warnings == ()
    assert from_records([{"question": "q", "qrels": {"a": 1}, "level": 2}]).warnings == ()


def test_rows_that_each_name_one_document_of_a_question_are_one_record():
    rows = [
        {"question": "Who?", "doc_id": "a", "tags": ["people"], "by": "Ann"},
        {"question": "Where?", "doc_id": "c"},
        {"question": "Who?", "doc_id": "b", "tags": ["hard"], "by": "Ben", "page": 7},
    ]
    data = from_records(rows, name="long")
    assert [one.question for one in data.records] == ["Who?", "Where?"]
    assert data.records[0].reference_context_ids == ("a", "b")
    assert data.records[0].tags == ("people", "hard")
    assert data.records[0].metadata == {"by": "Ann", "page": 7}
    assert data.records[1].reference_context_ids == ("c",)
    assert any(
        "Rows that ask what a row before them asks, and name other documents: 1." in one
        for one in data.warnings
    )


@pytest.mark.parametrize(
    "other",
    [
        {"id": "2", "reference_contexts": ["another text"]},  # a record of its own, by its id
        {"id": "1", "reference_contexts": ["a text"]},  # the same once more
        {"id": "1", "reference_contexts": ["another text"], "reference": "42"},
    ],
)
def test_a_question_that_is_asked_again_counts_again_and_is_told(other):
    row = {"id": "1", "question": "Who?", "reference_contexts": ["a text"], "reference": "6 * 9"}
    data = from_records([row, row | other])
    assert [one.reference_contexts for one in data.records] == [
        ("a text",),
        tuple(other["reference_contexts"]),
    ]
    assert any("Records that ask what another one asks: 1." in one for one in data.warnings)
