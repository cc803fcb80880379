"""The usual first stages over documents, as the command line offers them."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever

from langchain_rerank.first_stage.embeddings import default_embeddings
from langchain_rerank.first_stage.terms import ENGLISH


class FirstStage(StrEnum):
    """The first stages that the command line offers."""

    bm25 = "bm25"
    dense = "dense"
    hybrid = "hybrid"


def build_first_stage(
    name: FirstStage | str,
    documents: Sequence[Document],
    *,
    k: int,
    embeddings: Embeddings | None = None,
    language: str | None = ENGLISH,
) -> BaseRetriever:
    """Return a first stage over `documents`, with the default embeddings where none are given."""
    from langchain_rerank.first_stage import BM25Retriever, DenseRetriever, hybrid_retriever
    from langchain_rerank.first_stage.vectors import VectorIndex

    if FirstStage(name) is FirstStage.bm25:
        return BM25Retriever.from_documents(documents, k=k, language=language)
    embeddings = embeddings or default_embeddings()
    if FirstStage(name) is FirstStage.hybrid:
        return hybrid_retriever(documents, embeddings, k=k, language=language)
    return DenseRetriever(vectorstore=VectorIndex.from_documents(documents, embeddings), k=k)
