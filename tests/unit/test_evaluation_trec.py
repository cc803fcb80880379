import ir_measures
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_rerank.errors import DataFileError
from langchain_rerank.evaluation.data.beir import is_collection, load_collection
from langchain_rerank.evaluation.data.datasets import as_dataset
from langchain_rerank.evaluation.data.trec import read_qrels, read_run, write_qrels, write_run


@given(
    scores=st.lists(
        st.floats(min_value=-1e6, max_value=1e6, allow_subnormal=False), min_size=1, max_size=30
    )
)
@settings(max_examples=60, deadline=None)
def test_every_reader_sees_the_order_that_was_written(scores, tmp_path_factory):
    path = tmp_path_factory.mktemp("trec") / "run.trec"
    ids = [f"d{n:02d}" for n in range(len(scores))][::-1]
    write_run(path, {"q": (ids, scores)})
    assert [one for one, _ in read_run(path)["q"]] == ids
    # Graded so that any other order gives another value.
    qrels = {"q": {one: rank for rank, one in enumerate(reversed(ids), 1)}}
    measure = ir_measures.nDCG @ len(ids)
    theirs = ir_measures.calc_aggregate([measure], qrels, ir_measures.read_trec_run(str(path)))
    assert theirs[measure] == 1.0


def test_scores_that_already_decrease_are_kept(tmp_path):
    write_run(tmp_path / "r", {"q": (["a", "b", "c"], [3.5, 3.5, -1.0])})
    found = read_run(tmp_path / "r")["q"]
    assert found[0] == ("a", 3.5)
    assert found[1][1] == pytest.approx(3.5)
    assert found[2] == ("c", -1.0)


def test_without_scores_ranks_become_scores(tmp_path):
    write_run(tmp_path / "r", {"q": (["a", "b"], [])})
    assert read_run(tmp_path / "r") == {"q": [("a", 2.0), ("b", 1.0)]}


def test_white_space_in_ids_is_escaped_alike_in_runs_and_qrels(tmp_path):
    write_run(tmp_path / "r", {"my query": (["a file.pdf"], [1.0])}, tag="two words")
    write_qrels(tmp_path / "q", {"my query": {"a file.pdf": 2}})
    assert read_run(tmp_path / "r") == {"my%20query": [("a%20file.pdf", 1.0)]}
    assert read_qrels(tmp_path / "q") == {"my%20query": {"a%20file.pdf": 2}}


def test_scores_decide_the_order_and_ranks_break_ties(tmp_path):
    (tmp_path / "r").write_text("q Q0 low 1 0.5 t\nq Q0 tie2 3 0.9 t\nq Q0 tie1 2 0.9 t\n")
    assert [one for one, _ in read_run(tmp_path / "r")["q"]] == ["tie1", "tie2", "low"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q Q0 d 1 0.5 t\nq Q0 d\n", "3 fields"),
        ("q Q0 d 1 0.5 t\nq Q0 d 2 0.4 t\n", "stands twice"),
        ("q Q0 d 1 0.5 t\nq Q0 e 2 high t\n", "no number"),
        ("q Q0 d 1 0.5 t\nq Q0 e 2 nan t\n", "'nan' is no finite number"),
        ("q Q0 d 1 0.5 t\nq Q0 e 2 -inf t\n", "'-inf' is no finite number"),
        # Not the document "a" with the score 1, which is its rank.
        ("q Q0 d 1 0.5 t\nq Q0 a file.pdf 1 0.5 t\n", "an id has a space in it"),
        ("q Q0 d 1 0.5 t\nq Q0 file 7 1 0.5 t\n", "an id has a space in it"),
        ("q Q0 d 1 0.5 t\nq Q0 d\u00a0x 1 0.5 t\n", "an id has a space in it"),
    ],
)
def test_a_broken_run_is_an_error_with_its_line(tmp_path, text, message):
    (tmp_path / "r").write_text(text)
    with pytest.raises(DataFileError, match=message) as caught:
        read_run(tmp_path / "r")
    assert caught.value.line == 2


def test_ids_may_have_spaces_where_tabs_part_the_fields(tmp_path):
    (tmp_path / "q").write_text(
        "query-id\tcorpus-id\tscore\nq1\tuser guide\t1\nmy query\t0\ta file\t2\r\n"
    )
    assert read_qrels(tmp_path / "q") == {"q1": {"user guide": 1}, "my query": {"a file": 2}}
    (tmp_path / "r").write_text("my query\tQ0\tuser guide\t1\t0.5\ta tag\n")
    assert read_run(tmp_path / "r") == {"my query": [("user guide", 0.5)]}


def test_a_document_judged_twice_is_an_error_where_the_grades_differ(tmp_path):
    (tmp_path / "q").write_text("q\td\t1\nq\td\t1\n")
    assert read_qrels(tmp_path / "q") == {"q": {"d": 1}}
    (tmp_path / "q").write_text("q\td\t1\nq\td\t0\n")
    with pytest.raises(
        DataFileError, match="'d' has under the query 'q' the grades 1 and 0"
    ) as caught:
        read_qrels(tmp_path / "q")
    assert caught.value.line == 2


@pytest.mark.parametrize(("text", "message"), [("q d\n", "2 fields"), ("q 0 d x\n", "whole")])
def test_broken_qrels_are_an_error(tmp_path, text, message):
    (tmp_path / "q").write_text(text)
    with pytest.raises(DataFileError, match=message):
        read_qrels(tmp_path / "q")


def collection(folder, qrels="query-id\tcorpus-id\tscore\nq2\td1\t1\n"):
    (folder / "corpus.jsonl").write_text(
        '{"_id": "d1", "title": "Title", "text": "Text."}\n'
        '{"_id": "d2", "title": "", "text": "More.", "metadata": {"year": 2020}}\n'
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "one"}\n{"_id": "q2", "text": "two"}\n'
    )
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text(qrels)
    return folder


def test_a_beir_folder_gives_documents_and_the_judged_questions(tmp_path):
    found = load_collection(collection(tmp_path))
    assert is_collection(tmp_path)
    first, second = found.documents
    assert (first.id, first.page_content) == ("d1", "Title\nText.")
    assert second.page_content == "More."
    assert second.metadata == {"source": "d2", "title": "", "year": 2020}
    assert [(r.id, r.question, r.qrels) for r in found.dataset.records] == [
        ("q2", "two", {"d1": 1})
    ]


def test_the_path_of_a_beir_folder_is_a_data_set(tmp_path):
    assert as_dataset(collection(tmp_path)) == load_collection(tmp_path).dataset


def test_a_missing_split_names_those_that_are_there(tmp_path):
    with pytest.raises(DataFileError, match="the folder has test"):
        load_collection(collection(tmp_path), split="dev")


def test_qrels_of_an_unknown_query_are_an_error(tmp_path):
    with pytest.raises(DataFileError, match="'q9'"):
        load_collection(collection(tmp_path, "query-id\tcorpus-id\tscore\nq9\td1\t1\n"))


def test_qrels_of_a_document_that_is_not_there_are_a_warning(tmp_path):
    found = load_collection(collection(tmp_path, "query-id\tcorpus-id\tscore\nq1\td9\t1\n"))
    assert "'d9'" in found.dataset.warnings[0]


@pytest.mark.parametrize(
    ("row", "message"),
    [('{"_id": "d1", "text": "again"}', "used before"), ('{"id": "d3"}', "'_id' and a string")],
)
def test_a_broken_corpus_is_an_error_with_its_line(tmp_path, row, message):
    collection(tmp_path)
    with (tmp_path / "corpus.jsonl").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(DataFileError, match=message) as caught:
        load_collection(tmp_path)
    assert caught.value.line == 3
