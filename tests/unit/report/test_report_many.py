"""Many systems in a terminal: a line each."""

import io

from langchain_core.documents import Document
from rich.console import Console

from langchain_rerank.evaluation import compare_models
from langchain_rerank.testing import WordOverlapScorer

DOCUMENTS = [
    Document(f"text {n} about rank {n % 7}", id=f"d{n}", metadata={"source": f"{n}.md"})
    for n in range(12)
]
QUESTIONS = [{"question": f"rank {n % 7}", "qrels": {f"d{n}": 1}} for n in range(8)]


def shown(report, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(report)
    return console.file.getvalue()


def compared(n):
    models = {f"hub/model-{one}": WordOverlapScorer() for one in range(n)}
    return compare_models(
        lambda _: DOCUMENTS, models, QUESTIONS, measures=["nDCG@10", "RR@10"], progress=False
    )


def test_many_systems_are_a_line_each_and_the_files_have_the_rest():
    report = compared(8)
    text = shown(report)
    for one in range(8):
        (line,) = [row for row in text.splitlines() if row.strip().startswith(f"model-{one} ")]
        assert line.count("0.") + line.count("1.") >= 3
    assert len(text.splitlines()) < 50
    assert "paired over queries" not in text
    assert "paired over queries" in report.to_markdown()
    assert "hub/model-3" in report.to_markdown()


def test_few_systems_are_shown_whole():
    assert "paired over queries" in shown(compared(2))
