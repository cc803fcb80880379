"""A first stage that sees nothing of a question is said, not scored 0 in silence."""

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from langchain_rerank import BM25Retriever, HybridRetriever
from langchain_rerank.evaluation import compare_rerank
from langchain_rerank.testing import WordOverlapScorer

CHINESE = [
    Document("低秩适应训练两个小矩阵。", id="a"),
    Document("Adapters are small.", id="c"),
    Document("Weights are frozen.", id="d"),
]
QUESTIONS = [
    {"id": "zh", "question": "低秩适应训练什么?", "qrels": {"a": 1}},
    {"id": "en", "question": "What are adapters?", "qrels": {"c": 1}},
]


def latin_only(text):
    """Terms as a plain word pattern makes them: it sees no Chinese."""
    return [word for word in text.lower().split() if word.isascii()]


def evaluated(base):
    return compare_rerank(base, WordOverlapScorer(), QUESTIONS, measures=["RR@10"], progress=False)


def said(report):
    return [one for one in report.warnings if "term" in one]


def test_questions_without_terms_are_named_in_the_report():
    base = BM25Retriever.from_documents(CHINESE, preprocess_func=latin_only)
    (line,) = said(evaluated(base))
    assert "BM25 finds no term in 1 of 2 questions ('zh')" in line
    hybrid = HybridRetriever(retrievers=[base, RunnableLambda(lambda _: CHINESE)])
    (line,) = said(evaluated(hybrid))
    assert "'zh'" in line


def test_the_default_terms_see_chinese():
    report = evaluated(BM25Retriever.from_documents(CHINESE))
    assert said(report) == []
    assert report.systems["first_stage"].measures["RR@10"].mean == 1.0
