"""Search small chunks, rerank the larger sections that they come from."""

from guides import embeddings, whole_guides
from langchain_classic.retrievers import ParentDocumentRetriever
from langchain_classic.storage import InMemoryStore
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter

from langchain_rerank import CrossEncoderRerankRetriever

QUESTION = "What is speculative decoding?"

parents = ParentDocumentRetriever(
    vectorstore=InMemoryVectorStore(embeddings()),
    docstore=InMemoryStore(),
    parent_splitter=RecursiveCharacterTextSplitter(chunk_size=1500, chunk_overlap=0),
    child_splitter=RecursiveCharacterTextSplitter(chunk_size=300, chunk_overlap=0),
)
parents.add_documents(whole_guides())

# The depth counts child chunks here; several lead to one parent, which is scored once.
retriever = CrossEncoderRerankRetriever(
    base_retriever=parents, model="embedded", first_stage_k=40, top_n=3
)
result = retriever.search(QUESTION)
print(result)
print(f"40 children lead to {result.candidates} parents")

assert 3 <= result.candidates < 40
assert "A small draft model proposes" in result.documents[0].page_content
assert len(result.documents[0].page_content) > 300
