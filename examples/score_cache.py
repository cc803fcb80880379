"""Score no pair of question and text twice, also not after a restart."""

from pathlib import Path
from tempfile import TemporaryDirectory

from guides import documents

from langchain_rerank import BM25Retriever, CrossEncoderRerankRetriever, CrossEncoderScorer
from langchain_rerank.testing import CountingScorer
from langchain_rerank.wrappers import CachedScorer

QUESTION = "What is product quantization?"
base = BM25Retriever.from_documents(documents())


def search(path: Path) -> tuple[list[float], int]:
    """Return the scores, and how many pairs the model was asked for."""
    counting = CountingScorer(CrossEncoderScorer("embedded"))  # counts, to show the effect
    cached = CachedScorer(counting, path=path)  # without a path: in memory only
    retriever = CrossEncoderRerankRetriever(base_retriever=base, model=cached, first_stage_k=20)
    scores = retriever.search(QUESTION).scores
    assert retriever.search(QUESTION).scores == scores
    cached.close()
    return scores, len(counting.texts)


with TemporaryDirectory() as folder:
    first, asked = search(Path(folder, "scores.sqlite"))
    again, asked_again = search(Path(folder, "scores.sqlite"))  # as another process would
print(f"first run: the model scored {asked} pairs; second run: {asked_again}")
assert asked == 20
assert asked_again == 0
assert again == first
