"""What one search found: documents, scores, ranks before and after, and the time it took."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

from langchain_rerank.documents import (
    FIRST_STAGE_RANK,
    RELEVANCE_SCORE,
)

if TYPE_CHECKING:
    from rich.table import Table

_HEADINGS = ("rank", "before", "", "score", "source", "text")


@dataclass(frozen=True)
class RerankResult:
    """The outcome of one search. Prints as a table of rank movement, in a notebook as HTML.

    Attributes:
        query: What was searched for.
        documents: `(n,)` the documents kept, best first, as copies with their new metadata.
        model: The name of the scorer.
        candidates: How many candidates the first stage gave, after duplicates were removed.
        truncated: How many of the candidates were cut to the model's limit before scoring.
        timings: Milliseconds by stage: "first_stage" (where a retriever searched), "rerank" and
            "total".
        error: Why the documents are in first-stage order instead of reranked, with
            `on_error="first_stage"`; else None.
    """

    query: str
    documents: list[Document]
    model: str
    candidates: int
    truncated: int = 0
    timings: dict[str, float] = field(default_factory=dict)
    error: BaseException | None = None

    @property
    def scores(self) -> list[float]:
        """The relevance scores, `(n,)`; empty where the scorer failed."""
        return [
            document.metadata[RELEVANCE_SCORE]
            for document in self.documents
            if RELEVANCE_SCORE in document.metadata
        ]

    @property
    def first_stage_ranks(self) -> list[int]:
        """The rank (1-based) of each document before reranking, `(n,)`."""
        return [document.metadata[FIRST_STAGE_RANK] for document in self.documents]

    @property
    def rerank_ranks(self) -> list[int]:
        """The rank (1-based) of each document after reranking, `(n,)`."""
        return list(range(1, len(self.documents) + 1))

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain data for JSON.

        Metadata values that JSON does not know become strings.
        """
        return {
            "query": self.query,
            "model": self.model,
            "candidates": self.candidates,
            "truncated": self.truncated,
            "timings_ms": dict(self.timings),
            "error": None if self.error is None else str(self.error),
            "documents": [
                {
                    "id": document.id,
                    "text": document.page_content,
                    "metadata": {key: _plain(value) for key, value in document.metadata.items()},
                }
                for document in self.documents
            ],
        }

    def summary(self) -> str:
        """Return one line: how many of how many, by which model, in what time."""
        times = ", ".join(f"{stage} {ms:.0f} ms" for stage, ms in self.timings.items())
        cut = f"; {self.truncated} truncated" if self.truncated else ""
        failed = f"; NOT reranked: {self.error}" if self.error is not None else ""
        return (
            f"{len(self.documents)} of {self.candidates} candidates, {self.model} ({times}){cut}"
            f"{failed}"
        )

    def __str__(self) -> str:
        rows = [_HEADINGS, *self._rows(text_width=60)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([f"{self.query!r}: {self.summary()}", *lines])

    def __rich__(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        # Text, not str: square brackets in a document are no markup.
        table = Table(
            title=Text(self.query), caption=Text(self.summary()), title_justify="left", expand=True
        )
        for heading in _HEADINGS:
            table.add_column(
                heading,
                no_wrap=True,
                overflow="ellipsis",
                max_width=28 if heading == "source" else None,
                ratio=1 if heading == "text" else None,
            )
        for row in self._rows(text_width=240):
            style = {"↑": "green", "↓": "red"}.get(row[2][:1], "")
            table.add_row(
                *(Text(cell, style=style if column == 2 else "") for column, cell in enumerate(row))
            )
        return table

    def _repr_html_(self) -> str:
        # Source and text start where their heading starts; a notebook would put them to the right.
        head = "".join(f'<th style="text-align:left">{heading}</th>' for heading in _HEADINGS)
        body = "".join(
            "<tr>"
            + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in row)
            + "</tr>"
            for row in self._rows(text_width=240)
        )
        return (
            f"<p><b>{html.escape(self.query)}</b><br>{html.escape(self.summary())}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def _rows(self, *, text_width: int) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = []
        for rank, document in enumerate(self.documents, start=1):
            before = document.metadata.get(FIRST_STAGE_RANK, rank)
            score = document.metadata.get(RELEVANCE_SCORE)
            source = document.metadata.get("source") or document.id or ""
            text = " ".join(document.page_content[: 4 * text_width].split())
            rows.append(
                (
                    str(rank),
                    str(before),
                    _movement(before, rank),
                    "-" if score is None else f"{score:.4f}",
                    str(source).replace("\\", "/").rsplit("/", 1)[-1],
                    text if len(text) <= text_width else text[: text_width - 1] + "…",
                )
            )
        return rows


def _movement(before: int, after: int) -> str:
    if before > after:
        return f"↑{before - after}"
    return f"↓{after - before}" if before < after else "="


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value)
