"""One thing to run for every question, and what the systems that it gives returned."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig

from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.run.names import FIRST_STAGE, RERANKED

__all__ = ["FIRST_STAGE", "RERANKED", "Ask", "Found", "Stage", "described", "digest", "stopwatch"]


@dataclass(frozen=True)
class Found:
    """What one system returned for one question.

    Attributes:
        keys: `(n,)` keys of the documents, best first.
        scores: `(n,)` their scores; empty where there are none.
        latency_ms: Time by stage; empty where it was not measured.
        error: Why there is nothing.
        response: The answer, where a chain gave one.
        mixed: `(n,)` what `first_stage_weight` mixes in, of candidates; empty where that is the
            ranks.
        documents: Documents by key, as they were returned; empty where they were known before.
    """

    keys: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    latency_ms: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    response: str | None = None
    mixed: tuple[float, ...] = ()
    documents: Mapping[str, Document] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls, documents: Iterable[Document], key: Callable[[Document], str], **fields: Any
    ) -> Self:
        """Return what a system returned, as documents; of one key and text, the first is kept."""
        by_key: dict[str, Document] = {}
        keys = []
        for one in documents:
            keys.append(_told_apart(key(one), one, by_key))
            by_key.setdefault(keys[-1], one)
        return cls(keys=tuple(keys), documents=by_key, **fields)

    def beside(self, known: Mapping[str, Document]) -> Self:
        """Return the same, with keys of their own for documents of which `known` has other texts.

        Two systems may call other chunks by the same ids, and one may return a part of a document.
        """
        names = {key: _told_apart(key, one, known) for key, one in self.documents.items()}
        return replace(
            self,
            keys=tuple(names.get(key, key) for key in self.keys),
            documents={names[key]: one for key, one in self.documents.items()},
        )

    def once(self) -> Self:
        """Return the same with every document at its first place only."""
        first = list({key: place for place, key in reversed(list(enumerate(self.keys)))}.values())
        places = sorted(first)
        return replace(
            self,
            keys=tuple(self.keys[place] for place in places),
            scores=tuple(self.scores[place] for place in places) if self.scores else (),
        )

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Return what a row of a journal says."""
        return cls(
            tuple(row["keys"]),
            tuple(row.get("scores", ())),
            dict(row.get("latency_ms", {})),
            response=row.get("response"),
            mixed=tuple(row.get("mixed", ())),
        )

    def to_row(self) -> dict[str, Any]:
        """Return the row that says this in a journal."""
        if self.error is not None:
            return {"error": self.error}
        row: dict[str, Any] = {"keys": self.keys}
        for name in ("scores", "latency_ms", "response", "mixed"):
            if value := getattr(self, name):
                row[name] = value
        return row


Ask = Callable[[Record, RunnableConfig], Awaitable[Mapping[str, Found]]]
"""From a question to what each system of a stage returned; it may raise."""


@dataclass(frozen=True)
class Stage:
    """One thing to run for every question, and the systems whose results it gives.

    Attributes:
        names: The systems.
        ask: Runs it.
        given: What else than the question its rows depend on (`digest`); None for nothing.
        settings: Gives what identifies it in a report: of a model, as it is once loaded.
        cost: How long it takes beside other stages, about.
        keeps: Whether its rows go into the journal.
        generates: Whether a language model may be asked: it is not run for an estimate.
    """

    names: tuple[str, ...]
    ask: Ask
    given: Callable[[Record], str] | None = None
    settings: Callable[[], dict[str, Any]] = dict
    cost: int = 1
    keeps: bool = True
    generates: bool = False


def _told_apart(key: str, document: Document, known: Mapping[str, Document]) -> str:
    """Return `key`, or where `known` has another text under it, one that no other text has."""
    held = known.get(key)
    if held is None or held.page_content == document.page_content:
        return key
    return f"{key}~{digest([document.page_content])}"


def digest(keys: Sequence[str]) -> str:
    """Return what names a list of documents."""
    found = hashlib.blake2b(digest_size=8)
    for key in keys:
        found.update(b"%d:%b" % (len(key), key.encode("utf-8", "surrogatepass")))
    return found.hexdigest()


def stopwatch() -> Callable[[], float]:
    """Return a function that says how many milliseconds have gone by. Nothing else here times."""
    started = perf_counter()
    return lambda: (perf_counter() - started) * 1000.0


def described(error: Exception) -> str:
    """Return an error as one line: its class and message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": ")
