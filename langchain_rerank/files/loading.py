"""`load_documents`: files and folders as passages to search."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from langchain_rerank.checks import listed, shown, whole_number
from langchain_rerank.errors import (
    ConfigurationError,
    DataFileError,
    InputTypeError,
    MissingExtraError,
)
from langchain_rerank.files.formats import Part, read_parts
from langchain_rerank.files.walking import FOLDER_SUFFIXES, Found, LeftOut, files_below
from langchain_rerank.optional import require, versions
from langchain_rerank.passages import read_passages
from langchain_rerank.reading import ROW_SUFFIXES, Form, suffix_of
from langchain_rerank.reading.text import is_folder

VERSION = 3
"""Counted up when a file is read or cut in another way: what was kept of it is read again."""

_READ_WITH = ("langchain-text-splitters", "PyYAML", "beautifulsoup4", "pypdf", "python-docx")

CHUNK_SIZE = 512  # characters of a passage of running text

# What is known of a passage itself; a file's own metadata of these names stands below another one.
_OWN = ("source", "line", "page", "chunk", "start_index")


@dataclass(frozen=True)
class ChunkSettings:
    """How files become passages.

    Args:
        size: Characters in a passage at most; None is 512 for running text, and leaves passages
            from files of rows as they are.
        overlap: Characters that neighbours share; None is 50, or a tenth of small chunks.
        form: Encoding and delimiter of the files.

    Raises:
        ConfigurationError: A chunk would have no character, or share all of them.
    """

    size: int | None = None
    overlap: int | None = None
    form: Form = field(default_factory=Form)

    def __post_init__(self) -> None:
        if self.size is not None:
            whole_number(self.size, "chunk_size", otherwise=", or None")
        if self.overlap is not None:
            whole_number(self.overlap, "chunk_overlap", least=0, otherwise=", or None")
        size, overlap = self.resolved
        if overlap >= size:
            raise ConfigurationError(
                f"chunk_size={size} with chunk_overlap={overlap}: a chunk shares fewer characters "
                f"than it has."
            )

    @property
    def resolved(self) -> tuple[int, int]:
        """Size and overlap of running text."""
        size = CHUNK_SIZE if self.size is None else self.size
        return size, min(50, size // 10) if self.overlap is None else self.overlap

    @property
    def key(self) -> str:
        """What tells these settings, and the versions of what reads and cuts, from others."""
        return f"{VERSION} {asdict(self)!r}, {versions(_READ_WITH)}"


def load_documents(
    paths: Iterable[str | PathLike[str]] | str | PathLike[str],
    *,
    chunk_size: int | None = None,
    chunk_overlap: int | None = None,
    form: Form | None = None,
    follow_symlinks: bool = False,
) -> list[Document]:
    """Return the passages of the files under `paths`.

    Text, Markdown, HTML, PDF and DOCX are cut into passages. The rows of a file of passages (JSONL,
    JSON, CSV, Parquet) are passages already: they keep their ids, their metadata and, unless a
    chunk size is given, their length. A passage that is cut becomes `id#1`, `id#2`, ...

    What cannot be read below a folder is left out, and a warning names it: one stray file must not
    hide a thousand good ones. A file that is named itself has to be readable.

    Pages of a PDF that have no text (scanned ones) are told in the same warning, and stand in
    `pages_without_text` of its passages.

    Metadata: `source` is the path below the folder that was named, or the file's name; `line` or
    `page` says where the passage begins; `title` and the front matter of Markdown come as they are.
    A row is an object with "text" (or "page_content"), and "_id" or "id", "title" and "metadata"
    where there are any.

    Args:
        paths: Files and folders; folders are read with everything below them.
        chunk_size: Characters in a passage at most; None is 512 for running text, and leaves
            passages as they are.
        chunk_overlap: Characters that neighbours share; None is 50, or a tenth of small chunks.
        form: Encoding and delimiter of the files.
        follow_symlinks: Whether links out of a folder are followed.

    Raises:
        DataFileError: A path does not exist or holds nothing to read, or a file that was named is
            not what its name says.
        ConfigurationError: Impossible chunks.
        MissingExtraError: The text splitter, or the package for a file that was named, is not
            installed.
    """
    settings = ChunkSettings(chunk_size, chunk_overlap, form or Form())
    roots = as_paths(paths)
    found: list[Document] = []
    for root, files, left_out in files_below(roots, follow_symlinks=follow_symlinks):
        read = 0
        for file in files:
            documents = read_unless(root, file, settings, left_out)
            if documents is not None:
                read += 1
                left_out.look_at(file, documents)
                found.extend(documents)
        check_read(root, read, left_out)
        left_out.warn(root, stacklevel=2)
    return checked(found, roots)


def as_paths(paths: Iterable[str | PathLike[str]] | str | PathLike[str]) -> list[Path]:
    """Return one or several paths as a list, `~` written out.

    Raises:
        ConfigurationError: There is none.
    """
    several = (
        [paths]
        if isinstance(paths, (str, PathLike))
        else listed(paths, "paths", "files and folders")
    )
    for path in several:
        if not isinstance(path, (str, PathLike)):
            raise InputTypeError(f"A path must be a text or a Path, got {shown(path)}.")
    if not several or "" in several:
        raise ConfigurationError("No file or folder was named; give at least one.")
    return [Path(path).expanduser() for path in several]


def read_unless(
    root: Path, file: Found, settings: ChunkSettings, left_out: LeftOut
) -> list[Document] | None:
    """Return the passages of a file below `root`; None for one that goes into `left_out`.

    Raises:
        DataFileError: It cannot be read, and is `root` itself.
        MissingExtraError: Likewise.
    """
    try:
        # Whole files: half of one would be searched as if it were all of it.
        return read_file(file, settings)
    except (DataFileError, MissingExtraError) as error:
        if file.path == root:
            raise
        left_out.errors.append(
            error if isinstance(error, DataFileError) else DataFileError(str(error), path=file.path)
        )
        return None


def check_read(root: Path, read: int, left_out: LeftOut) -> None:
    """Refuse a folder or file of which nothing could be read.

    Raises:
        DataFileError: `read` is 0.
    """
    if read or left_out.again:
        return
    if left_out.errors:
        raise left_out.errors[-1]
    raise DataFileError(
        f"no file that ends in {', '.join(FOLDER_SUFFIXES)} below this folder", path=root
    )


def read_file(file: Found, settings: ChunkSettings) -> list[Document]:
    """Return the passages of a file, with ids and metadata.

    Raises:
        DataFileError: It cannot be read.
        MissingExtraError: As `load_documents`.
    """
    path, source = file.path, file.source
    if is_folder(path) or suffix_of(path) in ROW_SUFFIXES:
        rows = read_passages(path, source, form=settings.form)
        return [
            piece
            for row in rows
            for piece in (
                [row]
                if settings.size is None or len(row.page_content) <= settings.size
                else _chunks([Part(row.page_content, row.metadata)], str(row.id), settings)
            )
        ]
    parts = read_parts(path, encoding=settings.form.encoding)
    named = [Part(part.text, _named(part, source), part.lines) for part in parts]
    return _chunks(named, source, settings)


def _named(part: Part, source: str) -> dict[str, Any]:
    """Return the metadata of a part; what would hide where it is from stands under another name."""
    own = {key: part.metadata[key] for key in ("page",) if key in part.metadata and not part.lines}
    hidden = {key: value for key, value in part.metadata.items() if key in _OWN and key not in own}
    rest = {key: value for key, value in part.metadata.items() if key not in _OWN}
    return {**rest, **({"front_matter": hidden} if hidden else {}), **own, "source": source}


def _chunks(parts: Sequence[Part], name: str, settings: ChunkSettings) -> list[Document]:
    """Return the chunks of a text, with the ids `name#1`, `name#2` and on."""
    splitters = require("langchain_text_splitters", extra="files")
    size, overlap = settings.resolved
    splitter = splitters.RecursiveCharacterTextSplitter(
        chunk_size=size, chunk_overlap=overlap, add_start_index=True
    )
    found: list[Document] = []
    for part in parts:
        for chunk in splitter.create_documents([part.text]):
            start = max(chunk.metadata["start_index"], 0)
            line = part.line_at(start)
            found.append(
                Document(
                    chunk.page_content,
                    id=f"{name}#{len(found) + 1}",
                    metadata={
                        "chunk": len(found) + 1,
                        "start_index": start,
                        **({} if line is None else {"line": line}),
                        # What the user's metadata says stays.
                        **part.metadata,
                    },
                )
            )
    return found


def checked(documents: Sequence[Document], roots: Sequence[Path]) -> list[Document]:
    """Return the passages of all files, each with an id of its own.

    Raises:
        DataFileError: Two have the same id, or none has a text.
    """
    seen: set[str | None] = set()
    for one in documents:
        if one.id in seen:
            raise DataFileError(
                f"two of its passages have the id {one.id!r}; give each its own, since labels name "
                f"passages by their ids",
                path=" and ".join(map(str, roots)),
            )
        seen.add(one.id)
    if not any(one.page_content.strip() for one in documents):
        raise DataFileError("every file is empty; give at least one with text in it", path=roots[0])
    return list(documents)
