"""Score no pair of question and text twice."""

from guides import documents

from langchain_rerank import BM25Retriever, CrossEncoderRerankRetriever, CrossEncoderScorer
from langchain_rerank.testing import CountingScorer
from langchain_rerank.wrappers import CachedScorer

QUESTION = "What is product quantization?"

counting = CountingScorer(CrossEncoderScorer("embedded"))  # counts, to show the effect
# In memory. With path="scores.sqlite" scores survive a restart, and processes share them; the
# scorer then needs an attribute `identity` that tells its scores from those of other models.
cached = CachedScorer(counting, max_entries=100_000)
retriever = CrossEncoderRerankRetriever(
    base_retriever=BM25Retriever.from_documents(documents()), model=cached, first_stage_k=20
)

first = retriever.search(QUESTION)
asked = len(counting.texts)
again = retriever.search(QUESTION)
print(f"first: the model scored {asked} pairs, again: {len(counting.texts) - asked}")
assert asked == 20
assert len(counting.texts) == asked
assert again.scores == first.scores

# Deeper: only the pairs that are new are scored.
deeper = retriever.search(QUESTION, first_stage_k=30)
print(f"10 candidates more: {len(counting.texts) - asked}")
assert deeper.candidates == 30
assert len(counting.texts) == 30
