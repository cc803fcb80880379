"""`CrossEncoderReranker`: reranking as a LangChain document compressor."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document

from langchain_rerank.reranking import Reranking


class CrossEncoderReranker(Reranking, BaseDocumentCompressor):
    """Document compressor that keeps the candidates a cross-encoder finds most relevant.

    For `ContextualCompressionRetriever`, compressor pipelines, and wherever candidates are at hand.
    The documents returned are copies with `relevance_score`, `first_stage_rank` and `rerank_rank`
    in their metadata.

    Examples:
        >>> from langchain_core.documents import Document
        >>> from langchain_rerank.testing import WordOverlapScorer
        >>> reranker = CrossEncoderReranker(model=WordOverlapScorer(), top_n=1)
        >>> documents = [Document("Cats sleep a lot."), Document("QLoRA quantises the base model.")]
        >>> [d.page_content for d in reranker.compress_documents(documents, "What is QLoRA?")]
        ['QLoRA quantises the base model.']
    """

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the best of `documents` for `query`, best first.

        Args:
            documents: `(n,)` candidates in first-stage order; left as they are.
            query: The query.
            callbacks: Callbacks that see the step as a run named "rerank".
        """
        return self.rerank(documents, query, callbacks).documents

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return what `compress_documents` returns, without blocking the event loop."""
        return (await self.arerank(documents, query, callbacks)).documents
