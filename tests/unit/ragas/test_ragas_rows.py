"""RAGAS rows as plain data: made from reports and chains, written and read."""

import json
import subprocess
import sys

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda, RunnableParallel, RunnablePassthrough

from langchain_rerank.errors import ConfigurationError, DataFileError, InputTypeError
from langchain_rerank.evaluation.compare import compare_rerank
from langchain_rerank.evaluation.data.beir import Collection
from langchain_rerank.evaluation.data.datasets import Record, from_records
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.ragas import (
    RagasRow,
    ragas_step,
    read_rows,
    to_ragas,
    write_jsonl,
)
from langchain_rerank.evaluation.ragas.labels import Labels
from langchain_rerank.testing import WordOverlapScorer

CORPUS = (
    Document("LoRA trains two small matrices.", id="lora#1", metadata={"source": "lora.md"}),
    Document("Rank is how wide they are.", id="lora#2", metadata={"source": "lora.md"}),
    Document("Cats sleep a lot.", id="cats#1", metadata={"source": "cats.md"}),
)
FULL = RagasRow(
    user_input="What is LoRA?",
    retrieved_contexts=("Adapters — of low rank.", "Cats."),
    retrieved_context_ids=("a", "b"),
    reference="Adapters.",
    reference_contexts=("Adapters.",),
    reference_context_ids=("a",),
    response="Adapters.",
    query_id="q1",
)


def test_rows_survive_a_file(tmp_path):
    rows = [FULL, RagasRow("What else?", retrieved_contexts=())]
    write_jsonl(rows, tmp_path / "rows.jsonl")
    assert read_rows(tmp_path / "rows.jsonl") == rows


def test_a_row_as_a_dictionary_has_only_what_is_known():
    assert RagasRow("What?", retrieved_contexts=()).to_dict() == {
        "user_input": "What?",
        "retrieved_contexts": [],
    }


def test_what_else_a_ragas_sample_holds_is_read_over():
    row = RagasRow.from_dict({"user_input": "What?", "persona_name": "Ann", "reference": None})
    assert row == RagasRow("What?")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"reference": "x"}, "'user_input' is missing"),
        ({"user_input": "x", "contexts": ["y"]}, "no field 'contexts'"),
        ({"user_input": "x", "retrieved_contexts": "y"}, "must be a list of strings"),
        ({"user_input": "x", "retrieved_contexts": [Document("y")]}, "page_content"),
        ({"user_input": "x", "retrieved_context_ids": [None]}, "must hold strings only"),
        ({"user_input": 3}, "must be a string"),
    ],
)
def test_a_row_that_ragas_would_mistake_is_refused(data, message):
    with pytest.raises(InputTypeError, match=message):
        RagasRow.from_dict(data)


def test_whole_numbers_as_ids_become_strings():
    assert RagasRow.from_dict(
        {"user_input": "x", "retrieved_context_ids": [7]}
    ).retrieved_context_ids == ("7",)


def test_a_broken_line_is_named_with_its_place(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"user_input": "x"}\n{"user_inputs": "x"}\n')
    with pytest.raises(DataFileError, match=r"rows\.jsonl:2: .*no field 'user_inputs'"):
        read_rows(tmp_path / "rows.jsonl")


def test_labels_by_id_are_joined_with_the_texts_of_the_corpus():
    record = Record("q", "What is LoRA?", qrels={"lora#1": 2, "cats#1": 0}, reference="Matrices.")
    row = Labels(Relevance(), CORPUS).row(record, [CORPUS[2], CORPUS[0]], "An answer.")
    assert row.retrieved_context_ids == ("cats#1", "lora#1")
    assert row.retrieved_contexts == (CORPUS[2].page_content, CORPUS[0].page_content)
    assert row.reference_context_ids == ("lora#1",)
    assert row.reference_contexts == (CORPUS[0].page_content,)
    assert (row.reference, row.response, row.query_id) == ("Matrices.", "An answer.", "q")


def test_an_expected_passage_becomes_the_documents_of_the_corpus_that_have_it():
    record = Record("q", "?", expected_passage="two small matrices", expected_source=("lora.md",))
    row = Labels(Relevance(), CORPUS).row(record, [CORPUS[1]])
    assert row.reference_context_ids == ("lora#1",)
    assert row.reference_contexts == (CORPUS[0].page_content,)
    assert Labels(Relevance()).row(record, [CORPUS[1]]).reference_context_ids is None


def test_with_an_expected_source_both_sides_are_sources():
    record = Record("q", "?", expected_source=("lora.md",))
    row = Labels(Relevance(), CORPUS).row(record, CORPUS)
    assert row.retrieved_context_ids == ("lora.md", "lora.md", "cats.md")
    assert row.reference_context_ids == ("lora.md",)


def test_documents_without_the_labelled_id_have_unknown_ids_and_not_wrong_ones():
    record = Record("q", "?", qrels={"lora#1": 1})
    assert Labels(Relevance()).row(record, [Document("x")]).retrieved_context_ids is None
    assert Labels(Relevance()).row(record, []).retrieved_context_ids == ()


def test_given_reference_contexts_come_before_those_of_the_corpus():
    record = Record("q", "?", qrels={"lora#1": 1}, reference_contexts=("The paper.",))
    row = Labels(Relevance(), CORPUS).row(record, [])
    assert row.reference_contexts == ("The paper.",)


@pytest.fixture
def report():
    dataset = from_records([{"id": "q", "question": "two small cats", "qrels": {"lora#1": 1}}])
    collection = Collection(CORPUS, dataset)
    return compare_rerank(
        lambda _: list(collection.documents), WordOverlapScorer(), dataset, measures=["RR"]
    )


def test_a_report_hands_over_what_a_system_returned_after_the_cut(report):
    (before,) = to_ragas(report, "first_stage", top_n=1)
    (after,) = to_ragas(report, "reranked", top_n=2)
    assert before.retrieved_context_ids == ("lora#1",)
    assert after.retrieved_context_ids == ("lora#1", "cats#1")
    assert after.retrieved_contexts == (CORPUS[0].page_content, CORPUS[2].page_content)
    assert after.reference_context_ids == ("lora#1",)
    assert after.reference_contexts == (CORPUS[0].page_content,)


def test_an_unknown_system_is_named_with_those_that_are_there(report):
    with pytest.raises(ConfigurationError, match="first_stage, reranked"):
        to_ragas(report, "rerank")


def test_a_report_without_texts_says_how_to_give_them(report):
    loaded = type(report).from_dict(report.to_dict())
    with pytest.raises(ConfigurationError, match="corpus="):
        to_ragas(loaded, "reranked")
    assert to_ragas(loaded, "reranked", corpus=CORPUS) == to_ragas(report, "reranked")


def test_a_step_of_a_chain_makes_rows_of_what_was_retrieved():
    retriever = RunnableLambda(lambda _: list(CORPUS))
    data = [{"id": "q", "question": "What is LoRA?", "reference": "Matrices."}]
    chain = RunnableParallel(input=RunnablePassthrough(), context=retriever) | ragas_step(
        data, top_n=2
    )
    row = chain.invoke("What is LoRA?")
    assert row.retrieved_context_ids == ("lora#1", "lora#2")
    assert (row.reference, row.query_id, row.response) == ("Matrices.", "q", None)
    assert chain.invoke("Something else?").reference is None


def test_a_step_takes_the_answer_of_a_chain_where_there_is_one():
    row = ragas_step().invoke({"input": "?", "context": [], "answer": "None."})
    assert (row.response, row.retrieved_contexts) == ("None.", ())


def test_a_step_without_its_key_says_which_keys_there_are():
    with pytest.raises(InputTypeError, match=r"no 'context'.*input, documents"):
        ragas_step().invoke({"input": "?", "documents": []})


def test_rows_and_metrics_without_an_llm_import_no_ragas(tmp_path):
    code = (
        "import sys\n"
        "from langchain_rerank.evaluation.ragas import RagasEvaluation, RagasRow, write_jsonl\n"
        "row = RagasRow('x', retrieved_contexts=('y',), reference_contexts=('y',))\n"
        f"write_jsonl([row], {str(tmp_path / 'rows.jsonl')!r})\n"
        "report = RagasEvaluation().invoke({'a': [row]})\n"
        "assert report.systems['a'].measures['non_llm_context_recall'].mean == 1.0\n"
        "assert 'ragas' not in sys.modules and 'openai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert json.loads((tmp_path / "rows.jsonl").read_text())["user_input"] == "x"


def test_without_ragas_the_error_has_the_pip_command():
    code = (
        "import sys\n"
        "class Without:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] == 'ragas': return None\n"
        "        return self.finder.find_spec(name, *rest)\n"
        "sys.meta_path[:] = [Without(one) for one in sys.meta_path]\n"
        "from langchain_rerank.errors import MissingExtraError\n"
        "from langchain_rerank.evaluation.ragas import RagasEvaluation, RagasRow, to_samples\n"
        "from langchain_core.language_models import FakeListChatModel\n"
        "for use in (\n"
        "    lambda: to_samples([RagasRow('x')]),\n"
        "    lambda: RagasEvaluation(judge=FakeListChatModel(responses=['x'])),\n"
        "):\n"
        "    try:\n"
        "        use()\n"
        "    except MissingExtraError as error:\n"
        "        assert \"pip install 'langchain-rerank[ragas]'\" in str(error), error\n"
        "    else:\n"
        "        raise SystemExit('no error')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
