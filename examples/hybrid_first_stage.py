"""Find candidates by words (BM25) and by meaning (embeddings), fuse both, rerank."""

from guides import documents, embeddings
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_rerank import BM25Retriever, CrossEncoderRerankRetriever, DenseRetriever
from langchain_rerank import hybrid_retriever as hybrid

QUESTION = "Which models make good use of lots of memory capacity but modest bandwidth?"
ANSWER = "Sparse mixture-of-experts models suit this balance"
K = 20


def rank(retriever: object) -> int | None:
    found = [document.page_content for document in retriever.invoke(QUESTION)]
    return next((n for n, text in enumerate(found, start=1) if ANSWER in text), None)


store = InMemoryVectorStore.from_documents(documents(), embeddings())
stages = {
    "BM25": BM25Retriever.from_documents(documents(), k=K),
    "dense": DenseRetriever(vectorstore=store, k=K),
    "hybrid": hybrid(documents(), embeddings(), k=K),
}
stages["hybrid, reranked"] = CrossEncoderRerankRetriever(
    base_retriever=stages["hybrid"], model="embedded", first_stage_k=K
)
ranks = {name: rank(stage) for name, stage in stages.items()}
for name, found_at in ranks.items():
    print(f"{name:17} finds the answer at rank {found_at}")

# What one stage misses the other finds; the cross-encoder moves it up.
assert ranks["dense"] is None
assert ranks["hybrid, reranked"] < ranks["hybrid"]
