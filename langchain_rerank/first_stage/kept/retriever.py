"""`IndexRetriever`: a first stage over files whose index is kept between runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from pydantic import ConfigDict, Field, field_validator

from langchain_rerank.base_retrievers.overriding import AsyncFollowsSync
from langchain_rerank.checks import check_call, is_one_of, shown, whole_number
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.fields import CheckedAssignment, Count
from langchain_rerank.files.loading import ChunkSettings, as_paths
from langchain_rerank.first_stage.bm25 import BM25Retriever
from langchain_rerank.first_stage.bm25_index import CountedIndex
from langchain_rerank.first_stage.dense import DenseRetriever
from langchain_rerank.first_stage.hybrid import HybridRetriever
from langchain_rerank.first_stage.kept.opening import with_store
from langchain_rerank.first_stage.kept.refresh import Progress, Refreshed, no_progress, refresh
from langchain_rerank.first_stage.kept.store import default_store
from langchain_rerank.first_stage.terms import ENGLISH, Terms
from langchain_rerank.first_stage.vectors import VectorIndex
from langchain_rerank.reading import Form

Kind: TypeAlias = Literal["bm25", "dense", "hybrid"]


class IndexRetriever(AsyncFollowsSync, CheckedAssignment, BaseRetriever):
    """Retriever over the files of folders that reads and embeds each text once.

    What was read, embedded and counted is kept in one file in the user's cache folder, by the
    content of the texts, the embedding model and the language, so that the next program finds it
    there: only files that changed are read again, only new texts embedded. It finds what
    `hybrid_retriever(load_documents(folders), embeddings)` finds, with the same ids and scores.

    Build it with `from_files`. `refresh` sees what changed on disk since, and settings that were
    assigned since, but for `k`, which counts at once. Where the file cannot be
    used a warning says so, and everything is computed as without it.

    Examples:
        >>> from langchain_rerank.embedded import CORPUS_FOLDER
        >>> retriever = IndexRetriever.from_files(CORPUS_FOLDER, kind="bm25", store=None)
        >>> retriever.invoke("QLoRA", k=1)[0].metadata["source"]
        'lora_finetuning_guide.md'
    """

    files: list[Path]
    """The files and folders."""
    kind: Kind = "hybrid"
    """What finds the documents: "bm25", "dense", or "hybrid" for both."""
    k: Count = 50
    """How many documents to return at most."""
    embeddings: Embeddings | None = Field(default=None, repr=False)
    """The embedding model; None for BM25."""
    embedding_key: str | None = Field(default=None, repr=False)
    """What tells the embedding model from others."""
    language: str | None = ENGLISH
    """Whose stemmer words get, as for `BM25Retriever`."""
    chunks: ChunkSettings = Field(default_factory=ChunkSettings, repr=False)
    """How files become passages."""
    follow_symlinks: bool = False
    """Whether links out of a folder are followed."""
    store: Path | None = Field(default=None, repr=False)
    """Where the index is kept; None keeps nothing."""
    held: Any = Field(default=None, repr=False)
    """What the last refresh found and built; no setting. A field, since LangChain's configurable
    fields rebuild a retriever from its fields alone."""

    # What a call may override.
    call_arguments: ClassVar[frozenset[str]] = frozenset({"k", "filter"})

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    @field_validator("language")
    @classmethod
    def _known(cls, language: str | None) -> str | None:
        return Terms(language).language

    @classmethod
    def from_files(
        cls,
        files: Iterable[str | PathLike[str]] | str | PathLike[str],
        *,
        kind: Kind = "hybrid",
        embeddings: Embeddings | None = None,
        embedding_key: str | None = None,
        k: int = 50,
        language: str | None = ENGLISH,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        form: Form | None = None,
        follow_symlinks: bool = False,
        store: str | PathLike[str] | None = "default",
        progress: Progress = no_progress,
        **kwargs: Any,
    ) -> Self:
        """Return a retriever over files and folders, their index brought up to date.

        Args:
            files: Files and folders, as `load_documents` takes them.
            kind: "bm25", "dense", or "hybrid" for both.
            embeddings: The embedding model; None is the one of `default_embeddings()`.
            embedding_key: What tells that model from others, such as its name and revision: vectors
                are found again by it. Required with `embeddings`.
            k: How many documents to return at most.
            language: As for `BM25Retriever`.
            chunk_size: As for `load_documents`.
            chunk_overlap: As for `load_documents`.
            form: As for `load_documents`.
            follow_symlinks: As for `load_documents`.
            store: The file in which the index is kept; "default" is one in the user's cache folder,
                None keeps nothing.
            progress: Is told what is done, and how many of how many.
            **kwargs: Further fields of a retriever (`tags`, `metadata`).

        Raises:
            DataFileError: As from `load_documents`.
            ConfigurationError: A setting is impossible, or `embedding_key` is missing.
            MissingExtraError: An optional package is not installed.
        """
        if not is_one_of(kind, ("bm25", "dense", "hybrid")):
            raise ConfigurationError(f"kind={shown(kind)}: expected 'bm25', 'dense' or 'hybrid'.")
        if (embeddings is None) is not (embedding_key is None):
            raise ConfigurationError(
                f"embeddings={'None' if embeddings is None else type(embeddings).__name__} and "
                f"embedding_key={shown(embedding_key)}: give both, or neither. The key tells the "
                f"vectors of this model from those of others, as in embedding_key='my-model 2'."
            )
        if kind != "bm25" and embeddings is None:
            from langchain_rerank.first_stage.embeddings import default_embeddings, embedding_name
            from langchain_rerank.scorers.engine.model_files import fingerprint

            embeddings, embedding_key = default_embeddings(), fingerprint(embedding_name(None))
        path = default_store() if store == "default" else None if store is None else Path(store)
        retriever = cls(
            files=as_paths(files),
            kind=kind,
            k=whole_number(k, "k"),
            embeddings=None if kind == "bm25" else embeddings,
            embedding_key=None if kind == "bm25" else embedding_key,
            language=Terms(language).language,
            chunks=ChunkSettings(chunk_size, chunk_overlap, form or Form()),
            follow_symlinks=follow_symlinks,
            store=path,
            **kwargs,
        )
        retriever.refresh(progress)
        return retriever

    def refresh(self, progress: Progress = no_progress) -> Refreshed:
        """Read what changed on disk, and return what there is now; later searches see it.

        Searches that run meanwhile see what was there before, and so do copies.

        Raises:
            DataFileError: As from `load_documents`; searches go on with what was there before.
        """
        terms = None if self.kind == "dense" else Terms(self.language)
        found = with_store(
            self.store,
            lambda store: refresh(
                store,
                self.files,
                self.chunks,
                terms=terms,
                model=self.embedding_key,
                embed=None if self.embeddings is None else self.embeddings.embed_documents,
                follow_symlinks=self.follow_symlinks,
                progress=progress,
            ),
        )
        # Past the fields that somebody set: it says nothing of how the retriever was set up.
        self.__dict__["held"] = self._built(found, terms), found
        return found

    def _built(self, found: Refreshed, terms: Terms | None) -> BaseRetriever:
        stages: list[BaseRetriever] = []
        if terms is not None and found.counts is not None:
            index = CountedIndex(found.documents, found.counts, found.terms)
            stages.append(
                BM25Retriever(
                    documents=index.documents, index=index, k=self.k, preprocess_func=terms
                )
            )
        if found.vectors is not None and self.embeddings is not None:
            store = VectorIndex(found.documents, found.vectors, self.embeddings)
            stages.append(DenseRetriever(vectorstore=store, k=self.k))
        return stages[0] if len(stages) == 1 else HybridRetriever(retrievers=[*stages], k=self.k)

    @property
    def by_embeddings(self) -> bool:
        """Whether its scores are those of embeddings; a hybrid passes them on as `dense_score`."""
        return self.kind == "dense"

    @property
    def documents(self) -> list[Document]:
        """The passages that are searched, in the order of the files."""
        return list(self.found.documents)

    @property
    def found(self) -> Refreshed:
        """What the last refresh found, and how much of it was new."""
        return self._state[1]

    @property
    def _state(self) -> tuple[BaseRetriever, Refreshed]:
        state: tuple[BaseRetriever, Refreshed] | None = self.held
        if state is None:
            raise ConfigurationError(
                "This index holds nothing yet: build it with IndexRetriever.from_files(files), or "
                "call refresh()."
            )
        return state

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        **kwargs: Any,
    ) -> list[Document]:
        config = RunnableConfig(callbacks=run_manager.get_child())
        return self._state[0].invoke(query, config, **self._arguments(kwargs))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        **kwargs: Any,
    ) -> list[Document]:
        config = RunnableConfig(callbacks=run_manager.get_child())
        return await self._state[0].ainvoke(query, config, **self._arguments(kwargs))

    def _arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        check_call("IndexRetriever", given.keys() - self.call_arguments)
        return {"k": self.k, **{key: value for key, value in given.items() if value is not None}}
