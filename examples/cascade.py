"""Two cross-encoders in a row: a quick one reads every candidate, a good one the best of them."""

from guides import documents, embeddings

from langchain_rerank import CrossEncoderRerankRetriever, CrossEncoderScorer, hybrid_retriever
from langchain_rerank.testing import CountingScorer
from langchain_rerank.wrappers import CascadeScorer

QUESTION = "Should I serve a model in NF4?"

# With a hub: small="cross-encoder/ms-marco-MiniLM-L6-v2", large="BAAI/bge-reranker-v2-m3".
# Here one model plays both parts: the quick one reads 64 tokens of each text at most.
small = CountingScorer(CrossEncoderScorer("embedded", max_length=64))
large = CountingScorer(CrossEncoderScorer("embedded"))
base = hybrid_retriever(documents(), embeddings())


def search(model: object) -> list[str]:
    retriever = CrossEncoderRerankRetriever(base_retriever=base, model=model, first_stage_k=100)
    found = retriever.search(QUESTION)
    print(found, end="\n\n")
    return [document.id for document in found.documents]


alone = search(CrossEncoderScorer("embedded"))
cascade = search(CascadeScorer(small, large, keep=20))
print(f"the small model scored {len(small.texts)} texts, the large one {len(large.texts)}")

assert len(large.texts) == 20 < len(small.texts) == 100
assert cascade[0] == alone[0]
