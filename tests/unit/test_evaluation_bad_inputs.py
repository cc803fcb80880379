"""What files and documents may hold by mistake: one clear error, or a result that is kept."""

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from langchain_rerank.errors import (
    ConfigurationError,
    DataFileError,
    InputTypeError,
    RerankError,
)
from langchain_rerank.evaluation import (
    EvaluationChain,
    Relevance,
    compare_models,
    judge_relevance,
)
from langchain_rerank.evaluation.compare import compare_rerank
from langchain_rerank.evaluation.data.beir import load_collection
from langchain_rerank.evaluation.data.datasets import from_ragas, from_records
from langchain_rerank.evaluation.data.files import load_dataset
from langchain_rerank.evaluation.judge.verdicts import Verdicts
from langchain_rerank.evaluation.ragas import RagasEvaluation
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.testing import WordOverlapScorer

DEEP = "[" * 100_000
HALF = "half \ud83d of a character"


def beir(folder, *, document=None, question="what?", qrels="q1\td1\t1\n"):
    (folder / "qrels").mkdir(parents=True)
    document = {"_id": "d1", "text": "text", **(document or {})}
    (folder / "corpus.jsonl").write_text(json.dumps(document) + "\n")
    queries = [{"_id": "q1", "text": question}, {"_id": "q2", "text": "which?"}]
    (folder / "queries.jsonl").write_text("".join(json.dumps(one) + "\n" for one in queries))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return folder


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "question,reference\nwhat?," + "x" * 140_000, r"a\.csv:2: .*field"),
        ("b.csv", f'question,tags\nwhat?,"{DEEP}"', r"b\.csv:2: .*nested too deeply"),
        ("c.jsonl", '{"question": ' + DEEP, r"c\.jsonl:1: .*nested too deeply"),
        ("d.jsonl", '{"question": ' + "1" * 5_000 + "}", r"d\.jsonl:1: .*digits"),
    ],
)
def test_a_data_set_that_no_parser_takes_is_an_error_with_its_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataFileError, match=message):
        load_dataset(tmp_path / name)


@pytest.mark.parametrize("document", [{"title": 5}, {"metadata": ["a"]}, {"metadata": "a"}])
def test_a_corpus_with_a_field_of_another_kind_is_an_error_with_its_line(tmp_path, document):
    with pytest.raises(DataFileError, match=rf"corpus\.jsonl:1: .*'{next(iter(document))}'"):
        load_collection(beir(tmp_path, document=document))


@pytest.mark.parametrize("text", ["[1]", '{"title": "x", "queries": [1]}', DEEP, '"x"', "1"])
def test_other_json_than_a_report_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(DataFileError, match=r"report\.json: cannot be read as a report"):
        Report.load(tmp_path)


def test_qrels_that_judge_nothing_are_an_error(tmp_path):
    with pytest.raises(DataFileError, match=r"test\.tsv: It judges no query"):
        load_collection(beir(tmp_path, qrels=""))


def test_an_empty_question_of_a_collection_is_invalid_as_elsewhere(tmp_path):
    found = load_collection(beir(tmp_path, question=" ", qrels="q1\td1\t1\nq2\td1\t1\n")).dataset
    assert [bool(one.problem) for one in found.records] == [True, False]
    assert "queries.jsonl (id 'q1'): the question is empty" in found.warnings[0]


def test_no_record_at_all_is_said_in_whole_sentences():
    with pytest.raises(ConfigurationError, match=r"it is empty\. A record is"):
        from_records([])


def test_columns_of_arrays_are_read_as_lists():
    frame = pd.DataFrame(
        {
            "user_input": ["what?", "which?"],
            "reference_contexts": [np.array(["a", "b"]), np.array([], dtype=object)],
            "reference_context_ids": [np.array([3, 4]), np.nan],
        }
    )
    first, second = from_ragas(frame).records
    assert first.reference_contexts == ("a", "b")
    assert first.reference_context_ids == ("3", "4")
    assert second.reference_contexts == second.reference_context_ids == ()


def evaluated(records, documents, **settings):
    return compare_rerank(
        lambda _: documents, WordOverlapScorer(), records, progress=False, **settings
    )


def test_a_blank_passage_is_no_label():
    report = evaluated([{"question": "what?", "expected_passage": " \n"}], [Document("a", id="a")])
    assert report.counts["unlabelled"] == 1


def test_half_a_character_in_text_id_or_question_loses_no_report(tmp_path):
    documents = [Document(HALF, id=HALF), Document(HALF, metadata={"source": HALF})]
    records = [{"id": HALF, "question": HALF, "qrels": {HALF: 1}}]
    report = evaluated(records, documents, journal=tmp_path / "journal.jsonl")
    assert Report.load(report.save(tmp_path)) == report
    assert HALF.replace("\ud83d", "\\ud83d") in (tmp_path / "per_query.csv").read_text()
    judged = RagasEvaluation(
        {"first_stage": lambda _: documents}, metrics="id_based_context_recall"
    )
    judged.invoke(records).save(tmp_path / "ragas")
    Verdicts(tmp_path / "verdicts.jsonl").put("key", HALF, metric="m")
    assert Verdicts(tmp_path / "verdicts.jsonl").get("key") == HALF


def test_metadata_that_json_has_no_key_for_is_kept_in_the_journal(tmp_path):
    documents = [Document("a", id="a", metadata={("page", 1): {(2, 3): "x"}})]
    settings = {"journal": tmp_path / "journal.jsonl"}
    records = [{"question": "a", "qrels": {"a": 1}}]
    assert evaluated(records, documents, **settings).counts["ok"] == 1
    assert evaluated(records, documents, resume=True, **settings).counts["ok"] == 1


def test_the_csv_has_plain_line_ends_on_windows_too(tmp_path, monkeypatch):
    """There, text that is written becomes longer by a carriage return at each line feed."""
    from pathlib import Path

    write = Path.write_text

    def as_on_windows(self, data, encoding=None, errors=None, newline=None):
        data = data if newline == "" else data.replace("\n", "\r\n")
        return write(self, data, encoding, errors, newline="")

    monkeypatch.setattr(Path, "write_text", as_on_windows)
    report = evaluated([{"question": "a", "qrels": {"a": 1}}], [Document("a", id="a")])
    text = (report.save(tmp_path) / "per_query.csv").read_bytes().decode()
    assert "\r\r" not in text
    assert len(list(csv.reader(io.StringIO(text, newline="")))) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"rule": ["qrels"]},
        {"rule": {"qrels": 1}},
        {"chunks": []},
        {"normalize": "basename"},
        {"source_key": None},
        {"id_key": 7},
    ],
)
def test_what_cannot_say_what_counts_as_a_hit_is_refused_at_once(settings):
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        Relevance(**settings)


def test_a_corpus_may_be_given_as_a_generator():
    documents = [Document("LoRA", id="a"), Document("Cats", id="b")]
    found = Relevance(corpus=(one for one in documents))
    assert found.corpus == documents
    assert found.corpus_ids == {"a", "b"}


@pytest.mark.parametrize("systems", [None, "bm25", [lambda _: []], lambda _: []])
def test_systems_without_names_are_refused(systems):
    with pytest.raises(ConfigurationError, match="Systems by name were expected"):
        EvaluationChain(systems)


def test_systems_may_be_called_by_numbers():
    chain = EvaluationChain({1: lambda _: [Document("LoRA", id="a")]}, measures=["RR"])
    report = chain.invoke([{"question": "What is LoRA?", "qrels": {"a": 1}}])
    assert report.systems["1"].measures["RR"].mean == 1.0


@pytest.mark.parametrize("settings", [{"baseline": ["a"]}, {"chain_keys": "context"}])
def test_impossible_settings_of_a_chain_are_refused(settings):
    with pytest.raises(ConfigurationError, match=r"baseline|chain_keys"):
        EvaluationChain({"a": lambda _: []}, **settings)


@pytest.mark.parametrize("models", [None, "a-model", WordOverlapScorer()])
def test_one_model_where_several_are_compared_is_refused(models):
    with pytest.raises(InputTypeError, match="models must be a sequence"):
        compare_models(lambda _: [], models, [{"question": "What is LoRA?"}])


def test_models_to_compare_may_come_from_a_generator():
    documents = [Document("LoRA", id="a"), Document("Cats", id="b")]
    report = compare_models(
        lambda _: documents,
        (one for one in [WordOverlapScorer()]),
        [{"question": "What is LoRA?", "qrels": {"a": 1}}],
        measures=["RR"],
    )
    assert len(report.systems) == 2


@pytest.mark.parametrize(
    "settings",
    [{"max_calls": "10"}, {"max_calls": -1}, {"announce": "no"}, {"relevance": "qrels"}],
)
def test_impossible_settings_of_judged_labels_are_refused(settings):
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        judge_relevance(RunnableLambda(str), lambda _: [], [{"question": "?"}], **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"metrics": 1},
        {"metrics": [1]},
        {"chain": "a"},
        {"on_estimate": 1},
        {"corpus": 1},
        {"corpus": ["a text"]},
    ],
)
def test_impossible_settings_of_ragas_are_refused(settings):
    given = {"metrics": "id_based_context_recall", **settings}
    with pytest.raises(RerankError, match=next(iter(settings))):
        RagasEvaluation({"a": lambda _: []}, **given)


def test_verdicts_in_a_place_where_no_file_can_be_are_refused(tmp_path):
    with pytest.raises(DataFileError, match="no verdicts can be kept there"):
        Verdicts(tmp_path)


@pytest.mark.parametrize("changed", [b'"verdict": 2', b'"Verdict": 1', b'"verdict": 1, "a": 2'])
def test_a_changed_verdict_is_an_error_with_its_line(tmp_path, changed):
    path = tmp_path / "verdicts.jsonl"
    Verdicts(path).put("a", 1, metric="relevance")
    path.write_bytes(path.read_bytes().replace(b'"verdict": 1', changed))
    with pytest.raises(DataFileError, match=r"verdicts\.jsonl:1: .*was damaged"):
        Verdicts(path)


def test_verdicts_of_a_file_without_checksums_are_read(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    path.write_text('{"key": "a", "metric": "relevance", "verdict": 2}\n')
    verdicts = Verdicts(path)
    verdicts.put("b", 1, metric="relevance")
    again = Verdicts(path)
    assert (again.get("a"), again.get("b")) == (2, 1)


def test_a_full_disk_costs_the_file_of_verdicts_and_not_the_run(tmp_path, caplog):
    path = tmp_path / "verdicts.jsonl"
    verdicts = Verdicts(path)
    path.mkdir()  # nothing can be written there any more
    verdicts.put("a", 1, metric="relevance")
    verdicts.put("b", 2, metric="relevance")
    assert (verdicts.get("a"), verdicts.get("b")) == (1, 2)
    assert caplog.text.count("is kept no longer") == 1


def test_two_runs_may_write_verdicts_to_one_file_at_the_same_time(tmp_path):
    path = tmp_path / "verdicts.jsonl"
    text = "long " * 20_000

    def write(name):
        verdicts = Verdicts(path)
        for number in range(10):
            verdicts.put(f"{name} {number}", text, metric="answer")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))
    assert len(Verdicts(path)) == 40
