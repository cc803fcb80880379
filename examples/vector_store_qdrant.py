"""Rerank what Qdrant finds, in its local mode: no server."""

from guides import documents, embeddings
from langchain_qdrant import QdrantVectorStore
from qdrant_client import QdrantClient, models

from langchain_rerank import CrossEncoderRerankRetriever

QUESTION = "What is the difference between MXFP4 and NVFP4?"

client = QdrantClient(":memory:")  # or path="folder", or url=...
vectors = models.VectorParams(size=384, distance=models.Distance.COSINE)
client.create_collection("guides", vectors_config=vectors)
store = QdrantVectorStore(client, "guides", embedding=embeddings())
store.add_documents(documents(), ids=list(range(len(documents()))))  # Qdrant's ids are numbers

retriever = CrossEncoderRerankRetriever(
    base_retriever=store.as_retriever(), model="embedded", top_n=3
)
result = retriever.search(QUESTION)
print(result)
assert "NVFP4" in result.documents[0].page_content

source = models.FieldCondition(
    key="metadata.source", match=models.MatchValue(value="quantization_methods.md")
)
filtered = retriever.invoke(QUESTION, filter=models.Filter(must=[source]))
print({document.metadata["source"] for document in filtered})
assert {d.metadata["source"] for d in filtered} == {"quantization_methods.md"}
client.close()
