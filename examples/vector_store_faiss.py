"""Rerank what FAISS finds, and let the similarities of FAISS count too."""

from guides import documents, embeddings
from langchain_community.vectorstores import FAISS

from langchain_rerank import CrossEncoderRerankRetriever, DenseRetriever

QUESTION = "What do the HNSW parameters M, efConstruction and efSearch control?"

store = FAISS.from_documents(documents(), embeddings())
retriever = CrossEncoderRerankRetriever(
    base_retriever=DenseRetriever(vectorstore=store),  # distances become scores: higher is better
    model="embedded",
    top_n=3,
)
print(retriever.search(QUESTION))

# A quarter of the order from FAISS, three quarters from the cross-encoder. Choose the share on
# your own questions: langchain_rerank.evaluation has tune_first_stage_weight for it.
mixed = retriever.model_copy(update={"first_stage_weight": 0.25})
result = mixed.search(QUESTION)
print(result)

best = result.documents[0]
print({key: round(best.metadata[key], 3) for key in ("first_stage_score", "interpolated_score")})
assert "`efSearch`" in best.page_content
assert best.metadata["first_stage_score"] < 0  # a negated distance
