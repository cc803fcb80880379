"""What must work in any environment that the package supports: run by `make matrix`, in each."""

import importlib.metadata
import sys
import warnings
from importlib.util import find_spec

warnings.simplefilter("ignore")

from langchain_core.documents import Document  # noqa: E402 - the filter comes first
from langchain_core.runnables import RunnableLambda  # noqa: E402

import langchain_rerank as lr  # noqa: E402
from langchain_rerank.errors import MissingExtraError  # noqa: E402

QUESTION = "What does LoRA train?"
DOCUMENTS = [
    Document("Cats sleep most of the day.", id="cat"),
    Document("LoRA trains two small matrices per layer.", id="lora"),
]

base = RunnableLambda(lambda _: DOCUMENTS)
retriever = lr.CrossEncoderRerankRetriever(base_retriever=base, model="embedded", top_n=1)
assert retriever.invoke(QUESTION)[0].id == "lora"
assert retriever.search(QUESTION).candidates == 2
reranker = lr.CrossEncoderReranker(model="embedded", top_n=None)
assert [one.id for one in reranker.compress_documents(DOCUMENTS, QUESTION)] == ["lora", "cat"]

missing = []


def needs(extra, run):
    """Run what an extra brings, or see that its absence is explained."""
    try:
        assert run(), extra
    except MissingExtraError as error:
        if "pip install 'langchain-rerank[" not in str(error):
            raise
        missing.append(extra)


def evaluated():
    from langchain_rerank.evaluation import compare_rerank

    questions = [{"question": QUESTION, "reference_context_ids": ["lora"]}]
    report = compare_rerank(base, "embedded", questions, measures=["nDCG@2"])
    return report.queries[0].systems["reranked"].measures["nDCG@2"] == 1.0


needs("bm25", lambda: lr.BM25Retriever.from_documents(DOCUMENTS).invoke("LoRA")[0].id == "lora")
needs("eval", evaluated)
if find_spec("typer") and find_spec("rich"):
    from langchain_rerank.cli.app import app

    assert app.registered_commands

versions = {
    name: importlib.metadata.version(name)
    for name in ("langchain-core", "sentence-transformers", "transformers", "torch")
}
shown = ", ".join(f"{name} {version}" for name, version in versions.items())
sys.stdout.write(f"{shown}; without {', '.join(missing) or 'nothing'}\n")
