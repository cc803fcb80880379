"""What one search found: documents, scores, ranks before and after, and the time it took."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.documents import Document

from langchain_rerank.documents import (
    FIRST_STAGE_RANK,
    RELEVANCE_SCORE,
)
from langchain_rerank.plain_text import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

NOTHING = "Nothing found."
PLAIN_WIDTH = 80
_HEADINGS = ("rank", "before", "", "score", "source", "text")
_SHOWN = 2000  # characters of a document that are looked at: more than any screen shows of it
_DEEPEST = 100  # levels of nested metadata that are written


@dataclass(frozen=True)
class RerankResult:
    """The outcome of one search, printed with its rank movement; in a notebook as a table.

    Attributes:
        query: What was searched for.
        documents: `(n,)` the documents kept, best first, as copies with their new metadata.
        model: The name of the scorer.
        candidates: How many candidates the first stage gave, after duplicates were removed.
        truncated: How many of the candidates were cut to the model's limit before scoring; None
            where a server does not say.
        timings: Milliseconds by stage: "first_stage" (where a retriever searched), "rerank" and
            "total"; where a local model scored, "waiting", "tokenising" and "computing" too, the
            parts of "rerank" in which it waited for others, made tokens and was computed.
        error: Why the documents are in first-stage order instead of reranked, with
            `on_error="first_stage"`; else None.
        score_threshold: The lowest relevance score that was to be returned, if any.
        best_score: The highest relevance score of a candidate, returned or not; None where nothing
            was scored.
        first_stage_weight: The share of the first stage's score in the order; where it is not 0,
            the relevance scores need not fall.
    """

    query: str
    documents: list[Document]
    model: str
    candidates: int
    truncated: int | None = 0
    timings: dict[str, float] = field(default_factory=dict)
    error: BaseException | None = None
    score_threshold: float | None = None
    best_score: float | None = None
    first_stage_weight: float = 0.0

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

        Metadata values that JSON does not know become strings; NaN and infinity become None.
        """
        return {
            "query": self.query,
            "model": self.model,
            "candidates": self.candidates,
            "truncated": self.truncated,
            "timings_ms": dict(self.timings),
            "error": None if self.error is None else str(self.error),
            "score_threshold": self.score_threshold,
            "best_score": self.best_score,
            "first_stage_weight": self.first_stage_weight,
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
        stages = [stage for stage in ("first_stage", "rerank", "total") if stage in self.timings]
        times = ", ".join(f"{stage} {self.timings[stage]:.0f} ms" for stage in stages)
        cut = f"; {self.truncated} truncated" if self.truncated else ""
        mixed = ""
        if self.first_stage_weight and self.error is None:
            mixed = f" mixed with {100 * self.first_stage_weight:.3g} % of the first stage"
        failed = f"; NOT reranked: {_one_line(str(self.error))}" if self.error is not None else ""
        return (
            f"{len(self.documents)} of {self.candidates} candidates, {_one_line(self.model)}"
            f"{mixed} ({times}){cut}{failed}"
        )

    def _nothing(self) -> str:
        """Return why there is no document: none was found, or none scored enough."""
        threshold, best = self.score_threshold, self.best_score
        if threshold is None or best is None or best >= threshold:
            return NOTHING
        n = self.candidates
        return (
            f"{n} candidate{'' if n == 1 else 's'}, none reaches the threshold {threshold:g}; the "
            f"best scores {best:.3g}."
        )

    def __str__(self) -> str:
        lines = [_one_line(self.query)]
        for _, head, texts in self._blocks(PLAIN_WIDTH, textwrap.wrap, len):
            lines += ["  ".join(part for part in head if part), *texts]
        return "\n".join([*lines, *([] if self.documents else [self._nothing()]), self.summary()])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.cells import cell_len
        from rich.text import Text

        def wrap(text: str, room: int) -> list[str]:
            return [line.plain.rstrip() for line in Text(text).wrap(console, room)]

        width, whole = options.max_width, not console.is_terminal
        # Text, not str: square brackets in a document are no markup.
        yield Text(_one_line(self.query), style="bold")
        if not self.documents:
            yield Text(self._nothing())
        # In a pipe or a file somebody looks for the whole path.
        for hit, head, texts in self._blocks(width, wrap, cell_len, whole=whole):
            styled = zip(head, ("", "bold", hit.style, "cyan"), strict=True)
            yield Text("  ").join(Text(part, style=style) for part, style in styled if part)
            yield from map(Text, texts)
        yield Text(self.summary(), style="dim" if self.error is None else "yellow")

    def _repr_html_(self) -> str:
        # Source and text start where their heading starts; a notebook would put them to the right.
        head = "".join(f'<th style="text-align:left">{heading}</th>' for heading in _HEADINGS)
        rows = [
            (
                str(hit.rank),
                str(hit.before),
                hit.movement,
                hit.score,
                _end_of(hit.source, 60, len),
                hit.text if len(hit.text) <= 240 else f"{hit.text[:239]}…",
            )
            for hit in self._hits()
        ]
        body = "".join(
            "<tr>"
            + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in row)
            + "</tr>"
            for row in rows
        )
        found = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return (
            f"<p><b>{html.escape(_one_line(self.query))}</b><br>{html.escape(self.summary())}</p>"
            f"{found if rows else f'<p>{html.escape(self._nothing())}</p>'}"
        )

    def _blocks(
        self,
        width: int,
        wrap: Callable[[str, int], list[str]],
        cells: Callable[[str], int],
        *,
        whole: bool = False,
    ) -> Iterator[tuple[_Hit, tuple[str, str, str, str], list[str]]]:
        """Yield each hit with the parts of its head line and at most two lines of its text."""
        digits = len(str(len(self.documents)))
        indent = " " * (digits + 2)
        room = max(width - len(indent), 12)
        for hit in self._hits():
            moved = hit.movement if hit.rank == hit.before else f"{hit.movement} (was {hit.before})"
            fixed = (f"{hit.rank:>{digits}}", hit.score, moved)
            texts = _two_of(wrap(hit.text, room), room, cells)
            rest = max(width - sum(cells(part) + 2 for part in fixed), 0)
            # The source stands after the rest, or below it where that leaves too little of it.
            beside = whole or rest >= min(room // 2, cells(hit.source))
            source = hit.source
            if not whole:
                source = _end_of(source, rest if beside else room, cells)
            if not beside:
                texts, source = [source, *texts], ""
            yield hit, (*fixed, source), [indent + line for line in texts]

    def _hits(self) -> list[_Hit]:
        return [_hit(rank, document) for rank, document in enumerate(self.documents, start=1)]


def _place(document: Document) -> str:
    """Return where a document is from: its source with the line or page, else its id."""
    source = document.metadata.get("source", document.id)
    if source is None:
        return ""
    for key, before in (("line", ":"), ("page", ", page ")):
        number = document.metadata.get(key)
        if isinstance(number, int) and not isinstance(number, bool):
            return f"{source}{before}{number}"
    return str(source)


class _Hit(NamedTuple):
    rank: int
    before: int
    score: str
    source: str
    text: str

    @property
    def movement(self) -> str:
        if self.before > self.rank:
            return f"↑{self.before - self.rank}"
        return f"↓{self.rank - self.before}" if self.before < self.rank else "="

    @property
    def style(self) -> str:
        return {"↑": "green", "↓": "red"}.get(self.movement[0], "")


def _hit(rank: int, document: Document) -> _Hit:
    score, text = document.metadata.get(RELEVANCE_SCORE), document.page_content
    return _Hit(
        rank=rank,
        before=document.metadata.get(FIRST_STAGE_RANK, rank),
        score="-" if score is None else f"{score:.4f}",
        source=_one_line(_place(document)),
        text=_one_line(text[:_SHOWN]) + ("…" if len(text) > _SHOWN else ""),
    )


def _one_line(text: str) -> str:
    return " ".join(printable(text).split())


def _two_of(lines: list[str], width: int, cells: Callable[[str], int]) -> list[str]:
    """Return the first two of `lines`, the second with "…" where more follow."""
    if len(lines) <= 2:
        return lines
    last = lines[1]
    if cells(last) + 2 <= width:
        return [lines[0], f"{last} …"]
    while cells(last) >= width:
        last = last[:-1]
    return [lines[0], f"{last}…"]


def _end_of(text: str, width: int, cells: Callable[[str], int]) -> str:
    """Return `text`, or "…" and as much of its end as fits: the end of a path tells most."""
    if cells(text) <= width:
        return text
    text = text[-width:]
    while cells(text) >= width:
        text = text[1:]
    return f"…{text}"


def _plain(value: Any, holders: tuple[int, ...] = ()) -> Any:
    """Return `value` as JSON data; what holds itself ends in "…"."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (Mapping, list, tuple)):
        if id(value) in holders or len(holders) > _DEEPEST:
            return "…"
        holders = (*holders, id(value))
        if isinstance(value, Mapping):
            return {str(key): _plain(item, holders) for key, item in value.items()}
        return [_plain(item, holders) for item in value]
    return str(value)
