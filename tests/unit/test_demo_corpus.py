import json
import re
from collections import Counter
from importlib.resources import files
from typing import Any

import pytest

EMBEDDED = files("langchain_rerank").joinpath("embedded")

GUIDES = (
    "dgx_spark_technical_guide.md",
    "lora_finetuning_guide.md",
    "quantization_methods.md",
    "rag_architecture_patterns.md",
    "transformer_architecture_explained.md",
    "vector_database_comparison.md",
)
FIELDS = {"id", "question", "expected_source", "expected_passage", "reference", "tags"}
CHUNK_SIZE = 512  # of the demo's text splitter, in characters


def guide(name: str) -> str:
    return EMBEDDED.joinpath("corpus", name).read_text(encoding="utf-8")


def load_questions() -> list[dict[str, Any]]:
    lines = EMBEDDED.joinpath("questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


TEXTS = {name: guide(name) for name in GUIDES}
QUESTIONS = load_questions()
each_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda row: row["id"])
each_guide = pytest.mark.parametrize("name", GUIDES)


def sources(question: dict[str, Any]) -> list[str]:
    expected = question["expected_source"]
    return [expected] if isinstance(expected, str) else list(expected)


def test_the_corpus_folder_holds_the_six_guides_and_nothing_else():
    found = sorted(entry.name for entry in EMBEDDED.joinpath("corpus").iterdir())
    assert found == sorted(GUIDES)


@each_guide
def test_a_guide_has_between_one_and_two_thousand_words(name):
    assert 1_000 <= len(TEXTS[name].split()) <= 2_000


@each_guide
def test_a_guide_opens_with_its_only_top_level_heading(name):
    prose = re.sub(r"```.*?```", "", TEXTS[name], flags=re.DOTALL)
    lines = prose.splitlines()
    assert lines[0].startswith("# ")
    assert sum(line.startswith("# ") for line in lines) == 1


@each_guide
def test_a_guide_closes_every_code_fence_it_opens(name):
    assert sum(line.startswith("```") for line in TEXTS[name].splitlines()) % 2 == 0


@each_guide
def test_every_guide_is_asked_about_at_least_five_times(name):
    assert sum(name in sources(question) for question in QUESTIONS) >= 5


def test_there_are_at_least_forty_questions():
    assert len(QUESTIONS) >= 40


def test_ten_questions_are_easy_and_most_are_not():
    counts = Counter(question["tags"][0] for question in QUESTIONS)
    assert set(counts) == {"easy", "medium", "hard"}
    assert counts["easy"] == 10
    assert counts["hard"] >= counts["easy"]


@pytest.mark.parametrize("field", ["id", "question", "expected_passage"])
def test_no_two_questions_share_an_id_a_wording_or_a_passage(field):
    values = [question[field].casefold() for question in QUESTIONS]
    assert [value for value, count in Counter(values).items() if count > 1] == []


@each_question
def test_a_question_has_exactly_the_documented_fields_and_none_is_empty(question):
    assert set(question) == FIELDS
    assert all(question.values())


@each_question
def test_a_question_ends_in_a_question_mark_and_its_reference_in_a_full_stop(question):
    assert question["question"].endswith("?")
    assert question["reference"].endswith(".")


@each_question
def test_the_expected_source_of_a_question_is_one_of_the_guides(question):
    assert sources(question)
    assert set(sources(question)) <= set(GUIDES)


@each_question
def test_the_expected_passage_stands_verbatim_in_its_source(question):
    assert any(question["expected_passage"] in TEXTS[name] for name in sources(question))


@each_question
def test_the_expected_passage_occurs_once_in_the_whole_corpus(question):
    assert sum(text.count(question["expected_passage"]) for text in TEXTS.values()) == 1


@each_question
def test_the_expected_passage_is_short_and_on_one_line(question):
    passage = question["expected_passage"]
    assert len(passage) <= 300
    assert "\n" not in passage
    assert passage == passage.strip()


@each_question
def test_the_line_around_an_expected_passage_fits_into_one_chunk(question):
    lines = [line for text in TEXTS.values() for line in text.splitlines()]
    (around,) = [line for line in lines if question["expected_passage"] in line]
    assert len(around) <= CHUNK_SIZE
