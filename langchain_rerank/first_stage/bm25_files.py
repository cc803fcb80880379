"""A BM25 retriever in a file: JSON by line, first the settings, then a document with its terms."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NoReturn

from langchain_core.documents import Document

from langchain_rerank.checks import whole_number
from langchain_rerank.errors import (
    ConfigurationError,
    DataFileError,
    InputError,
    InputTypeError,
)
from langchain_rerank.first_stage.bm25_index import BM25Index
from langchain_rerank.first_stage.plain import not_json
from langchain_rerank.first_stage.terms import Terms, TextToTerms, terms_of

FORMAT = "langchain-rerank BM25 1"


def write_bm25(
    path: str | PathLike[str], index: Any, settings: dict[str, Any], cut: TextToTerms
) -> None:
    """Write an index, all of it or nothing, so that `read_bm25` gives the same one.

    Raises:
        InputError: Metadata would come back as something else than it is.
        InputTypeError: A document is of a class of its own.
        ConfigurationError: The index is a kept one.
        OSError: The file cannot be written.
    """
    if not isinstance(index, BM25Index):
        raise ConfigurationError("This retriever reads a kept index, which is a file already.")
    path = Path(path)
    lines: list[dict[str, Any]] = [
        {
            "format": FORMAT,
            "terms": cut.key if isinstance(cut, Terms) else None,
            "language": cut.language if isinstance(cut, Terms) else None,
            "documents": len(index.documents),
            "settings": settings,
            "index": index.settings,
        }
    ]
    for document, terms in zip(index.documents, index.corpus, strict=True):
        _check_plain(document)
        lines.append(
            {
                "id": document.id,
                "text": document.page_content,
                "metadata": document.metadata,
                "terms": terms,
            }
        )
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with aside.open("w", encoding="ascii") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        aside.replace(path)
    except OSError as error:
        # By the name that was given.
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        aside.unlink(missing_ok=True)


def read_bm25(
    path: str | PathLike[str], preprocess_func: TextToTerms | None
) -> tuple[BM25Index, dict[str, Any], TextToTerms]:
    """Return the index, the retriever's settings, and how texts become terms.

    Raises:
        DataFileError: The file is missing, damaged, or of another kind.
        ConfigurationError: `preprocess_func` is missing, or there was none.
    """
    path = Path(path)
    lines = _lines(path)
    head = next(lines, {})
    if head.get("format") != FORMAT:
        raise DataFileError(
            f"not a file of BM25Retriever.save: it begins with {head!r:.80}; expected "
            f"{FORMAT!r} as its format",
            path=path,
        )
    own = head.get("terms") is None
    if own is (preprocess_func is None):
        said = "with a preprocess_func: pass the same one" if own else "without one: pass none"
        raise ConfigurationError(f"{path} was built {said}.")
    try:
        cut = Terms(head["language"]) if preprocess_func is None else preprocess_func
        # Terms of an earlier version are cut anew, so that queries meet their like.
        same = preprocess_func is not None or Terms(head["language"]).key == head["terms"]
        documents, corpus = [], []
        for line in lines:
            documents.append(Document(line["text"], id=line["id"], metadata=line["metadata"]))
            corpus.append(_kept_terms(line["terms"]) if same else terms_of(cut, line["text"]))
        if len(documents) != head["documents"]:
            _damaged(path, f"{len(documents)} of {head['documents']} documents are there")
        settings = {"k": whole_number(head["settings"]["k"], "k")}
        return BM25Index(documents, corpus, **head["index"]), settings, cut
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataFileError):
            raise
        _damaged(path, f"{type(error).__name__}: {error}", error)


def _kept_terms(terms: Any) -> list[Any]:
    if not isinstance(terms, list):
        raise TypeError(f"terms are {terms!r:.40}, no list")
    return terms


def _damaged(path: Path, why: str, error: Exception | None = None) -> NoReturn:
    raise DataFileError(f"damaged ({why:.200}); save it again", path=path) from error


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="ascii") as file:
            for line in file:
                yield _object(line)
    except OSError as error:
        raise DataFileError(f"cannot be read: {error.strerror}", path=path) from error
    except (ValueError, RecursionError) as error:
        raise DataFileError(f"not an object in JSON by line: {error}", path=path) from error


def _object(line: str) -> dict[str, Any]:
    found = json.loads(line)
    if not isinstance(found, dict):
        raise ValueError(f"found {line!r:.80}")  # noqa: TRY004 - told with where it stands above
    return found


def _check_plain(document: Document) -> None:
    if type(document) is not Document:
        raise InputTypeError(
            f"The document {document.id!r} is a {type(document).__name__}; only plain documents "
            f"come back from a file as they were."
        )
    if wrong := not_json(document.metadata, "metadata"):
        raise InputError(
            f"The document {document.id!r} cannot be saved: {wrong} would come back as something "
            f"else. JSON keeps strings, numbers, booleans, None, lists, and dictionaries with "
            f"strings as keys; convert it first."
        )
