"""The text of a DOCX, wherever in the document it stands.

python-docx gives the runs that stand directly in a paragraph. What Word wraps (content controls,
tracked insertions, fields), tables in tables, text boxes and notes are read from the elements.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
# What was deleted or moved away, how a word is pronounced, and what is there twice for old readers.
_LEFT_OUT = {"del", "moveFrom", "rt", "Fallback"}


def document_text(document: Any, parse: Any) -> str:
    """Return the text of a document: its blocks in order, then its footnotes and endnotes."""
    blocks = list(_blocks(document.element.body))
    for relation in document.part.rels.values():
        if relation.reltype.endswith(("/footnotes", "/endnotes")) and not relation.is_external:
            blocks.extend(_blocks(parse(relation.target_part.blob)))
    return "\n\n".join(filter(None, blocks))


def _blocks(parent: Any) -> Iterator[str]:
    """Yield the text of each paragraph and table below an element, in order."""
    for element in parent.iterchildren("*"):
        name = _name(element)
        if name == "p":
            boxes: list[Any] = []
            yield _paragraph(element, boxes)
            for box in boxes:
                yield from _blocks(box)
        elif name == "tbl":
            yield _table(element)
        elif name not in _LEFT_OUT and not _is_contents(element):
            yield from _blocks(element)


def _is_contents(element: Any) -> bool:
    """Return whether an element is a table of contents: headings that all stand below again."""
    gallery = element.find(f"{_W}sdtPr/{_W}docPartObj/{_W}docPartGallery")
    return gallery is not None and gallery.get(f"{_W}val") == "Table of Contents"


def _paragraph(parent: Any, boxes: list[Any]) -> str:
    """Return the text of a paragraph or a part of it; text boxes in it go into `boxes`."""
    found = []
    for element in parent.iterchildren("*"):
        name = _name(element)
        if name == "t":
            found.append(element.text or "")
        elif name in _SIGNS:
            found.append(_SIGNS[name])
        elif name == "txbxContent":
            boxes.append(element)
        elif name not in _LEFT_OUT and not name.endswith("Pr"):
            found.append(_paragraph(element, boxes))
    return "".join(found)


def _table(table: Any) -> str:
    rows = []
    above: dict[int, str] = {}
    for row in _those(table, "tr"):
        cells: dict[int, str] = {}
        column = 0
        for cell in _those(row, "tc"):
            # A cell that goes on below says so in each row.
            goes_on = cell.vMerge == "continue"
            cells[column] = above.get(column, "") if goes_on else "\n".join(_blocks(cell)).strip()
            column += cell.grid_span
        rows.append(" | ".join(cells.values()))
        above = cells
    return "\n".join(rows)


def _those(parent: Any, name: str) -> Iterator[Any]:
    """Yield the rows of a table or the cells of a row, also where they are wrapped."""
    for element in parent.iterchildren("*"):
        if _name(element) == name:
            yield element
        elif _name(element) not in _LEFT_OUT:
            yield from _those(element, name)


def _name(element: Any) -> str:
    """Return the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]
