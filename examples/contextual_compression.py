"""Rerank as a document compressor, in LangChain's ContextualCompressionRetriever."""

from guides import documents, embeddings
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_rerank import CrossEncoderReranker

QUESTION = "Does FlashAttention give approximate results?"

store = InMemoryVectorStore.from_documents(documents(), embeddings())
retriever = ContextualCompressionRetriever(
    # A compressor sees what the retriever found and no more: set the depth here.
    base_retriever=store.as_retriever(search_kwargs={"k": 50}),
    base_compressor=CrossEncoderReranker(model="embedded", top_n=3),
)

found = retriever.invoke(QUESTION)
for document in found:
    metadata = document.metadata
    print(f"{metadata['first_stage_rank']:2d} -> {metadata['rerank_rank']}", end="  ")
    print(f"{metadata['relevance_score']:.3f}  {document.page_content[:70]!r}")

assert len(found) == 3
assert [document.metadata["rerank_rank"] for document in found] == [1, 2, 3]
assert "same result, to within rounding" in found[0].page_content
