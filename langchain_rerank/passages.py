"""Passages from files of rows: JSONL, JSON arrays, CSV, Parquet, SQuAD's own JSON.

A passage is what somebody cut already: it keeps its id, its text and its metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from langchain_core.documents import Document

from langchain_rerank.documents import is_missing
from langchain_rerank.errors import DataFileError
from langchain_rerank.reading import Form, read_rows
from langchain_rerank.reading.json_values import parse
from langchain_rerank.reading.names import DOCUMENT_IDS, normal
from langchain_rerank.reading.squad import paragraphs, squad_articles

# The first that a row has counts. "_id" and "text" are BEIR's, "page_content" is LangChain's.
TEXT_KEYS = (
    *("text", "page_content", "content", "contents", "passage", "body", "passage_text"),
    *("document_text", "product_text", "product_title"),
)
ID_KEYS = ("_id", "id", *DOCUMENT_IDS)
_EXPECTED = (
    'expected an object with a string "text" or "page_content" (and "_id" or "id", "title" and an '
    'object "metadata" where there are any)'
)


def read_passages(path: Path, source: str, *, form: Form | None = None) -> list[Document]:
    """Return the passages of a file, one a row, each with the id that its row has.

    A row without an id is called by `source` and its line. Its `source` is that of its metadata,
    else `source`; columns that are no text, id, title or metadata are kept as metadata.

    Raises:
        DataFileError: It cannot be read, a row has no text, or an id stands twice.
    """
    rows = read_rows(path, known=_holds_text, what="the text", form=form)
    articles = squad_articles(rows[0][1]) if len(rows) == 1 else None
    if articles is not None:
        return [
            Document(one.text, id=one.id, metadata={"source": one.title, "title": one.title})
            for one in paragraphs(articles, path)
        ]
    alone = rows[0][1] if len(rows) == 1 and isinstance(rows[0][1], Mapping) else {}
    corpus = None if any(map(_holds_text, map(str, alone))) else alone.get("corpus")
    if isinstance(corpus, Mapping) and corpus:  # a data set of LlamaIndex: texts by their ids
        held = [one if isinstance(one, Mapping) else {"text": one} for one in corpus.values()]
        rows = [(1, {"id": id_, **one}) for id_, one in zip(corpus, held, strict=True)]
    lines: dict[str, int] = {}
    found = []
    for line, row in rows:
        document = _of_row(row, path, source, line)
        earlier = lines.setdefault(str(document.id), line)
        if earlier != line:
            raise DataFileError(
                f"the id {document.id!r} was used in line {earlier}; give each passage its own, "
                f"since labels name passages by their ids",
                path=path,
                line=line,
            )
        found.append(document)
    return found


def _holds_text(name: str) -> bool:
    return normal(name) in TEXT_KEYS


def _of_row(row: Any, path: Path, source: str, line: int) -> Document:
    row = row if isinstance(row, Mapping) else {}
    names = {normal(key): key for key in reversed(row)}
    held = {name: row[key] for name, key in names.items()}
    text_key = next((key for key in TEXT_KEYS if isinstance(held.get(key), str)), None)
    ids = ((key, held.get(key)) for key in ID_KEYS)
    id_key = next((key for key, one in ids if not is_missing(one) and one != ""), None)
    id_ = f"{source}:{line}" if id_key is None else held[id_key]
    if isinstance(id_, float) and id_.is_integer():
        id_ = int(id_)  # a column of whole numbers with a gap, as pandas has it
    title = held.get("title") or ""
    metadata = _unwritten(held.get("metadata")) or {}
    if text_key is None or not isinstance(title, str) or isinstance(id_, (Mapping, list, bool)):
        raise DataFileError(_EXPECTED, path=path, line=line)
    if not isinstance(metadata, Mapping):
        raise DataFileError(_EXPECTED, path=path, line=line)
    own = {names.get(key) for key in (text_key, id_key or "", "title", "metadata")}
    extra = {key: value for key, value in row.items() if key not in own and value not in (None, "")}
    return Document(
        f"{title}\n{held[text_key]}" if title else held[text_key],
        id=str(id_),
        metadata={"source": source, **extra, **({"title": title} if title else {}), **metadata},
    )


def _unwritten(metadata: Any) -> Any:
    """Return metadata as an object where a cell holds it as JSON."""
    if isinstance(metadata, str) and metadata.startswith("{"):
        with suppress(ValueError):
            return parse(metadata)
    return metadata
