import pytest
from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.datasets import from_records
from langchain_rerank.evaluation.data.relevance import Relevance, basename
from langchain_rerank.evaluation.score.measures import parse_measure


def record(**labels):
    return from_records([{"question": "q", **labels}]).records[0]


def docs(*specs):
    return [
        Document(id=str(n), page_content=text, metadata={"source": source})
        for n, (source, text) in enumerate(specs)
    ]


def judged(relevance, one, documents):
    found = relevance.judge(one, {relevance.key(d): d for d in documents})
    return relevance.ids(found, [relevance.key(d) for d in documents]), found.qrels


DOCUMENTS = docs(("a.pdf", "first"), ("b.pdf", "second"), ("b.pdf", "third"), ("c.pdf", "fourth"))


def test_qrels_judge_by_document_id_with_their_grades():
    ids, qrels = judged(Relevance(), record(qrels={"1": 2, "9": 1}), DOCUMENTS)
    assert ids == ("0", "1", "2", "3")
    assert qrels == {"1": 2, "9": 1}


def test_reference_context_ids_judge_by_a_metadata_key_where_one_is_named():
    documents = [Document("x", metadata={"pk": 17}), Document("y", metadata={"pk": 18})]
    relevance = Relevance(id_key="pk")
    assert judged(relevance, record(reference_context_ids=[18]), documents) == (
        ("17", "18"),
        {"18": 1},
    )


def test_one_of_several_expected_sources_is_a_hit_and_each_counts_once():
    ids, qrels = judged(Relevance(), record(expected_source=["b.pdf", "c.pdf"]), DOCUMENTS)
    assert ids == ("a.pdf", "b.pdf", "b.pdf#2", "c.pdf")
    assert qrels == {"b.pdf": 1, "c.pdf": 1}
    assert parse_measure("R@4")(ids, qrels) == 1.0
    assert parse_measure("P@4")(ids, qrels) == 0.5


def test_collapse_moves_later_sources_up_and_chunk_judges_each_chunk():
    one = record(expected_source=["b.pdf", "z.pdf"])
    ids, qrels = judged(Relevance(chunks="collapse"), one, DOCUMENTS)
    assert ids == ("a.pdf", "b.pdf", "c.pdf")
    ids, qrels = judged(Relevance(chunks="chunk"), one, DOCUMENTS)
    assert ids == ("0", "1", "2", "3")
    assert qrels == {"z.pdf": 1, "1": 1, "2": 1}
    assert parse_measure("R@4")(ids, qrels) == pytest.approx(2 / 3)


def test_occupy_gives_the_success_and_reciprocal_rank_of_a_chunk_level_judgement():
    one = record(expected_source="b.pdf")
    for name in ("Success@1", "Success@2", "RR@10"):
        values = {
            parse_measure(name)(*judged(Relevance(chunks=policy), one, DOCUMENTS))
            for policy in ("occupy", "chunk")
        }
        assert len(values) == 1


def test_sources_are_compared_exactly_unless_normalised():
    documents = docs(("/data/b.pdf", "x"))
    one = record(expected_source="papers/b.pdf")
    assert judged(Relevance(), one, documents)[0] == ("/data/b.pdf",)
    ids, qrels = judged(Relevance(normalize=basename), one, documents)
    assert parse_measure("RR")(ids, qrels) == 1.0


def test_windows_paths_have_a_base_name_too():
    assert basename("C:\\papers\\lora.pdf") == "lora.pdf"


def test_reference_contexts_match_texts_that_contain_each_other_whatever_the_spacing():
    one = record(reference_contexts=["The  SECOND\none", "absent"])
    documents = docs(("a", "first"), ("b", "so the second one came"), ("c", "the second  ONE"))
    ids, qrels = judged(Relevance(), one, documents)
    assert ids == ("0", "reference context 1", "reference context 1#2")
    assert qrels == {"reference context 1": 1, "reference context 2": 1}


def test_an_expected_passage_must_stand_in_the_expected_source_where_one_is_given():
    documents = docs(("a.pdf", "it says so here"), ("b.pdf", "it says so here"))
    one = record(expected_passage="says so", expected_source="b.pdf")
    ids, qrels = judged(Relevance(), one, documents)
    assert ids[0] == "0"
    assert parse_measure("RR")(ids, qrels) == 0.5
    ids, qrels = judged(Relevance(), record(expected_passage="says so"), documents)
    assert parse_measure("RR")(ids, qrels) == 1.0


def test_a_callable_grades_every_returned_document():
    relevance = Relevance(rule=lambda one, document: 2 if "third" in document.page_content else 0)
    assert judged(relevance, record(), DOCUMENTS)[1] == {"0": 0, "1": 0, "2": 2, "3": 0}


def test_a_named_rule_reads_that_label_only():
    one = record(qrels={"0": 1}, expected_source="b.pdf")
    assert judged(Relevance(rule="expected_source"), one, DOCUMENTS)[1] == {"b.pdf": 1}
    assert Relevance(rule="reference_contexts").rule_for(one) is None
    assert judged(Relevance(rule="reference_contexts"), one, DOCUMENTS)[1] == {}


def test_documents_without_an_id_are_told_apart_by_text_and_source():
    relevance = Relevance()
    keys = {
        relevance.key(Document(text, metadata={"source": source}))
        for text, source in [("x", "a"), ("x", "b"), ("y", "a"), ("x", "a")]
    }
    assert len(keys) == 3


def test_a_key_that_no_document_carries_is_an_error_that_names_those_they_have():
    documents = [Document("x", metadata={"file": "a.pdf", "page": 1})]
    with pytest.raises(ConfigurationError, match=r"metadata\['source'\].*file, page"):
        Relevance().check([(record(expected_source="a.pdf"), documents)])
    with pytest.raises(ConfigurationError, match=r"an id.*id_key"):
        Relevance().check([(record(qrels={"a": 1}), documents)])
    assert Relevance(source_key="file").check([(record(expected_source="a.pdf"), documents)]) == []


def test_a_source_that_no_document_has_is_a_warning_that_names_the_record():
    warnings = Relevance().check([(record(expected_source=["b.pdf", "bb.pdf"]), DOCUMENTS)])
    assert len(warnings) == 1
    assert "Record '1'" in warnings[0]
    assert "'bb.pdf'" in warnings[0]
    assert "nearest that was seen is 'b.pdf'" in warnings[0]


def test_nothing_returned_at_all_is_no_missing_key():
    assert Relevance().check([(record(expected_source="a"), [])]) == []


def test_a_repeat_never_takes_the_name_of_a_labelled_unit():
    documents = docs(("s", "1"), ("s", "2"), ("s#2", "3"))
    ids, qrels = judged(Relevance(), record(expected_source="s#2"), documents)
    assert ids[2] == "s#2"
    assert parse_measure("RR")(ids, qrels) == pytest.approx(1 / 3)


@pytest.mark.parametrize("settings", [{"rule": "sources"}, {"chunks": "merge"}])
def test_an_unknown_rule_or_policy_is_refused(settings):
    with pytest.raises(ConfigurationError, match="expected"):
        Relevance(**settings)
