"""What a type checker knows of the public names; mypy runs over this file in `make check`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_type

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from langchain_rerank import (
    BM25Retriever,
    CrossEncoderReranker,
    CrossEncoderRerankRetriever,
    CrossEncoderScorer,
    DenseRetriever,
    RerankResult,
    Scorer,
    Scores,
)


class Lengths:
    """The least that a third party writes."""

    def score(self, query: str, texts: Sequence[str]) -> list[float]:
        return [float(len(text)) for text in texts]


def takes_scorer(scorer: Scorer) -> None: ...


def everything(documents: list[Document], store: VectorStore) -> None:
    takes_scorer(Lengths())
    takes_scorer(CrossEncoderScorer("a/model"))
    assert_type(CrossEncoderScorer("a/model").score("query", ["text"]), Scores)

    base = BM25Retriever.from_documents(documents)
    assert_type(base, BM25Retriever)
    retriever = CrossEncoderRerankRetriever(
        base_retriever=DenseRetriever(vectorstore=store), model=Lengths(), top_n=None
    )
    assert_type(retriever.invoke("query", top_n=3), list[Document])
    result = retriever.search("query")
    assert_type(result, RerankResult)
    assert_type(result.documents, list[Document])
    assert_type(result.scores, list[float])

    with CrossEncoderReranker(model="a/model", device="cpu", dtype="float32") as reranker:
        assert_type(reranker, CrossEncoderReranker)
        assert_type(reranker.compress_documents(documents, "query"), list[Document])


async def asynchronously(retriever: CrossEncoderRerankRetriever) -> None:
    assert_type(await retriever.ainvoke("query"), list[Document])
    assert_type(await retriever.asearch("query"), RerankResult)
