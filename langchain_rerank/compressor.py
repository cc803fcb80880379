"""`CrossEncoderReranker`: reranking as a LangChain document compressor."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Unpack

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import ConfigurableField
from langchain_core.runnables.config import ensure_config

from langchain_rerank.base_retrievers.overriding import AsyncFollowsSync
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.reranking import CallSettings, Reranking


class CrossEncoderReranker(AsyncFollowsSync, Reranking, BaseDocumentCompressor):
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
        >>> len(reranker.compress_documents(documents, "What is QLoRA?", top_n=2))
        2
    """

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
        **settings: Unpack[CallSettings],
    ) -> list[Document]:
        """Return the best of `documents` for `query`, best first.

        Args:
            documents: `(n,)` candidates in first-stage order; left as they are.
            query: The query.
            callbacks: Callbacks that see the step as a run named "rerank".
            **settings: `top_n` and `score_threshold` override the settings for this call.
        """
        return self.rerank(documents, query, callbacks, **settings).documents

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,
        **settings: Unpack[CallSettings],
    ) -> list[Document]:
        """Return what `compress_documents` returns, without blocking the event loop."""
        return (await self.arerank(documents, query, callbacks, **settings)).documents

    def configurable_fields(self, **fields: ConfigurableField) -> ConfigurableReranker:
        """Return a compressor whose settings `config["configurable"]` of a chain may change.

        LangChain's retrievers hand a compressor no config, so it is read from the chain that is
        under way. Call `ContextualCompressionRetriever` as a step of one
        (`RunnablePassthrough() | retriever`, a graph): called alone it loses its config.

        Args:
            **fields: By the name of a setting, the field with the id that a config has.

        Raises:
            ConfigurationError: There is no such setting.

        Examples:
            >>> from langchain_core.runnables import ConfigurableField
            >>> reranker = CrossEncoderReranker(model="embedded").configurable_fields(
            ...     top_n=ConfigurableField(id="top_n")
            ... )
            >>> [one.id for one in reranker.fields.values()]
            ['top_n']
        """
        if unknown := sorted(fields.keys() - type(self).model_fields.keys()):
            raise ConfigurationError(
                f"{type(self).__name__} has no setting {', '.join(unknown)}; it has "
                f"{', '.join(type(self).model_fields)}."
            )
        return ConfigurableReranker(reranker=self, fields=fields)


class ConfigurableReranker(BaseDocumentCompressor):
    """A `CrossEncoderReranker` with settings that a chain's config may change; see there."""

    reranker: CrossEncoderReranker
    """What reranks; never changed."""
    fields: dict[str, ConfigurableField]
    """By the name of a setting, the field that a config may have."""

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return the best of `documents` for `query`, under the config of the chain."""
        return self._configured().compress_documents(documents, query, callbacks)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return what `compress_documents` returns, without blocking the event loop."""
        return await self._configured().acompress_documents(documents, query, callbacks)

    def _configured(self) -> CrossEncoderReranker:
        given: dict[str, Any] = ensure_config().get("configurable", {})
        changed = {name: given[one.id] for name, one in self.fields.items() if one.id in given}
        if not changed:
            return self.reranker
        configured = copy.copy(self.reranker)
        for name, value in changed.items():
            setattr(configured, name, value)  # checked, as any assignment is
        return configured
