"""What a report writes into a terminal."""

import io
import unicodedata
from dataclasses import replace

import pytest
from langchain_core.documents import Document
from rich.console import Console

from langchain_rerank.evaluation import compare_rerank
from langchain_rerank.testing import WordOverlapScorer

EVIL = "x\x1b[31mRED\x1b[0m \x1b]0;pwned\x07 \x9b2J\x00end"


def test_control_characters_of_questions_do_not_reach_the_terminal(make_report):
    report = make_report([(0.5, 1.0), (1.0, 0.5)], title=EVIL, warnings=(EVIL,))
    (compared,) = report.comparisons
    gained, lost = (
        tuple(replace(query, question=EVIL) for query in moved)
        for moved in (compared.gained, compared.lost)
    )
    report = replace(report, comparisons=(replace(compared, gained=gained, lost=lost),))
    output = io.StringIO()
    Console(file=output, width=120).print(report)
    shown = output.getvalue()
    assert {one for one in shown if unicodedata.category(one) == "Cc"} == {"\n"}
    # The title, the warning, the question that gained and the one that lost.
    assert shown.count("pwned") == 4


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_every_row_of_a_table_says_what_it_is_of_however_narrow_the_terminal_is(width):
    documents = [Document(f"text {n}", id=f"d{n}") for n in range(3)]
    rows = [{"question": f"text {n}", "qrels": {f"d{n}": 1}} for n in range(3)]
    report = compare_rerank(lambda _: documents, WordOverlapScorer(), rows, progress=False)
    output = io.StringIO()
    Console(file=output, width=width).print(report)
    lines = output.getvalue().split("\n")
    assert max(map(len, lines)) <= width
    first = lines[next(n for n, line in enumerate(lines) if line.startswith("Systems")) :]
    end = next(n for n, line in enumerate(first) if line.startswith("Means over"))
    # Five measures and the time; the intervals stand in lines of their own.
    figures = [line for line in first[:end] if "." in line and "[" not in line]
    assert {line.split()[0] for line in figures} == {"First", "Reranked"}
    shown = " ".join(" ".join(first[:end]).split())
    assert all(one in shown for one in (*report.measures, "Median"))
