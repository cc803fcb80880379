"""`--filter`: only documents whose metadata says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any
from unicodedata import normalize

import typer

from langchain_rerank.errors import ConfigurationError

if TYPE_CHECKING:
    from langchain_core.documents import Document

FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="KEY=VALUE",
        help="Only documents with this metadata, such as tags=recipes. Repeatable: one of the "
        "values of a key, and each key.",
        show_default=False,
    ),
]


def document_filter(
    given: Sequence[str] | None, documents: Iterable[Document]
) -> Callable[[Document], bool] | None:
    """Return the filter that `--filter` names, as a retriever takes it; None without one.

    Of a list (tags), one element has to be the value; numbers and dates are compared as they are
    written, true and false in any letters.

    Raises:
        ConfigurationError: Not KEY=VALUE, or no document has metadata of that name.

    Examples:
        >>> from langchain_core.documents import Document
        >>> keep = document_filter(["tags=b"], [Document("x", metadata={"tags": ["a", "b"]})])
        >>> keep(Document("y", metadata={"tags": "b"})), keep(Document("z"))
        (True, False)
        >>> cafe = Document("x", metadata={"source": "cafe\N{COMBINING ACUTE ACCENT}.md"})
        >>> document_filter(["source=café.md"], [cafe])(cafe)
        True
    """
    wanted: dict[str, list[str]] = {}
    for one in given or ():
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"--filter {one!r}: KEY=VALUE was expected, as in page=3.")
        wanted.setdefault(key, []).append(value)
    if not wanted:
        return None
    known = {str(key) for document in documents for key in document.metadata}
    for key in wanted:
        if key not in known:
            raise ConfigurationError(
                f"--filter {key}={wanted[key][0]}: no document has metadata of the name {key!r}; "
                f"there is {', '.join(sorted(known)) or 'none'}."
            )

    def keep(document: Document) -> bool:
        return all(
            key in document.metadata and any(_is(document.metadata[key], value) for value in values)
            for key, values in wanted.items()
        )

    return keep


def _is(held: Any, value: str) -> bool:
    if isinstance(held, list):
        return any(_is(one, value) for one in held)
    if isinstance(held, bool):
        return str(held).lower() == value.lower()
    # A letter with a mark may be one character or two, in names of files above all.
    return normalize("NFC", str(held)) == normalize("NFC", value)
