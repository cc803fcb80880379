"""Rerank what Chroma finds, with a filter per call."""

from guides import documents, embeddings
from langchain_chroma import Chroma

from langchain_rerank import CrossEncoderRerankRetriever, DenseRetriever

QUESTION = "What is product quantization?"

store = Chroma(collection_name="guides", embedding_function=embeddings())
store.add_documents(documents())
retriever = CrossEncoderRerankRetriever(
    # DenseRetriever is store.as_retriever() that keeps the scores of the store.
    base_retriever=DenseRetriever(vectorstore=store),
    model="embedded",
    top_n=3,
)

result = retriever.search(QUESTION)
print(result)
assert "Product quantization" in result.documents[0].page_content
assert "first_stage_score" in result.documents[0].metadata

# What the retriever does not know itself reaches the store.
filtered = retriever.invoke(QUESTION, filter={"source": "quantization_methods.md"})
print({document.metadata["source"] for document in filtered})
assert {document.metadata["source"] for document in filtered} == {"quantization_methods.md"}
