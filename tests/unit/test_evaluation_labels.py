"""Labels as people have them: every one is matched with a document, or counted and named."""

import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation import compare_rerank
from langchain_rerank.evaluation.data.datasets import as_dataset, from_ragas, from_records
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.score.measures import parse_measure
from langchain_rerank.testing import WordOverlapScorer

pandas = pytest.importorskip("pandas")
pyarrow = pytest.importorskip("pyarrow")


def value(measure, documents, relevance=None, **labels):
    """Return a measure of `documents` in their order, for one question with these labels."""
    relevance = relevance or Relevance()
    record = from_records([{"question": "q", **labels}]).records[0]
    assert record.problem is None
    found = relevance.judge(record, relevance.keyed(documents))
    ids = relevance.ids(found, list(relevance.keyed(documents)))
    return parse_measure(measure)(ids, found.qrels)


FIRST = "LoRA trains two small matrices for each layer."
SECOND = "QLoRA adds weights of four bits to that."


# A list that became text


@pytest.mark.parametrize(
    "written",
    [
        f"['{FIRST}', '{SECOND}']",
        f'["{FIRST}", "{SECOND}"]',
        f"('{FIRST}', '{SECOND}')",
        f"  [ '{FIRST}' , '{SECOND}' ] ",
    ],
)
def test_a_list_that_became_text_is_the_list_it_was(written):
    frame = pandas.DataFrame({"user_input": ["q"], "reference_contexts": [written]})
    record = from_ragas(frame).records[0]
    assert record.reference_contexts == (FIRST, SECOND)
    assert value("R@10", [Document(FIRST, id="a")], reference_contexts=written) == 0.5


@pytest.mark.parametrize(
    "written",
    [
        "['a' 'b']",
        "['a', 'b",
        "array(['a', 'b'], dtype=object)",
        "['it's']",
        "[a, b]",
        "['a', b()]",
    ],
)
@pytest.mark.parametrize("key", ["reference_contexts", "expected_source", "reference_context_ids"])
def test_a_list_that_became_text_and_cannot_be_read_is_refused(written, key):
    data = from_records([{"question": "a"}, {"question": "q", key: written}])
    assert "looks like a list that became text" in data.records[1].problem
    assert "Write it as JSON" in data.records[1].problem


def test_grades_that_became_text_are_read_and_other_text_in_brackets_is_text():
    assert from_records([{"question": "q", "qrels": "{'d1': 2}"}]).records[0].qrels == {"d1": 2}
    cited = "[1] Hu et al. say that LoRA is small."
    record = from_records([{"question": "q", "reference_contexts": cited}]).records[0]
    assert record.reference_contexts == (cited,)


def test_what_ragas_writes_to_csv_is_read_back(tmp_path):
    ragas = pytest.importorskip("ragas.testset.synthesizers.testset_schema")
    from ragas.dataset_schema import SingleTurnSample

    sample = SingleTurnSample(
        user_input="What is QLoRA?",
        reference="LoRA over four bits.",
        reference_contexts=[f"<1-hop>\n\n{FIRST}", f"<2-hop>\n\n{SECOND}"],
    )
    test_set = ragas.Testset(
        samples=[ragas.TestsetSample(eval_sample=sample, synthesizer_name="multi_hop")]
    )
    test_set.to_pandas().to_csv(tmp_path / "test_set.csv")
    for data in (test_set, test_set.to_pandas(), tmp_path / "test_set.csv", [sample]):
        record = as_dataset(data).records[0]
        assert record.question == "What is QLoRA?"
        assert record.reference_contexts == (FIRST, SECOND)


# Contexts


def test_the_hop_that_ragas_writes_before_a_context_is_no_part_of_it():
    documents = [Document(f"Much else. {FIRST} And more.", id="a")]
    assert value("R@10", documents, reference_contexts=[f"<1-hop>\n\n{FIRST}"]) == 1.0


def test_one_document_may_hold_several_contexts():
    documents = [Document("Something else.", id="x"), Document(f"{FIRST} {SECOND}", id="a")]
    for measure, expected in [("R@10", 1.0), ("R@2", 1.0), ("RR", 0.5), ("Success@1", 0.0)]:
        assert value(measure, documents, reference_contexts=[FIRST, SECOND]) == expected
    assert value("nDCG@10", documents[1:], reference_contexts=[FIRST, SECOND]) == 1.0


def test_contexts_in_several_documents_are_each_to_be_found():
    documents = [Document(FIRST, id="a"), Document(SECOND, id="b")]
    assert value("R@10", documents, reference_contexts=[FIRST, SECOND]) == 1.0
    assert value("R@10", documents[:1], reference_contexts=[FIRST, SECOND]) == 0.5
    third = "DoRA takes magnitude and direction apart."
    both = [Document(f"{FIRST} {SECOND}", id="a"), Document(third, id="b")]
    assert value("R@1", both, reference_contexts=[FIRST, SECOND, third]) == 0.5
    assert value("R@2", both, reference_contexts=[FIRST, SECOND, third]) == 1.0


def test_contexts_that_are_equal_after_squeezing_count_once():
    contexts = [FIRST, FIRST.upper(), f"  {FIRST}\n"]
    assert value("R@10", [Document(FIRST, id="a")], reference_contexts=contexts) == 1.0


@pytest.mark.parametrize("fragment", ["in", "LoRA", "LoRA in one page", "two small matrices", "."])
def test_a_fragment_shorter_than_a_sentence_is_no_hit_by_itself(fragment):
    context = f"LoRA in one page\n\n{FIRST} {SECOND}"
    assert value("R@10", [Document(fragment, id="a")], reference_contexts=[context]) == 0.0


def test_a_chunk_of_a_context_with_a_whole_sentence_is_a_hit():
    context = f"Before it, something else stood here. {FIRST} {SECOND}"
    assert value("R@10", [Document(FIRST, id="a")], reference_contexts=[context]) == 1.0
    assert (
        value(
            "R@10",
            [Document("\u4f4e\u79e9\u9002\u5e94\u8bad\u7ec3\u5c0f\u77e9\u9635\u3002", id="a")],
            reference_contexts=[
                "\u4f4e\u79e9\u9002\u5e94\u8bad\u7ec3\u5c0f\u77e9\u9635\u3002\u5176\u4ed6\u6587\u5b57\u5728\u6b64\u5904\u3002"
            ],
        )
        == 1.0
    )


@pytest.mark.parametrize(("passage", "hit"), [("art", 0.0), ("a party", 1.0), ("party", 1.0)])
def test_a_short_passage_is_not_found_inside_a_word(passage, hit):
    documents = [Document("There was a party here.", id="a"), Document("Other.", id="b")]
    assert value("Success@1", documents, expected_passage=passage) == hit
    assert value("Success@1", documents, reference_contexts=[passage]) == hit


@pytest.mark.parametrize("mark", ["\u00ad", "\u200b", "\u200d", "\u2060", "\ufeff"])
def test_what_nobody_can_see_in_a_text_is_no_difference(mark):
    document = Document(FIRST.replace("a", f"{mark}a"), id="a")
    assert value("RR", [document], expected_passage=FIRST) == 1.0
    assert value("RR", [document], reference_contexts=[FIRST]) == 1.0


def test_another_unicode_form_of_a_text_is_the_same_text():
    assert (
        value(
            "RR",
            [Document("Die Größe za\u0308hlt hier.", id="a")],
            expected_passage="Gr\u00f6\u00dfe z\u00e4hlt",
        )
        == 1.0
    )


@pytest.mark.parametrize(
    ("typeset", "typed"),
    [
        ("The \u201csmall\u201d model\u2019s layers", 'The "small" model\'s layers'),
        (
            "Pages 10\u201320, a non\u2011linear e\ufb00ect\u2026",
            "Pages 10-20, a non-linear effect...",
        ),
        ("AT&amp;T&nbsp;says &lt;b&gt; and &#39;c&#39;", "AT&T says <b> and 'c'"),
        ("It trains the adap-\nters of each layer", "It trains the adapters of each layer"),
        ("\uff2c\uff4f\uff32\uff21\uff1a\uff12 matrices", "LoRA:2 matrices"),
        ("A pre- and a\npost-norm", "A pre- and a post-norm"),
    ],
)
def test_one_text_typeset_in_two_ways_is_one_text(typeset, typed):
    for document, label in [(typeset, typed), (typed, typeset)]:
        documents = [Document(f"Before it. {document} after it.", id="a")]
        assert value("RR", documents, expected_passage=label) == 1.0
        assert value("RR", documents, reference_contexts=[label]) == 1.0


@pytest.mark.parametrize(
    ("document", "label"),
    [
        ("It has 2\u2075 layers in all of it.", "It has 25 layers in all of it."),
        ("It has 1\u00bd layers in all of it.", "It has 11/2 layers in all of it."),
        ("Pages 10-20 of the paper say it.", "Pages 1020 of the paper say it."),
        ("You re-sign what was written there.", "You resign what was written there."),
        ("A range of 3- 4 layers of the model", "A range of 34 layers of the model"),
        ("It isn't what was written there.", "It isnt what was written there."),
    ],
)
def test_another_text_is_no_other_typesetting(document, label):
    assert value("RR", [Document(document, id="a")], expected_passage=label) == 0.0
    assert value("RR", [Document(document, id="a")], reference_contexts=[label]) == 0.0


def test_a_sentence_ends_at_a_wide_mark():
    sentence = "\u4f4e\u79e9\u9002\u5e94\u8bad\u7ec3\u5c0f\u77e9\u9635\uff01"
    context = f"\u8fd9\u662f\u771f\u7684\u5417\uff1f{sentence}"
    assert value("RR", [Document(sentence, id="a")], reference_contexts=[context]) == 1.0


# Ids


CHUNKS = [
    Document("one", id="guide.md#1", metadata={"source": "guide.md"}),
    Document("two", id="guide.md#2", metadata={"source": "guide.md"}),
    Document("three", id="u-3", metadata={"doc_id": "paper-7", "source": "p.pdf"}),
    Document("four", id="u-4", metadata={"source": "q.pdf"}),
]


@pytest.mark.parametrize("label", ["guide.md", "guide.md#1"])
def test_a_label_names_a_document_or_what_it_is_a_chunk_of(label):
    assert value("RR", CHUNKS, reference_context_ids=[label]) == 1.0
    assert value("RR", CHUNKS, qrels={label: 1}) == 1.0


@pytest.mark.parametrize(("label", "rank"), [("paper-7", 3), ("q.pdf", 4), ("u-4", 4)])
def test_a_label_names_a_document_by_any_key_that_says_which_it_is(label, rank):
    assert value("RR", CHUNKS, reference_context_ids=[label]) == pytest.approx(1 / rank)


@pytest.mark.parametrize("key", ["passage_id", "parent_id", "source"])
@pytest.mark.parametrize("rule", ["reference_context_ids", "qrels"])
def test_the_id_of_one_document_names_no_other_one_whatever_its_metadata_says(key, rule):
    other, named = Document("other", id="12", metadata={key: 3}), Document("named", id="3")
    labels = {rule: {"3": 1} if rule == "qrels" else ["3"]}
    assert value("RR", [other, named], **labels) == 0.5
    # Also where the first stage did not find the one that is named.
    whole = Relevance(corpus=[other, named])
    assert value("RR", [other], whole, **labels) == 0.0
    assert value("RR", [other], **labels) == 1.0


def test_what_the_key_of_the_ids_says_is_no_other_documents_id():
    documents = [Document("x", id="5", metadata={"nr": "9"}), Document("y", metadata={"nr": "5"})]
    assert value("RR", documents, Relevance(id_key="nr"), qrels={"5": 1}) == 0.5
    assert value("RR", documents[:1], Relevance(id_key="nr"), qrels={"5": 1}) == 1.0


def test_labels_that_are_numbers_name_documents_in_any_form():
    documents = [Document("x", id="7"), Document("y", id="8")]
    for label in (7, 7.0, np.int64(7), np.float64(7.0), pyarrow.scalar(7), np.str_("7")):
        assert value("RR", documents, reference_context_ids=[label]) == 1.0
        assert value("RR", documents, qrels={label: np.int64(1), 8: 0.0}) == 1.0


def test_two_chunks_of_what_one_label_names_are_two_documents_and_both_are_scored():
    documents = [
        Document("nothing of it", metadata={"doc_id": "p", "source": "a"}),
        Document("question words here", metadata={"doc_id": "p", "source": "a"}),
        Document("another question", metadata={"doc_id": "o", "source": "b"}),
    ]
    report = compare_rerank(
        lambda _: documents,
        WordOverlapScorer(),
        [{"question": "question words here", "reference_context_ids": ["p"]}],
        relevance=Relevance(id_key="doc_id"),
        measures=["RR"],
        progress=False,
    )
    row = report.queries[0].systems["reranked"]
    assert row.ids == ("p", "o", "p#2")
    assert len(set(row.document_ids)) == 3
    # The best chunk of "p" has a score of its own.
    assert row.scores[0] == max(row.scores) > row.scores[1]


# Labels that match nothing


def evaluated(records, documents, relevance=None):
    return compare_rerank(
        lambda _: documents,
        WordOverlapScorer(),
        records,
        measures=["nDCG@10"],
        relevance=relevance,
        progress=False,
    )


DOCUMENTS = [
    Document(f"text {n} about rank", id=f"d{n}", metadata={"source": f"{n}.md"}) for n in range(5)
]


@pytest.mark.parametrize(
    "labels",
    [
        {"qrels": {"x": 1}},
        {"reference_context_ids": ["x", "y"]},
        {"expected_passage": "is in no text"},
        {"expected_source": "no.pdf"},
        {"reference_contexts": ["Nobody has written this."]},
    ],
)
def test_labels_none_of_which_matches_are_an_error(labels):
    with pytest.raises(ConfigurationError, match="No label belongs to a document"):
        evaluated([{"question": "rank", **labels}], DOCUMENTS)


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("qrels", {"d1": 1}, {"x": 1}),
        ("reference_context_ids", ["d1"], ["x"]),
        ("expected_passage", "text 1", "is in no text"),
        ("expected_source", "1.md", "no.pdf"),
        ("reference_contexts", ["text 1 about rank"], ["Nobody has written this."]),
    ],
)
def test_labels_that_match_nothing_are_one_line_with_their_number_and_three_of_them(key, good, bad):
    records = [{"question": f"rank {n}", key: bad} for n in range(5)]
    report = evaluated([{"question": "rank", key: good}, *records], DOCUMENTS)
    (line,) = [one for one in report.warnings if "belong" in one]
    assert "5 of 6 labels belong to no document" in line
    assert line.count("Record") == 3
    assert line.endswith("and 2 more.")


@pytest.mark.parametrize(
    ("label", "id_", "why"),
    [
        ("7.0", "7", "of another type"),
        ("gro\u0308\u00dfe", "gr\u00f6\u00dfe", "another Unicode form"),
        ("Guide.MD", "guide.md", "another case"),
        ("guide", "guide-12", "is a chunk of it"),
        ("guide-3", "guide", "it is a chunk of 'guide'"),
        ("a%20b", "a b", "percent-encoded"),
        ("docs/a.md", "other/a.md", "the same file name"),
        ("dokument-one", "document-one", "the nearest that was seen is"),
    ],
)
def test_an_unmatched_label_says_what_is_nearest_and_why(label, id_, why):
    documents = [Document("rank", id=id_), Document("rank too", id="matched")]
    data = [{"question": "rank", "reference_context_ids": [label, "matched"]}]
    (line,) = evaluated(data, documents).warnings
    assert repr(id_) in line
    assert why in line


def test_thirty_thousand_ids_are_compared_in_a_second():
    names = [f"document-{n * 7919 % 30_011:05d}-{n % 97}" for n in range(30_000)]
    corpus = [Document("x", id=name) for name in names]
    rows = [{"question": "q", "reference_context_ids": [f"dokument-{n}"]} for n in range(300)]
    relevance = Relevance(corpus=corpus)
    started = time.process_time()
    found = relevance.unmatched([(one, []) for one in from_records(rows).records])
    assert len(found.labels) == found.total == 300
    assert time.process_time() - started < 3  # difflib took 12 s for what is shown of it


def test_what_the_corpus_has_is_no_unmatched_label():
    data = [{"question": "rank", "reference_context_ids": ["d1", "far"]}]
    relevance = Relevance(corpus=[*DOCUMENTS, Document("far away", id="far")])
    assert evaluated(data, DOCUMENTS, relevance).warnings == ()


# Objects as questions


ROWS = [{"question": "a", "qrels": {"d1": 1}}, {"question": "b", "qrels": {"d2": 2}}]


def test_tables_of_any_kind_are_questions():
    datasets = pytest.importorskip("datasets")
    forms = [
        ROWS,
        pandas.DataFrame(ROWS),
        pandas.Series(ROWS),
        pyarrow.Table.from_pylist(ROWS),
        datasets.Dataset.from_list(ROWS),
        datasets.DatasetDict({"test": datasets.Dataset.from_list(ROWS)}),
    ]
    for form in forms:
        records = as_dataset(form).records
        assert [(one.question, one.qrels) for one in records] == [
            ("a", {"d1": 1}),
            ("b", {"d2": 2}),
        ]


def test_columns_and_single_rows_of_a_table_are_questions():
    frame = pandas.DataFrame({"question": ["a", "b"], "expected_source": ["x", "y"]})
    assert [one.question for one in as_dataset(frame["question"]).records] == ["a", "b"]
    assert as_dataset(frame.iloc[0]).records[0].expected_source == ("x",)
    assert [one.question for one in as_dataset(["a", "b"]).records] == ["a", "b"]


def test_several_splits_are_an_error_that_names_them():
    datasets = pytest.importorskip("datasets")
    several = datasets.DatasetDict(
        {name: datasets.Dataset.from_list(ROWS) for name in ("train", "test")}
    )
    with pytest.raises(ConfigurationError, match="it has train, test"):
        as_dataset(several)
    assert len(from_records(several, split="test")) == 2


@pytest.mark.parametrize("data", [{"question": "a"}, 5, None])
def test_what_is_no_table_is_an_error_that_says_what_is(data):
    with pytest.raises(ConfigurationError, match="a table or a list of dictionaries"):
        as_dataset(data)


def test_absent_cells_of_numpy_and_pandas_are_absent():
    for absent in (None, float("nan"), np.nan, pandas.NA, pandas.NaT, np.float32("nan")):
        record = from_records(
            [{"id": absent, "question": "q", "reference": absent, "tags": absent, "qrels": absent}]
        ).records[0]
        assert (record.problem, record.id, record.reference) == (None, "1", None)
        assert (record.tags, record.qrels) == ((), {})


def test_arrays_and_scalars_of_numpy_are_lists_and_values():
    record = from_records(
        [
            {
                "id": np.int64(3),
                "question": np.str_("q"),
                "expected_source": np.array(["a", "b"]),
                "reference_context_ids": np.array([1.0, 2.0]),
                "qrels": {np.int64(4): np.float64(2.0)},
            }
        ]
    ).records[0]
    assert record.problem is None
    assert (record.id, record.question, record.expected_source) == ("3", "q", ("a", "b"))
    assert (record.reference_context_ids, record.qrels) == (("1", "2"), {"4": 2})


def test_qrels_with_ids_that_are_numbers_reach_their_records():
    data = from_records([{"id": 1, "question": "a"}, {"id": 2, "question": "b"}])
    graded = data.with_qrels({np.int64(1): {7: 1.0}, 2: {np.int64(8): np.int64(2)}})
    assert [one.qrels for one in graded.records] == [{"7": 1}, {"8": 2}]


def test_qrels_of_queries_that_are_not_asked_are_named():
    data = from_records([{"id": 1, "question": "a"}])
    assert (
        "judge 1 queries that are not asked: '9'"
        in data.with_qrels({1: {"d": 1}, 9: {"d": 1}}).warnings[-1]
    )
    with pytest.raises(ConfigurationError, match=r"None of the 1 queries.*they have '9'.*has '1'"):
        data.with_qrels({9: {"d": 1}})
    with pytest.raises(ConfigurationError, match=r"query 1: the grade of 'd' is 0\.5"):
        data.with_qrels({1: {"d": 0.5}})


# Values that other data sets have


@pytest.mark.parametrize(
    "positives",
    [
        {"positive_passages": [{"docid": "7#0", "title": "T", "text": FIRST}]},  # MIRACL
        {"positive_ctxs": [{"title": "T", "text": FIRST, "passage_id": "7"}]},  # DPR
        {"expected_chunks": f'[{{"text": "{FIRST}"}}]'},  # TruLens, in a cell
        {"positive": [FIRST], "negative": [SECOND]},  # MTEB's reranking tasks
    ],
)
def test_passages_that_are_objects_or_called_positive_are_reference_contexts(positives):
    assert value("RR@10", [Document(FIRST, id="a")], **positives) == 1.0


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        ({"Value": "Paris", "Aliases": ["City of Light"]}, "Paris"),  # TriviaQA
        (1969, "1969"),
        (np.float64(1969.0), "1969"),
        (True, "True"),  # BoolQ
        ([1969, 1970], "1969"),
    ],
)
def test_an_answer_that_is_no_text_loses_no_question(answer, read):
    data = from_records([{"question": "q", "answer": answer, "qrels": {"a": 1}}])
    assert (data.records[0].problem, data.records[0].reference) == (None, read)


@pytest.mark.parametrize("written", ['{"question": "Why?"}', "{'question': 'Why?'}"])
def test_inputs_that_became_text_are_read_as_json_and_as_python(written):
    assert from_records([{"inputs": written}]).records[0].question == "Why?"


def test_a_column_that_cannot_be_used_is_named_as_the_file_names_it():
    data = from_records([{"question": "a"}, {"question": "q", "context": [["title", ["one"]]]}])
    assert "'context' cannot be used as reference_contexts" in data.records[1].problem
    assert "Rename or leave out the column" in data.records[1].problem


@pytest.mark.parametrize("key", ["reference_context_ids", "expected_source", "reference_contexts"])
def test_an_empty_text_in_a_list_is_no_label(key):
    data = from_records([{"question": "q", key: ["a", "", " "]}, {"question": "r", key: [""]}])
    assert [getattr(one, key) for one in data.records] == [("a",), ()]


@pytest.mark.parametrize("written", ["a;b", "a, b", "a|b", "a\nb"])
def test_several_ids_in_one_text_are_named_as_what_they_are(written):
    documents = [Document("one", id="a"), Document("two", id="b")]
    rows = [{"question": "q", "qrels": {"a": 1}}, {"question": "r", "doc_ids": written}]
    report = compare_rerank(lambda _: documents, WordOverlapScorer(), rows, progress=False)
    assert 'which are 2 in one text; write them as a list: ["a", "b"]' in report.warnings[-1]


def test_questions_without_a_grade_above_0_are_named_and_nothing_else_is_an_error():
    documents = [Document("one", id="a")]
    bad = {"question": "q", "qrels": {"a": 0, "b": -1}}
    report = compare_rerank(
        lambda _: documents,
        WordOverlapScorer(),
        [bad, {"question": "p", "qrels": {"a": 1}}],
        progress=False,
    )
    (warning,) = report.warnings
    assert "1 of 2 questions have no grade above 0 in their qrels ('1')" in warning
    with pytest.raises(ConfigurationError, match="No grade is above 0 in the qrels of 2 questions"):
        compare_rerank(lambda _: documents, WordOverlapScorer(), [bad, bad], progress=False)


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (lambda *_: 0.5, r"asked for the record '1' and the document 'a', gave 0\.5; a whole"),
        (lambda *_: None, "gave None; a whole number was expected"),
        (lambda *_: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_rule_that_gives_no_grade_is_an_error_and_not_0(gives, said):
    asked = (lambda _: [Document("one", id="a")], WordOverlapScorer(), [{"question": "q"}])
    with pytest.raises(ConfigurationError, match=said):
        compare_rerank(*asked, relevance=Relevance(rule=gives), progress=False)
    report = compare_rerank(
        *asked, relevance=Relevance(rule=lambda *_: np.float64(1)), progress=False
    )
    assert report.systems["reranked"].measures["nDCG@10"].mean == 1.0


ID = uuid.uuid4()


@pytest.mark.parametrize(
    ("labels", "document"),
    [
        ({"expected_source": Path("a.md")}, {"source": Path("a.md")}),
        ({"expected_source": [Path("b.md"), "a.md"]}, {"source": "a.md"}),
        ({"expected_source": 7}, {"source": 7.0}),
        ({"reference_context_ids": [ID]}, {"doc_id": str(ID)}),
        ({"qrels": {ID: 1}}, {"doc_id": ID}),
    ],
)
def test_paths_uuids_and_numbers_are_labels(labels, document):
    assert value("RR@10", [Document("text", metadata=document)], **labels) == 1.0


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ('{"split": "base"}', {"split": "base"}),
        ("{'split': 'base'}", {"split": "base"}),
        ("by hand", {"metadata": "by hand"}),
        ("", {}),
    ],
)
def test_metadata_that_became_text_is_kept(written, kept):
    assert from_records([{"question": "q", "metadata": written}]).records[0].metadata == kept


# Rows of tables


def labels_of(rows):
    data = from_records(rows)
    return [
        one.qrels or one.reference_context_ids or one.reference_contexts for one in data.records
    ]


def test_a_table_with_a_row_for_each_judged_document_is_one_question_with_its_grades():
    rows = [
        {"query_id": "1", "query": "q", "doc_id": "a", "relevance": "2"},
        {"query_id": "1", "query": "q", "doc_id": "b", "relevance": "0"},
        {"query_id": "2", "query": "r", "doc_id": "a", "relevance": "-1"},
        {"query_id": "2", "query": "r", "doc_id": "c", "relevance": "1"},
    ]
    data = from_records(rows)
    assert [one.id for one in data.records] == ["1", "2"]
    assert labels_of(rows) == [{"a": 2, "b": 0}, {"a": -1, "c": 1}]
    assert "'relevance' as the grade of each" in data.warnings[0]
    without_ids = [{key: one for key, one in row.items() if key != "query_id"} for row in rows]
    assert labels_of(without_ids) == labels_of(rows)
    assert labels_of(pandas.DataFrame(rows).astype({"relevance": float})) == labels_of(rows)


def test_grades_may_stand_beside_lists_of_ids_and_beside_contexts():
    lists = {"question": "q", "relevant_docs": ["a", "b"], "label": np.array([2, 0])}
    assert labels_of([lists]) == [{"a": 2, "b": 0}]
    texts = [{"question": "q", "context": text, "label": n} for n, text in enumerate("xy")]
    assert labels_of(texts) == [("y",)]


@pytest.mark.parametrize(
    "column",
    [{"score": 0.87}, {"label": "entity"}, {"label": 0, "relevant_ids": ["a", "b"]}],
)
def test_a_score_of_retrieval_and_a_class_are_no_grades(column):
    data = from_records([{"question": "q", "relevant_ids": "a", **column}])
    assert data.records[0].reference_context_ids[0] == "a"
    assert set(data.records[0].metadata) == {*column} - {"relevant_ids"}


def test_grades_that_cannot_be_used_are_named():
    row = {"question": "q", "doc_id": "a"}
    good = {"question": "r", "doc_id": "a", "relevance": 1}
    for wrong, said in [
        ([{**row, "relevance": 0.5}], "a whole number for each of 1 was expected, got 0.5"),
        ([{**row, "relevance": 1}, {**row, "relevance": 0}], "'a' has the grades 1 and 0"),
    ]:
        data = from_records([*wrong, good])
        assert [one.problem is None for one in data.records] == [False, True]
        assert said in data.warnings[-1]


def test_rows_that_call_one_thing_by_several_names_lose_no_label():
    rows = [
        {"qid": "x", "query": "q", "relevant_ids": ["a"]},
        {"id": "y", "question": "r", "gold_ids": ["b"]},
        {"ID": "z", "Question": "s", "Reference Context IDs": ["c"]},
    ]
    assert labels_of(rows) == [("a",), ("b",), ("c",)]
    assert [one.id for one in from_records(rows).records] == ["x", "y", "z"]
    joined = pandas.DataFrame([{**one, "question": "q"} for one in rows[:2]]).drop(columns="query")
    assert labels_of(joined) == [("a",), ("b",)]
    assert [one.id for one in from_records(joined).records] == ["x", "y"]
    # What is left over is kept, and what a system answered is no reference that is missing.
    asked = {"question": "full?", "query": "words", "ground_truth": None, "answer": "guess"}
    record = from_records([asked]).records[0]
    assert (record.question, record.reference) == ("full?", None)
    assert record.metadata == {"query": "words", "answer": "guess"}


def test_bytes_are_the_text_that_they_hold_and_no_list_of_numbers():
    table = pyarrow.table({"question": [b"q"], "relevant_ids": [[b"a", b"b"]], "id": [b"7"]})
    record = from_records(table).records[0]
    assert (record.id, record.question, record.reference_context_ids) == ("7", "q", ("a", "b"))
    assert labels_of([{"question": "q", "relevant_ids": b"abc"}]) == [("abc",)]
    with pytest.raises(ConfigurationError, match="a text or a list of texts was expected"):
        from_records([{"question": "q", "relevant_ids": b"\xff"}])


def test_two_forms_of_one_id_lose_no_grade():
    with pytest.raises(ConfigurationError, match="'7' has the grades 1 and 0; keep one of them"):
        from_records([{"question": "q", "qrels": {7: 1, "7": 0}}])
    data = from_records([{"id": 7, "question": "q", "qrels": {"own": 1}}])
    assert data.with_qrels({7: {"a": 1}, "7": {"b": 1}}).records[0].qrels == {"a": 1, "b": 1}
    with pytest.raises(ConfigurationError, match="'a' has the grades 1 and 2"):
        data.with_qrels({7: {"a": 1}, "7": {"a": 2}})
    # A query without any keeps its own labels.
    assert data.with_qrels({"7": {}}).records[0].qrels == {"own": 1}
    with pytest.raises(ConfigurationError, match="Grades by document id, by query id"):
        data.with_qrels([("7", "a", 1)])
