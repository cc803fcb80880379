"""Which of some documents are one document."""

from __future__ import annotations

from collections.abc import Sequence
from pprint import saferepr
from typing import Any, Literal

from langchain_core.documents import Document

from langchain_rerank.documents import is_missing, metadata_without_scores

Deduplicate = Literal["id", "text", "off"]


def unique(
    documents: Sequence[Document], by: Deduplicate, id_key: str | None = None
) -> list[Document]:
    """Return the first of each group of equal documents, in order.

    Args:
        documents: `(n,)` documents.
        by: "id" compares ids, and where one of two has none text and metadata (but for what a first
            stage or a reranker wrote there); "text" compares texts; "off" keeps all.
        id_key: The metadata that tells documents apart under "id", in place of their ids; those
            without it are told apart as above.

    Examples:
        >>> [d.id for d in unique([Document("x", id="1"), Document("y", id="1")], "id")]
        ['1']
    """
    if by == "off":
        return list(documents)
    all_have_ids = all(document.id for document in documents)
    seen: set[object] = set()
    kept = []
    for document in documents:
        known_by: set[Any]
        marks: set[Any]
        if by == "text":
            known_by = marks = {document.page_content}
        elif (own := key_of(document, id_key)) is not None:
            known_by = marks = {own}
        elif all_have_ids:
            known_by = marks = {document.id}
        else:
            known_by, marks = _known_by(document)
        if seen.isdisjoint(known_by):
            kept.append(document)
            seen |= marks
    return kept


def key_of(document: Document, id_key: str | None) -> tuple[str, str] | None:
    """Return what the metadata of `id_key` says that `document` is; None where it says nothing.

    Examples:
        >>> key_of(Document("x", metadata={"isbn": 5}), "isbn")
        ('key', '5')
    """
    value = None if id_key is None else (document.metadata or {}).get(id_key)
    if is_missing(value):
        return None
    try:
        return "key", repr(value)
    except Exception:  # noqa: BLE001 - as below
        return "key", f"of the document {id(document)}"


def _known_by(document: Document) -> tuple[set[Any], set[Any]]:
    """Return the marks that a document like this one would have left, and those that it leaves.

    One with an id is like those of that id, and like those without one of its content; two with
    different ids are different, whatever they hold.
    """
    content = _content(document)
    if document.id:
        return {("id", document.id), ("bare", content)}, {("id", document.id), ("any", content)}
    return {("any", content)}, {("any", content), ("bare", content)}


def _content(document: Document) -> tuple[str, str]:
    """Return what a document without an id is known by."""
    own = metadata_without_scores(document.metadata or {})
    try:
        # Whatever the order of the keys, in nested dictionaries too.
        return document.page_content, saferepr(own)
    except Exception:  # noqa: BLE001  # nested too deeply, or a user's object refuses
        return document.page_content, f"of the document {id(document)}"
