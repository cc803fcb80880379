"""Put a reranker into a RAG chain that exists: three lines change."""

from guides import documents, embeddings
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_rerank import CrossEncoderRerankRetriever  # 1. import it

QUESTION = "What kind of training pairs help most when adapting a ranking model to our jargon?"
ANSWER = "the choice of negatives matters"
PROMPT = ChatPromptTemplate.from_template("Answer from this:\n{context}\n\nQuestion: {question}")
model = FakeListChatModel(
    responses=["Hard negatives: passages that look right."]
)  # or ChatOpenAI(...)


def joined(found: list[Document]) -> str:
    return "\n---\n".join(document.page_content for document in found)


def prompt(retriever: BaseRetriever) -> Runnable:
    return {"context": retriever | joined, "question": RunnablePassthrough()} | PROMPT


store = InMemoryVectorStore.from_documents(documents(), embeddings())
before = store.as_retriever(search_kwargs={"k": 2})
after = CrossEncoderRerankRetriever(  # 2. and 3. wrap the retriever
    base_retriever=store.as_retriever(), model="embedded", top_n=2
)

for name, retriever in (("before", before), ("after", after)):
    found = ANSWER in prompt(retriever).invoke(QUESTION).to_string()
    print(f"{name}: the prompt holds the answer: {found}")
print((prompt(after) | model | StrOutputParser()).invoke(QUESTION))
assert ANSWER in prompt(after).invoke(QUESTION).to_string()
