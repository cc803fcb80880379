"""Rerank documents that are longer than the model reads: by passages, the best one counts."""

from guides import whole_guides

from langchain_rerank import BM25Retriever, CrossEncoderRerankRetriever, CrossEncoderScorer
from langchain_rerank.wrappers import LongDocumentScorer

QUESTION = "Why is a freshly inserted vector not found at once?"

base = BM25Retriever.from_documents(whole_guides())
scorer = CrossEncoderScorer("embedded")

cut = CrossEncoderRerankRetriever(base_retriever=base, model=scorer, top_n=3)
result = cut.search(QUESTION)
print(result)
print(f"{result.truncated} of {result.candidates} guides were cut to the model's 512 tokens\n")
assert result.truncated == result.candidates

whole = CrossEncoderRerankRetriever(
    base_retriever=base,
    model=LongDocumentScorer(scorer, passage_words=120, overlap_words=30),
    top_n=3,
)
result = whole.search(QUESTION)
best = result.documents[0]
start = best.page_content.index(best.metadata["best_passage"])
print(result)
print(f"The best passage starts at character {start} of {len(best.page_content)}:")
print(best.metadata["best_passage"][:300])

assert result.truncated == 0  # everything was read
assert best.metadata["source"] == "vector_database_comparison.md"
assert "freshly inserted" in best.metadata["best_passage"]
