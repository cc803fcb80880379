"""Rows as data sets that people have lay them out: what answers is a label, and nothing else."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage

from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.evaluation.data.beir import load_collection
from langchain_rerank.evaluation.data.files import load_dataset
from langchain_rerank.evaluation.data.questions import from_records
from langchain_rerank.evaluation.data.trec import read_qrels
from langchain_rerank.files import load_documents

HOTPOT = {
    "question": "q",
    "answer": "yes",
    "supporting_facts": {"title": ["A", "A"], "sent_id": [0, 1]},
    "context": {"title": ["B", "A"], "sentences": [["No."], ["It is.", " So it is."]]},
}
HOTPOT_FILE = {
    "question": "q",
    "supporting_facts": [["A", 0], ["A", 1]],
    "context": [["B", ["No."]], ["A", ["It is.", " So it is."]]],
}
MARCO = {
    "query": "q",
    "query_id": 12,
    "answers": ["a"],
    "passages": {"is_selected": [0, 1, 0], "passage_text": ["n", "x", "n"], "url": ["u", "v", "w"]},
}


def labels(rows):
    """Return the labels of the first record, whichever it has."""
    record = from_records(rows).records[0]
    assert record.problem is None
    assert record.question == "q"
    return labels_of(record)


def labels_of(record):
    return record.qrels or record.reference_context_ids or record.reference_contexts


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (MARCO, ("x",)),
        (
            {**MARCO, "passages": [{"is_selected": 1, "passage_text": "x"}, {"is_selected": 0}]},
            ("x",),
        ),
        (HOTPOT, ("It is.  So it is.",)),
        (HOTPOT_FILE, ("It is.  So it is.",)),
        ({key: json.dumps(v) if key != "question" else v for key, v in HOTPOT_FILE.items()}, 1),
        (
            {
                "question": "q",
                "paragraphs": [
                    {"idx": 0, "paragraph_text": "n", "is_supporting": False},
                    {"idx": 1, "paragraph_text": "x", "is_supporting": True},
                ],
            },
            ("x",),
        ),
        ({"anchor": "q", "positive": "x", "negative": "n"}, ("x",)),
        ({"query": "q", "docs": ["n", "x"], "labels": [0, 1]}, ("x",)),
        ({"query": "q", "documents": ["n", "x"], "labels": ["no", "yes"]}, ("x",)),
        ({"query": "q", "relevant_passages": ["x"], "hard_negatives": ["n"]}, ("x",)),
        ({"query": "q", "pos": ["x"], "neg": ["n"], "pos_scores": [0.1], "prompt": "p"}, ("x",)),
        ({"question": "q", "long_answer": "x", "short_answers": ["n"]}, ("x",)),
        ({"qid": 0, "query": "q", "url": ["u"], "answer_pids": [3, 5]}, ("3", "5")),
        ({"query": "q", "id": "1", "excluded_ids": ["n"], "gold_ids": ["x"]}, ("x",)),
        ({"query": "q", "ratings": [{"_id": "x", "rating": 3}, {"_id": "n", "rating": 0}]}, None),
        ({"query": "q", "qrels": [{"doc_id": "x", "grade": 3}, {"doc_id": "n", "grade": 0}]}, None),
        ({"question": "q", "ground_truth_documents": [Document("x")]}, ("x",)),
        ({"vars": {"query": "q", "context": "x"}, "assert": [{"value": "n"}]}, ("x",)),
        ({"id": "1", "fields": {"question": "q", "context": "x"}, "responses": {}}, ("x",)),
        ({"input": {"question": "q"}, "expected": {"gold_ids": ["x"]}}, ("x",)),
        ({"userInput": "q", "referenceContexts": ["x"], "retrievalContext": ["n"]}, ("x",)),
        ({"question": "q", "contexts": ["x"], "evolution_type": "simple"}, ("x",)),
        ({"question": "q", "reference_context": "Document 7: x\n\nDocument 12: y"}, ("x", "y")),
    ],
)
def test_what_answers_is_read_and_a_distractor_is_no_label(row, expected):
    if expected == 1:  # in a cell
        expected = ("It is.  So it is.",)
    assert labels([row]) == (expected or {"x": 3, "n": 0})
    as_pandas = pd.DataFrame([row])
    assert labels(as_pandas) == (expected or {"x": 3, "n": 0})


def test_what_passages_say_of_themselves_is_no_grade_of_ids_beside_them():
    assert labels([{**MARCO, "gold_ids": ["a", "b", "c"]}]) == ("a", "b", "c")


def test_arrays_inside_of_a_row_are_lists():
    sentences = np.array([np.array(["No."]), np.array(["It is.", " So it is."])], dtype=object)
    row = {**HOTPOT, "context": {"title": np.array(["B", "A"]), "sentences": sentences}}
    row["supporting_facts"] = {"title": np.array(["A"]), "sent_id": np.array([0])}
    assert labels([row]) == ("It is.  So it is.",)
    assert labels(pa.Table.from_pylist([MARCO, {**MARCO, "query_id": 13}])) == ("x",)


def test_paragraphs_without_the_one_that_a_fact_names_are_no_labels():
    other = {**HOTPOT, "supporting_facts": {"title": ["Z"], "sent_id": [0]}}
    data = from_records([HOTPOT, other])
    assert "'context' has none beside it, and so may answer or not" in data.records[1].problem
    with pytest.raises(ConfigurationError, match="'context' cannot be used as reference_contexts"):
        from_records([other])
    # Those of a test set name none.
    hidden = {**HOTPOT, "supporting_facts": {"title": [], "sent_id": []}}
    assert from_records([hidden]).records[0].reference_contexts == ()


@pytest.mark.parametrize(
    "row",
    [
        {"question": "q", "documents": [{"content": "x"}]},
        {"question": "q", "passages": ["x"], "scores": [0.9]},
        {"query": "q", "passage": "x", "score": 0.25},
        {"query": "q", "product_id": "x"},
        {"query": "q", "contexts": ["x"], "answer": "a"},
        {"query": "q", "ctxs": [{"text": "x", "has_answer": True}]},
    ],
)
def test_passages_of_which_nothing_says_that_they_answer_are_named_and_no_label(row):
    data = from_records([row])
    assert labels_of(data.records[0]) == ()
    assert "no column is called as labels are" in data.warnings[0]


@pytest.mark.parametrize(
    "row",
    [
        {"context": "x", "answers": {"text": [], "answer_start": []}},
        {"context": "x", "answers": {"text": np.array([]), "answer_start": np.array([])}},
        {"context": "x", "answers": ["a"], "is_impossible": True},
        {"context": "x", "answer": "a", "answerable": "false"},
        {"paragraphs": [{"text": "x", "is_supporting": True}], "answer": "a", "answerable": False},
    ],
)
def test_the_passage_of_a_question_that_it_does_not_answer_is_no_label(row):
    answered = {"question": "r", "context": "x", "answers": {"text": ["a"], "answer_start": [0]}}
    record, other = from_records([{"question": "q", **row}, answered]).records[:2]
    assert (record.problem, record.reference, record.reference_contexts) == (None, None, ())
    named = from_records([{"question": "q", **row, "gold_ids": ["d"]}, answered]).records[0]
    assert named.reference_context_ids == ("d",)
    if "context" in row:
        assert other.reference_contexts == ("x",)


# Grades


@pytest.mark.parametrize(
    ("words", "grades"),
    [
        (["relevant", "irrelevant"], [1, 0]),
        (["Yes", "no"], [1, 0]),
        (["TRUE", "False"], [1, 0]),
        ([True, False], [1, 0]),
        (["Not Relevant", "very relevant", "relevant"], [0, 2, 1]),
        (["highly relevant", "somewhat relevant", "relevant", "non-relevant"], [3, 1, 2, 0]),
        (["Perfectly relevant", "Highly relevant", "Related", "Irrelevant"], [3, 2, 1, 0]),
        (["E", "S", "C", "I"], [3, 2, 1, 0]),
        (["E", "I"], [3, 0]),
        (["Exact", "Substitute", "Complement", "Irrelevant"], [3, 2, 1, 0]),
        (["bad", "fair", "perfect"], [0, 1, 4]),
    ],
)
@pytest.mark.parametrize("name", ["relevance", "esci_label", "label", "relevance.suggestion"])
def test_grades_that_are_words_are_those_of_their_scale(words, grades, name):
    rows = [{"query": "q", "doc_id": f"d{n}", name: one} for n, one in enumerate(words)]
    expected = {f"d{n}": one for n, one in enumerate(grades)}
    assert labels(rows) == expected
    ids, cells = [row["doc_id"] for row in rows], json.dumps(words)
    assert labels([{"query": "q", "doc_ids": ids, name: words}]) == expected
    assert labels([{"query": "q", "doc_ids": json.dumps(ids), name: cells}]) == expected


@pytest.mark.parametrize("passage", ["passage", "text", "document", "product_text", "context"])
def test_a_row_for_each_passage_and_its_label_is_one_question(passage):
    rows = [{"query": "q", passage: text, "label": text == "x"} for text in "nxn"]
    assert labels(rows) == ("x",)
    assert len(from_records(rows)) == 1
    numbered = [{"id": number, **row} for number, row in enumerate(rows)]
    assert labels(numbered) == ("x",)
    assert len(from_records(numbered)) == 1


def test_a_row_without_a_grade_among_graded_ones_does_not_count_as_relevant():
    rows = [{"query": "q", "doc_id": "a", "relevance": 1}, {"query": "q", "doc_id": "b"}]
    for other in (rows[1], {**rows[1], "relevance": "?"}, {**rows[1], "relevance": [1, 0]}):
        data = from_records([rows[0], other])
        assert data.records[0].qrels == {"a": 1}
        assert "the grade 'relevance' cannot be used" in data.records[1].problem
    data = from_records([*rows[:1] * 2, {"query": "q", "doc_id": "c", "label": "?"}])
    assert data.records[0].qrels == {"a": 1}


def test_most_of_a_column_decides_whether_it_has_grades_and_the_rest_is_named():
    rows = [
        {"query": "q", "doc_id": one, "label": grade}
        for one, grade in zip("abc", "10?", strict=True)
    ]
    data = from_records(rows)
    assert data.records[0].qrels == {"a": 1, "b": 0}
    assert "'label' cannot be used: a whole number for each of 1 was expected, got '?'" in str(
        data.warnings
    )


def test_one_text_under_two_labels_is_relevant_and_two_grades_of_one_id_are_an_error():
    row = {"query": "q", "docs": ["x", "x", "n"], "labels": [0, 1, 0]}
    assert labels([row]) == ("x",)
    with pytest.raises(ConfigurationError, match="'x' has the grades 0 and 1"):
        from_records([{"query": "q", "doc_ids": ["x", "x"], "labels": [0, 1]}])


def test_grades_that_are_words_are_read_in_qrels_and_no_line_of_them_is_taken_for_a_header(
    tmp_path,
):
    assert labels([{"question": "q", "qrels": {"a": "relevant", "b": "no"}}]) == {"a": 1, "b": 0}
    for text in ("qa 0 d relevant\nqa 0 e no\n", "qa\td\trelevant\nqa\te\tno\n"):
        (tmp_path / "qrels.txt").write_text(text)
        assert read_qrels(tmp_path / "qrels.txt") == {"qa": {"d": 1, "e": 0}}
    (tmp_path / "qrels.txt").write_text("query document relevant\nqa e no\n")
    assert read_qrels(tmp_path / "qrels.txt") == {"qa": {"e": 0}}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["relevant", "irrelevant"], {"a": 1, "b": 0}),
        (["E", "S", "C", "I"], {"a": 3, "b": 2}),
        (["LABEL_0", "LABEL_1"], {"a": 0, "b": 1}),
    ],
)
def test_numbers_that_a_data_set_has_for_words_are_those_words(names, expected):
    datasets = pytest.importorskip("datasets")
    rows = {"query": ["q", "q", "q"], "doc_id": ["a", "b", None], "label": [0, 1, -1]}
    kinds = {
        **dict.fromkeys(rows, datasets.Value("string")),
        "label": datasets.ClassLabel(names=names),
    }
    data = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    assert labels(data) == expected


def test_a_source_of_grade_0_is_no_label():
    rows = [{"question": "q", "source": f"{n}.md", "relevance": n} for n in (0, 2, 1)]
    (record,) = from_records(rows).records
    assert record.expected_source == ("2.md", "1.md")
    rows = [{"question": "q", "expected_passage": f"p{n}", "relevance": n} for n in (0, 2)]
    assert [one.expected_passage for one in from_records(rows).records] == [None, "p2"]
    # A class beside a source is no grade.
    (record,) = from_records([{"question": "q", "expected_source": "a.md", "label": 0}]).records
    assert record.expected_source == ("a.md",)


@pytest.mark.parametrize(
    "of",
    [
        lambda said: {"responses": {"relevance": [{"value": one, "user_id": "u"} for one in said]}},
        lambda said: {"suggestions": {"relevance": {"value": said[-1], "agent": "m"}}},
        lambda said: {
            "annotations": [
                {"result": [{"from_name": "relevance", "value": {"choices": [one]}}]}
                for one in said
            ]
        },
    ],
)
@pytest.mark.parametrize("wrap", ["fields", "data"])
def test_what_annotators_say_of_a_passage_is_its_grade(of, wrap):
    rows = [
        {"id": number, wrap: {"question": "q", "context": text}, **of([said, said])}
        for number, (text, said) in enumerate([("n", "no"), ("x", "yes")])
    ]
    assert labels(rows) == ("x",)
    # Where they do not agree, nobody knows.
    torn = {"id": 2, wrap: {"question": "q", "context": "y"}, **of(["yes", "no"])}
    data = from_records([*rows, torn])
    assert data.records[0].reference_contexts == ("x",)


# Questions


@pytest.mark.parametrize(
    "chat",
    [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "q"}],
        [{"type": "human", "content": [{"type": "text", "text": "q"}]}],
        [{"type": "human", "data": {"content": "q", "type": "human"}}],
        [{"lc": 1, "type": "constructor", "kwargs": {"content": "q", "type": "human"}}],
        [("system", "Be brief."), ("human", "q")],
        [HumanMessage("q")],
        '[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]',
    ],
)
@pytest.mark.parametrize("wrapped", [{"inputs": {"messages": 0}}, {"messages": 0}, {"input": 0}])
def test_a_chat_in_which_the_user_speaks_once_is_that_question(chat, wrapped):
    text = json.dumps(wrapped)
    row = {"inputs": {"messages": chat}} if "inputs" in text else dict.fromkeys(wrapped, chat)
    assert from_records([row]).records[0].question == "q"


def test_a_chat_of_several_turns_is_no_question_and_loses_no_other_one():
    chat = [{"role": one, "content": "And its price?"} for one in ("user", "assistant", "user")]
    data = from_records([{"question": "q"}, {"question": chat}])
    assert "a chat in which the user speaks 2 times; write" in data.records[1].problem
    assert from_records([{"question": "[{x}] is what?"}]).records[0].question == "[{x}] is what?"


def test_the_question_of_natural_questions_is_the_text_in_it():
    row = {"question": {"text": "q", "tokens": ["q"]}, "document": {"title": "T"}}
    assert from_records([row]).records[0].question == "q"


# Tables and objects


def test_a_named_index_is_a_column_and_a_header_of_two_lines_is_one_name():
    index = pd.MultiIndex.from_tuples([("1", "a"), ("1", "b")], names=["query_id", "doc_id"])
    frame = pd.DataFrame({"query": ["q", "q"], "rel": [1, 0]}, index=index)
    assert labels(frame) == {"a": 1, "b": 0}
    two = pd.MultiIndex.from_tuples([("inputs", "question"), ("id", ""), ("outputs", "gold_ids")])
    data = from_records(pd.DataFrame([["q", "7", ["x"]]], columns=two))
    assert (data.records[0].id, data.records[0].reference_context_ids) == ("7", ("x",))
    asked = pd.Series(["a", "b"], index=pd.Index(["q1", "q2"], name="query_id"))
    assert [one.id for one in from_records(asked).records] == ["q1", "q2"]


def test_two_columns_of_one_name_are_refused():
    frame = pd.DataFrame([["q", "a", "b"]], columns=["question", "gold_ids", "gold_ids"])
    table = pa.table([["q"], ["a"], ["b"]], names=["question", "gold_ids", "gold_ids"])
    for data in (frame, table):
        with pytest.raises(ConfigurationError, match="Two columns are called 'gold_ids'"):
            from_records(data)


LLAMA = {"queries": {"1": "q"}, "corpus": {"n1": "x"}, "relevant_docs": {"1": ["n1"]}}


@pytest.mark.parametrize(
    "held",
    [
        LLAMA,
        {**LLAMA, "queries": {1: "q"}, "relevant_docs": {1: {"n1"}}},  # of sentence-transformers
        {**LLAMA, "queries": {"1": {"text": "q"}}, "relevant_docs": {}, "qrels": {"1": {"n1": 1}}},
        {"examples": [{"query": "q", "reference_contexts": ["n1"]}]},
        {"prompts": ["p"], "providers": [{"id": "o"}], "tests": [{"query": "q", "gold_ids": "n1"}]},
        {"question": ["q"], "gold_ids": [["n1"]]},
    ],
)
def test_the_rows_inside_of_one_object_are_read_as_from_its_file(tmp_path, held):
    assert list(labels(held)) == ["n1"]
    if 1 not in held.get("queries", {}):
        (tmp_path / "a.json").write_text(json.dumps(held))
        assert load_dataset(tmp_path / "a.json").records == from_records(held).records
    if held.get("corpus"):
        (tmp_path / "docs.json").write_text(json.dumps(LLAMA))
        (document,) = load_documents([tmp_path / "docs.json"])
        assert (document.id, document.page_content) == ("n1", "x")


# Files


@pytest.mark.parametrize("name", ["topics.xml", "topics.txt"])
def test_topics_of_trec_are_refused_with_what_to_do(tmp_path, name):
    (tmp_path / name).write_text("<top>\n<num> Number: 1\n<title> adapters\n</top>")
    with pytest.raises(DataFileError, match=r"lines of a number, a tab and the question \(.tsv\)"):
        load_dataset(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", '{"question": "q", "gold_ids": "a", "gold_ids": "b"}'),
        ("a.json", '[{"question": "q", "qrels": {"d": 1, "d": 2}}]'),
        ("b.json", '{"question": "q",\n "qrels": {"d": 1, "d": 2}}'),
        ("a.csv", 'question,qrels\nq,"{""d"": 1, ""d"": 2}"\n'),
    ],
)
def test_a_key_with_two_values_in_one_object_is_refused(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataFileError, match="has two values in one object; keep one"):
        load_dataset(tmp_path / name)
    (tmp_path / name).write_text(text.replace('"b"', '"a"').replace("2}", "1}"))
    assert load_dataset(tmp_path / name).records[0].problem is None


def test_a_key_that_stands_twice_in_what_python_wrote_is_refused():
    data = from_records([{"question": "q"}, {"question": "r", "qrels": "{'d': 1, 'd': 2}"}])
    assert "looks like a list that became text" in data.records[1].problem


def test_lines_of_an_id_a_tab_and_a_text_need_no_header(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.tsv").write_text('d1\tAlpha is a letter.\nd2\t"Beta" too\r\nd3\t\n')
    (tmp_path / "queries.tsv").write_text('10\tWhat is "alpha"?\n11\t"What\n')
    (tmp_path / "qrels" / "test.tsv").write_text("10 0 d1 1\n11 0 d2 1\n")
    found = load_collection(tmp_path)
    assert [one.question for one in found.dataset.records] == ['What is "alpha"?', '"What']
    assert [one.page_content for one in found.documents] == ["Alpha is a letter.", '"Beta" too', ""]
    assert [one.id for one in load_dataset(tmp_path / "queries.tsv").records] == ["10", "11"]
    # What may be a header is one, and other lines are no pairs.
    for text, match in [
        ("key\tthe text\n1\tx\n", "only 'key', 'the text'"),
        ("q1\ttwo words\n2\ta\tb\n", "only 'q1', 'two words'"),
    ]:
        (tmp_path / "other.tsv").write_text(text)
        with pytest.raises(DataFileError, match=match):
            load_dataset(tmp_path / "other.tsv")
    (tmp_path / "named.tsv").write_text("query1\tquery text\n1\tx\n")
    assert load_dataset(tmp_path / "named.tsv").records[0].question == "x"
