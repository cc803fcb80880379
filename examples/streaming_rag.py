"""Stream an answer, with the reranked sources before the first word."""

from guides import documents
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableParallel, RunnablePassthrough

from langchain_rerank import BM25Retriever, CrossEncoderRerankRetriever

QUESTION = "What is speculative decoding?"
PROMPT = ChatPromptTemplate.from_template("{context}\n\nQuestion: {question}")
model = GenericFakeChatModel(messages=iter(["A draft model proposes, a large model checks."]))


def numbered(found: dict[str, list[Document]]) -> str:
    return "\n".join(f"[{n}] {d.page_content}" for n, d in enumerate(found["context"], start=1))


retriever = CrossEncoderRerankRetriever(
    base_retriever=BM25Retriever.from_documents(documents()), model="embedded", top_n=2
)
answer = RunnablePassthrough.assign(context=numbered) | PROMPT | model | StrOutputParser()
chain = RunnableParallel(context=retriever, question=RunnablePassthrough()).assign(answer=answer)

arrived = []
for part in chain.stream(QUESTION):
    arrived += [key for key in part if key not in arrived]
    for number, document in enumerate(part.get("context", ()), start=1):
        score = document.metadata["relevance_score"]
        print(f"[{number}] {document.metadata['source']} ({score:.3f})")
    print(part.get("answer", ""), end="", flush=True)
print()

assert arrived.index("context") < arrived.index("answer")
