"""What counts as a hit: from the labels of a record to ids and grades that measures read.

Each retrieved document becomes the id of what it is judged as (a document, a source, a reference
text), and the record's labels become grades of such ids.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, TypeAlias

from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.datasets import Record

Rule = Literal[
    "qrels", "reference_context_ids", "expected_passage", "expected_source", "reference_contexts"
]
RULES: tuple[Rule, ...] = (
    "qrels",
    "reference_context_ids",
    "expected_passage",
    "expected_source",
    "reference_contexts",
)
ChunkPolicy = Literal["occupy", "chunk", "collapse"]
Grader: TypeAlias = Callable[[Record, Document], int]

_PASSAGE = "expected passage"


def basename(source: str) -> str:
    """Return the file name at the end of a path or URL, for `Relevance(normalize=basename)`.

    Examples:
        >>> basename("/data/papers/lora.pdf"), basename("https://example.com/lora.pdf")
        ('lora.pdf', 'lora.pdf')
    """
    return PurePath(source.replace("\\", "/")).name


def document_key(document: Document, id_key: str | None = None) -> str:
    """Return what identifies a document: its id, or a hash of its text and source without one.

    Args:
        document: The document.
        id_key: The metadata key that holds its id; None for `document.id`.
    """
    id_ = document.metadata.get(id_key) if id_key else document.id
    if id_ is not None:
        return str(id_)
    text = f"{document.metadata.get('source', '')}\n{document.page_content}"
    return f"text-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


@dataclass(frozen=True)
class Judgement:
    """The labels of one query, met with the documents that any system returned for it.

    Attributes:
        units: What each document is judged as, by its key.
        qrels: Grade by unit; empty where the record has no label that the rule reads.
    """

    units: dict[str, str]
    qrels: dict[str, int]

    def ids(self, keys: Iterable[str], *, chunks: ChunkPolicy = "occupy") -> tuple[str, ...]:
        """Return the ranking of units that a ranking of documents is, each unit once.

        Args:
            keys: `(n,)` keys of the returned documents, best first, cut at `top_n` before.
            chunks: "collapse" leaves a repeat out, so that later ones move up; else it keeps its
                rank under a name of its own, which has no grade.

        Examples:
            >>> found = Judgement({"a": "s", "b": "s", "c": "t"}, {"s": 1})
            >>> found.ids(["a", "b", "c"]), found.ids(["a", "b", "c"], chunks="collapse")
            (('s', 's#2', 't'), ('s', 't'))
        """
        ranked: dict[str, int] = {}
        for key in keys:
            unit = self.units[key]
            if unit not in ranked:
                ranked[unit] = 1
            elif chunks != "collapse":
                name = unit
                while name in ranked or name in self.qrels:
                    ranked[unit] += 1
                    name = f"{unit}#{ranked[unit]}"
                ranked[name] = 1
        return tuple(ranked)


@dataclass(frozen=True)
class Relevance:
    """What counts as a hit.

    Attributes:
        rule: Which labels are read: "auto" takes the first that a record has, of `qrels`,
            `reference_context_ids`, `expected_passage`, `expected_source` and
            `reference_contexts`; a rule's name takes that one; a callable `(record, document) ->
            grade` judges every returned document, so that recall is relative to what was returned.
        chunks: What a second chunk of one source does: "occupy" keeps its rank and earns nothing;
            "chunk" judges every chunk by itself; "collapse" leaves it out.
        normalize: Applied to the expected and to the found source before they are compared, which
            they are exactly; `basename` compares file names.
        source_key: The metadata key of the source.
        id_key: The metadata key of the id; None for `document.id`.
    """

    rule: Literal["auto"] | Rule | Grader = "auto"
    chunks: ChunkPolicy = "occupy"
    normalize: Callable[[str], str] = str
    source_key: str = "source"
    id_key: str | None = None

    def __post_init__(self) -> None:
        if not callable(self.rule) and self.rule not in {"auto", *RULES}:
            raise ConfigurationError(
                f"relevance={self.rule!r} is no rule; expected 'auto', a callable or one of "
                f"{', '.join(RULES)}."
            )
        if self.chunks not in {"occupy", "chunk", "collapse"}:
            raise ConfigurationError(
                f"chunks={self.chunks!r}; expected 'occupy', 'chunk' or 'collapse'."
            )

    def key(self, document: Document) -> str:
        """Return what identifies `document` in rankings and texts."""
        return document_key(document, self.id_key)

    def rule_for(self, record: Record) -> Rule | Grader | None:
        """Return the rule that judges `record`; None where it has no label for it."""
        if callable(self.rule):
            return self.rule
        rules = RULES if self.rule == "auto" else (self.rule,)
        return next((rule for rule in rules if _labels(record, rule)), None)

    def judge(self, record: Record, documents: Mapping[str, Document]) -> Judgement:
        """Return the judgement of a record.

        Args:
            record: The record.
            documents: Every document that any system returned for it, by `key`.
        """
        rule = self.rule_for(record)
        own = {key: key for key in documents}
        if rule is None:
            return Judgement(own, {})
        if callable(rule):
            return Judgement(own, {key: rule(record, one) for key, one in documents.items()})
        units = {key: self._unit(rule, record, key, one) for key, one in documents.items()}
        grades = self._grades(rule, record)
        if self.chunks != "chunk":
            return Judgement(units, grades)
        by_chunk = {key: grades[unit] for key, unit in units.items() if unit in grades}
        # A label that nobody found still counts as one to find.
        unfound = {unit: grade for unit, grade in grades.items() if unit not in units.values()}
        return Judgement(own, {**unfound, **by_chunk})

    def ids(self, judgement: Judgement, keys: Iterable[str]) -> tuple[str, ...]:
        """Return the ranking of units for a ranking of document keys, by this chunk policy."""
        return judgement.ids(keys, chunks=self.chunks)

    def _unit(self, rule: Rule, record: Record, key: str, document: Document) -> str:
        if rule == "expected_source":
            return self._source(document) or key
        if rule == "expected_passage":
            text = _squeezed(document.page_content)
            hit = _squeezed(record.expected_passage or "") in text
            wanted = {self.normalize(one) for one in record.expected_source}
            return _PASSAGE if hit and (not wanted or self._source(document) in wanted) else key
        if rule == "reference_contexts":
            text = _squeezed(document.page_content)
            contexts = enumerate(map(_squeezed, record.reference_contexts), 1)
            hits = (n for n, one in contexts if text and one and (one in text or text in one))
            found = next(hits, None)
            return f"reference context {found}" if found else key
        return key

    def _grades(self, rule: Rule, record: Record) -> dict[str, int]:
        if rule == "qrels":
            return dict(record.qrels)
        if rule == "reference_context_ids":
            return dict.fromkeys(record.reference_context_ids, 1)
        if rule == "expected_passage":
            return {_PASSAGE: 1}
        if rule == "expected_source":
            return {self.normalize(one): 1 for one in record.expected_source}
        return {f"reference context {n}": 1 for n, _ in enumerate(record.reference_contexts, 1)}

    def _source(self, document: Document) -> str | None:
        source = document.metadata.get(self.source_key)
        return None if source is None else self.normalize(str(source))

    def check(self, judged: Sequence[tuple[Record, Sequence[Document]]]) -> list[str]:
        """Return a warning for each record whose expected source or id no document has.

        Args:
            judged: Every record that ran, with the documents that any system returned for it.

        Raises:
            ConfigurationError: No returned document at all carries the key that the labels are
                compared with, so that every measure would be 0 for no fault of the systems.
        """
        warnings: list[str] = []
        documents = [one for _, found in judged for one in found]
        if not documents:
            return warnings
        by_source = [one for one, _ in judged if self._reads_source(one)]
        by_id = [
            one for one, _ in judged if self.rule_for(one) in {"qrels", "reference_context_ids"}
        ]
        if by_source:
            sources = {source for one in documents if (source := self._source(one)) is not None}
            if not sources:
                raise self._no_key(f"metadata[{self.source_key!r}]", "source_key", documents)
            for record in by_source:
                wanted = [self.normalize(one) for one in record.expected_source]
                warnings += _unfound(record, "expected source", wanted, sources)
        if by_id:
            keys = {self.key(one) for one in documents}
            # Labels made by a judge name documents without an id by their key.
            labelled = {key for one in by_id for key in (*one.qrels, *one.reference_context_ids)}
            if not any(self._has_id(one) for one in documents) and not labelled & keys:
                name = f"metadata[{self.id_key!r}]" if self.id_key else "an id"
                raise self._no_key(name, "id_key", documents)
            for record in by_id:
                rule = self.rule_for(record)
                if rule == "reference_context_ids":
                    wanted = list(record.reference_context_ids)
                    warnings += _unfound(record, "reference context id", wanted, keys)
        return warnings

    def _reads_source(self, record: Record) -> bool:
        rule = self.rule_for(record)
        passage = rule == "expected_passage" and bool(record.expected_source)
        return rule == "expected_source" or passage

    def _has_id(self, document: Document) -> bool:
        held = document.metadata.get(self.id_key) if self.id_key else document.id
        return held is not None

    def _no_key(self, name: str, setting: str, documents: Sequence[Document]) -> ConfigurationError:
        keys = sorted({str(key) for one in documents for key in one.metadata})
        return ConfigurationError(
            f"None of the {len(documents)} returned documents has {name}, which the labels are "
            f"compared with. Their metadata keys are: {', '.join(keys) or 'none'}. Name the right "
            f"one with Relevance({setting}=...), or choose another rule."
        )


def _labels(record: Record, rule: Rule) -> bool:
    """Return whether a record has something for a rule; a blank passage is in every text."""
    found = getattr(record, rule)
    return bool(found.strip() if isinstance(found, str) else found)


def _unfound(record: Record, what: str, wanted: Sequence[str], seen: set[str]) -> list[str]:
    """Return a warning per wanted value that was never seen in any query's documents."""
    warnings = []
    for one in wanted:
        if one in seen:
            continue
        close = difflib.get_close_matches(one, sorted(seen)[:1000], n=1, cutoff=0.6)
        hint = f"The nearest that was seen is {close[0]!r}." if close else ""
        warnings.append(
            f"Record {record.id!r}: the {what} {one!r} belongs to no document that was returned "
            f"for any question, so it counts as not found. {hint}".rstrip()
        )
    return warnings


def _squeezed(text: str) -> str:
    return " ".join(text.casefold().split())
