"""What the evaluating commands read: kept embeddings, a TREC run, comma-separated options."""

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from rich.console import Console

from langchain_rerank.cli import options
from langchain_rerank.cli.inputs import Source, open_data, open_first_stage
from langchain_rerank.cli.kept_embeddings import KeptEmbeddings
from langchain_rerank.cli.run_candidates import run_retriever
from langchain_rerank.errors import ConfigurationError, DataFileError, RerankWarning
from langchain_rerank.evaluation.compare import compare_rerank
from langchain_rerank.evaluation.data.datasets import from_records
from langchain_rerank.first_stage.kept.refresh import BLOCK
from langchain_rerank.resolving import LOAD_SETTINGS
from langchain_rerank.scorers.engine.model_files import fingerprint
from langchain_rerank.testing import WordOverlapScorer


class CountingEmbeddings(DeterministicFakeEmbedding):
    """Deterministic embeddings that count the texts they embed."""

    embedded: list[str] = []  # noqa: RUF012 - a pydantic field, copied for each object

    def embed_documents(self, texts):
        self.embedded.extend(texts)
        return super().embed_documents(texts)


@pytest.fixture
def counting():
    return CountingEmbeddings(size=4)


@pytest.fixture
def kept_in(tmp_path):
    return tmp_path / "index.sqlite3"


def test_a_second_run_embeds_nothing_and_finds_the_same_vectors(counting, kept_in):
    texts = [f"text {number}" for number in range(BLOCK + 10)]
    done = []
    first = KeptEmbeddings(
        counting, model="m", store=kept_in, progress=lambda *one: done.append(one)
    ).embed_documents(texts)
    assert sorted(counting.embedded) == sorted(texts)
    assert done == [("Embedding", BLOCK, BLOCK + 10), ("Embedding", BLOCK + 10, BLOCK + 10)]
    again = KeptEmbeddings(counting, model="m", store=kept_in)
    assert again.embed_documents(texts[::-1]) == first[::-1]
    assert len(counting.embedded) == len(texts)
    assert first[3] == pytest.approx(counting.embed_query("text 3"), rel=1e-6)


def test_another_model_or_another_text_is_embedded(counting, kept_in):
    KeptEmbeddings(counting, model="m", store=kept_in).embed_documents(["ab", "c"])
    KeptEmbeddings(counting, model="m", store=kept_in).embed_documents(["a", "bc"])
    KeptEmbeddings(counting, model="n", store=kept_in).embed_documents(["ab", "c"])
    assert counting.embedded == ["ab", "c", "a", "bc", "ab", "c"]


@pytest.mark.parametrize("place", [0, 100, BLOCK + 44])
def test_one_text_that_is_new_costs_one_text_wherever_it_stands(counting, kept_in, place):
    texts = [f"text {number}" for number in range(BLOCK + 44)]
    kept = KeptEmbeddings(counting, model="m", store=kept_in)
    kept.embed_documents(texts)
    counting.embedded.clear()
    kept.embed_documents([*texts[:place], "new", *texts[place:]])
    assert counting.embedded == ["new"]


def test_a_damaged_store_is_made_again(counting, kept_in):
    kept = KeptEmbeddings(counting, model="m", store=kept_in)
    vectors = kept.embed_documents(["a", "b", "a"])
    assert vectors[0] == vectors[2]
    kept_in.write_bytes(b"no store" * 100)
    with pytest.warns(RerankWarning, match="damaged"):
        assert kept.embed_documents(["a", "b", "a"]) == vectors
    assert counting.embedded == ["a", "b"] * 2


def test_a_corpus_without_documents_and_queries_are_not_kept(counting, kept_in):
    kept = KeptEmbeddings(counting, model="m", store=kept_in)
    assert kept.embed_documents([]) == []
    assert kept.embed_query("a") == counting.embed_query("a")
    assert not kept_in.exists()


def test_a_local_model_that_changed_is_another_model(tmp_path):
    assert fingerprint("hub/name") == "hub/name"
    (tmp_path / "weights").write_bytes(b"1")
    before = fingerprint(str(tmp_path))
    assert fingerprint(str(tmp_path)) == before
    (tmp_path / "weights").write_bytes(b"12")
    assert fingerprint(str(tmp_path)) != before


CORPUS = [Document(f"text {name}", id=name, metadata={"source": name}) for name in "abc"]
DATASET = from_records([{"id": "q1", "question": "one?"}, {"id": "q2", "question": "two?"}])


def run_file(tmp_path, text):
    path = tmp_path / "first.trec"
    path.write_text(text)
    return path


def test_a_run_is_a_first_stage_that_gives_its_candidates_by_score(tmp_path):
    path = run_file(tmp_path, "q1 Q0 a 2 1.5 t\nq1 Q0 c 1 2.5 t\nq9 Q0 z 1 1.0 t\n")
    retriever = run_retriever(path, CORPUS, DATASET, k=5)
    found = retriever.invoke("one?")
    assert [(one.id, one.metadata["first_stage_score"]) for one in found] == [
        ("c", 2.5),
        ("a", 1.5),
    ]
    assert retriever.invoke("two?") == []
    assert "first_stage_score" not in CORPUS[0].metadata
    assert len(run_retriever(path, CORPUS, DATASET, k=1).invoke("one?")) == 1


def test_a_run_of_another_corpus_is_an_error_that_names_the_document(tmp_path):
    path = run_file(tmp_path, "q1 Q0 z 1 1.0 t\n")
    with pytest.raises(DataFileError, match=r"first\.trec: the run has the document 'z' under.*q1"):
        run_retriever(path, CORPUS, DATASET, k=5)


def test_a_run_of_other_questions_is_an_error_that_shows_both(tmp_path):
    path = run_file(tmp_path, "x1 Q0 a 1 1.0 t\n")
    with pytest.raises(
        DataFileError, match=r"none of the 2 queries: it has 'x1', the .* 'q1', 'q2'"
    ):
        run_retriever(path, CORPUS, DATASET, k=5)


def test_equal_questions_may_share_candidates_but_not_differ(tmp_path):
    twice = from_records([{"id": "q1", "question": "one?"}, {"id": "q2", "question": "one?"}])
    same = run_file(tmp_path, "q1 Q0 a 1 1.0 t\nq2 Q0 a 1 1.0 t\n")
    assert [one.id for one in run_retriever(same, CORPUS, twice, k=5).invoke("one?")] == ["a"]
    other = run_file(tmp_path, "q1 Q0 a 1 1.0 t\nq2 Q0 b 1 1.0 t\n")
    with pytest.raises(ConfigurationError, match="'q1' and 'q2' ask the same words"):
        run_retriever(other, CORPUS, twice, k=5)


def evaluated(tmp_path, *, documents=CORPUS, run=None, resume=False):
    source = Source(None, run, None, 5)
    retriever = open_first_stage(source, documents, LABELLED, Console(quiet=True))
    return compare_rerank(
        retriever,
        WordOverlapScorer(),
        LABELLED,
        journal=tmp_path / "journal.jsonl",
        resume=resume,
        progress=False,
        settings=source.settings,
    )


LABELLED = from_records([{"id": "q1", "question": "text one?", "qrels": {"a": 1}}])


@pytest.mark.parametrize(
    "changed", [Document("text a, revised", id="a"), Document("text a", id="z")]
)
def test_a_journal_of_other_documents_is_not_resumed(tmp_path, changed):
    evaluated(tmp_path)
    assert evaluated(tmp_path, resume=True).counts["ok"] == 1
    with pytest.raises(ConfigurationError, match=r"cannot be resumed: .*documents was"):
        evaluated(tmp_path, documents=[changed, *CORPUS[1:]], resume=True)


def test_a_journal_of_another_run_under_the_same_name_is_not_resumed(tmp_path):
    path = run_file(tmp_path, "q1 Q0 a 1 2.5 t\n")
    assert evaluated(tmp_path, run=path).settings["run"] == "first.trec"
    assert evaluated(tmp_path, run=path, resume=True).counts["ok"] == 1
    run_file(tmp_path, "q1 Q0 b 1 2.5 t\n")
    with pytest.raises(ConfigurationError, match=r"cannot be resumed: .*id was a, is b"):
        evaluated(tmp_path, run=path, resume=True)


@pytest.mark.parametrize("text", ["10,x", "0,10", "-5", "1.5", "", " , "])
def test_depths_that_are_no_numbers_are_an_error(text):
    with pytest.raises(ConfigurationError, match="--ks"):
        options.depths(text)


def test_names_and_depths_lose_their_repeats_and_spaces():
    assert options.names(" nDCG@10 ,RR@10,nDCG@10", "--measures") == ["nDCG@10", "RR@10"]
    assert options.depths("100, 10,10") == [10, 100]


def test_load_settings_are_those_of_the_scorer_in_its_types():
    given = [
        *("device=cuda:1", "dtype=bfloat16", "backend=torch", "max_length=256"),
        "max_batch_tokens=4096",
        *("instruction=Find laws: a=b, c", "revision=main", "trust_remote_code=True"),
    ]
    assert options.load_settings(given) == {
        "device": "cuda:1",
        "dtype": "bfloat16",
        "backend": "torch",
        "max_length": 256,
        "max_batch_tokens": 4096,
        "instruction": "Find laws: a=b, c",
        "revision": "main",
        "trust_remote_code": True,
    }
    no_text = {"model_kwargs", "prompt", "calibration_texts"}
    assert set(options.load_settings(given)) == set(LOAD_SETTINGS) - no_text
    assert options.load_settings(None) == {}


@pytest.mark.parametrize(
    "given",
    [["dtype"], ["size=3"], ["max_length=long"], ["trust_remote_code=1"], ["dtype=a", "dtype=b"]],
)
def test_an_impossible_load_setting_is_an_error_that_shows_it(given):
    with pytest.raises(ConfigurationError, match=f"--model-arg '{given[-1]}'"):
        options.load_settings(given)


def test_data_is_a_collection_or_documents_with_questions(tmp_path):
    with pytest.raises(ConfigurationError, match="nothing to evaluate on"):
        open_data(None, None, None)
    with pytest.raises(ConfigurationError, match="nothing to evaluate on"):
        open_data(None, [tmp_path], None)
    with pytest.raises(ConfigurationError, match="leave out the collection"):
        open_data(tmp_path, [tmp_path], None)
