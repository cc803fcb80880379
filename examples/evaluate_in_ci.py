"""Let continuous integration fail when a change makes the ranking worse."""

from tempfile import TemporaryDirectory

from guides import documents

from langchain_rerank import BM25Retriever
from langchain_rerank.embedded import QUESTIONS_FILE
from langchain_rerank.errors import RegressionError
from langchain_rerank.evaluation import Report, compare_rerank, load_dataset
from langchain_rerank.testing import WordOverlapScorer

questions = load_dataset(QUESTIONS_FILE).head(12)  # use all that you have
base = BM25Retriever.from_documents(documents())


def measure(model: object) -> Report:
    return compare_rerank(base, model, questions, first_stage_k=20, measures=["RR@10", "R@5"])


with TemporaryDirectory() as folder:
    measure("embedded").save(folder)  # once, and kept beside the tests
    accepted = Report.load(folder)
print({name: system.measures["RR@10"].mean for name, system in accepted.systems.items()})

# The test in CI: reranking is no worse than the first stage, and no worse than it was.
report = measure("embedded")
report.assert_no_regression("RR@10", margin=0.01)
report.assert_no_regression("RR@10", margin=0.01, against=accepted)

# A change that makes it worse: the message has the figures and the questions that lost most.
message = ""
try:
    measure(WordOverlapScorer()).assert_no_regression("RR@10", against=accepted)
except RegressionError as error:
    message = str(error)
print(message)
assert "RR@10 fell" in message
