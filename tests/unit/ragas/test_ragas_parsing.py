"""Answers of judges: read leniently around the JSON, strictly inside it."""

import pytest
from pydantic import BaseModel

from langchain_rerank.errors import DataFileError, InputError
from langchain_rerank.evaluation.judge.parsing import parse_answer
from langchain_rerank.evaluation.judge.verdicts import Verdicts, verdict_key


class Verdict(BaseModel):
    reason: str
    verdict: int


class Sheet(BaseModel):
    statements: list[Verdict]


GOOD = '{"reason": "it says so", "verdict": 1}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"{GOOD}, so {GOOD}",
        f"Here is my verdict: {GOOD} I hope it helps {{sincerely}}.",
        f'<think>Maybe {{"reason": "no", "verdict": 0}}?</think>\n{GOOD}',
        f'{{"answer": {GOOD}}}',
        '{"reason": "it says so", "verdict": "1"}',
    ],
)
def test_the_object_that_was_asked_for_is_found(text):
    assert parse_answer(text, Verdict) == Verdict(reason="it says so", verdict=1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no JSON object"),
        ("Yes.", "no JSON object; it begins with 'Yes.'"),
        ('{"reason": "torn off", "verd', "no JSON object"),
        ('{"verdict": 1}', "reason: Field required"),
        (f"Either {GOOD} or {GOOD.replace('1', '0')}.", "it holds 2 answers that differ"),
        ('{"reason": "x", "verdict": 0, "verdict": 1}', "no JSON object"),
        ('{"reason": "x", "verdict": 7}', "verdict is 7"),
        ('{"reason": "x", "verdict": "maybe"}', "verdict: Input should be a valid integer"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text, problem):
    with pytest.raises(InputError, match=problem):
        parse_answer(text, Verdict)


def test_a_verdict_deep_inside_is_checked_too():
    with pytest.raises(InputError, match="verdict is 2"):
        parse_answer('{"statements": [{"reason": "x", "verdict": 2}]}', Sheet)


def test_verdicts_are_read_again_and_a_torn_line_is_cut_off(tmp_path):
    path = tmp_path / "deep" / "verdicts.jsonl"
    kept = Verdicts(path)
    kept.put("a", {"verdict": 1}, metric="faithfulness")
    kept.put("b", 0.5, metric="faithfulness")
    with path.open("a") as file:
        file.write('{"key": "c", "verd')
    again = Verdicts(path)
    assert (again.get("a"), again.get("b"), again.get("c"), len(again)) == (
        {"verdict": 1},
        0.5,
        None,
        2,
    )
    again.put("c", 1.0, metric="faithfulness")
    assert Verdicts(path).get("c") == 1.0


def test_what_is_put_into_a_copy_leaves_the_file_alone(tmp_path):
    kept = Verdicts(tmp_path / "verdicts.jsonl")
    copy = kept.copy()
    copy.put("a", 1.0, metric="faithfulness")
    assert (kept.get("a"), copy.get("a")) == (None, 1.0)
    assert not (tmp_path / "verdicts.jsonl").exists()


def test_another_file_is_not_taken_for_verdicts(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("Buy milk.\n")
    with pytest.raises(DataFileError, match=r"notes\.txt:1: .*no line of a file of verdicts"):
        Verdicts(path)
    assert path.read_text() == "Buy milk.\n"


def test_judge_metric_and_content_keep_verdicts_apart():
    keys = {
        verdict_key("judge", "faithfulness", ["a", "b"]),
        verdict_key("other", "faithfulness", ["a", "b"]),
        verdict_key("judge", "context_recall", ["a", "b"]),
        verdict_key("judge", "faithfulness", ["ab", ""]),
        verdict_key("judge", "faithfulness", ["b", "a"]),
    }
    assert len(keys) == 5
