"""What counts as a hit: from the labels of a record to ids and grades that measures read.

Each retrieved document becomes the id of what it is judged as (a document, a source, a reference
text), and the record's labels become grades of such ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data import checking
from langchain_rerank.evaluation.data.labels import ChunkPolicy, Grader, LabelReading, Rule
from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.data.texts import contains, covered, squeezed
from langchain_rerank.evaluation.data.values import read_grade

_PASSAGE = "expected passage"


def basename(source: str) -> str:
    """Return the file name at the end of a path or URL, for `Relevance(normalize=basename)`.

    Examples:
        >>> basename("/data/papers/lora.pdf"), basename("https://example.com/lora.pdf")
        ('lora.pdf', 'lora.pdf')
    """
    return PurePath(source.replace("\\", "/")).name


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
class Relevance(LabelReading):
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
        id_key: The metadata key of the id that labels name; None for `document.id`, and where that
            is no label for the id that a document is a chunk of (`guide.md` of `guide.md#3`), the
            ids in its metadata (`doc_id`, `_id`, ...) and its source.
        corpus: Every document that can be found, where they are known: labels are looked for among
            these; None for those that were returned.
    """

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
            return Judgement(
                own, {key: _graded(rule, record, one) for key, one in documents.items()}
            )
        units, grades = self._units(rule, record, documents)
        if self.chunks != "chunk":
            return Judgement(units, grades)
        by_chunk = {key: grades[unit] for key, unit in units.items() if unit in grades}
        # A label that nobody found still counts as one to find.
        unfound = {unit: grade for unit, grade in grades.items() if unit not in units.values()}
        return Judgement(own, {**unfound, **by_chunk})

    def ids(self, judgement: Judgement, keys: Iterable[str]) -> tuple[str, ...]:
        """Return the ranking of units for a ranking of document keys, by this chunk policy."""
        return judgement.ids(keys, chunks=self.chunks)

    def _units(
        self, rule: Rule, record: Record, documents: Mapping[str, Document]
    ) -> tuple[dict[str, str], dict[str, int]]:
        """Return what each document is judged as, and the grades of what is to be found."""
        own = {key: self._own(key, one) for key, one in documents.items()}
        if rule == "reference_contexts":
            texts = {key: one.page_content for key, one in documents.items()}
            units, grades = covered(record.reference_contexts, texts)
            return {**own, **units}, grades
        if rule == "expected_passage":
            hits = {key: _PASSAGE for key, one in documents.items() if self._has(record, one)}
            return {**own, **hits}, {_PASSAGE: 1}
        if rule == "expected_source":
            sources = {key: self.source(one) or key for key, one in documents.items()}
            return sources, {self.normalize(one): 1 for one in record.expected_source}
        grades = record.qrels if rule == "qrels" else dict.fromkeys(record.reference_context_ids, 1)
        # What is the id of one document names no other one, whatever the metadata of that says.
        taken = self.corpus_ids | {self.own_id(one) for one in documents.values()}
        named = {
            key: next((name for name in self.names(one, taken) if name in grades), own[key])
            for key, one in documents.items()
        }
        return named, dict(grades)

    def _own(self, key: str, document: Document) -> str:
        held = document.metadata.get(self.id_key) if self.id_key else None
        return key if held is None else str(held)

    def _has(self, record: Record, document: Document) -> bool:
        """Return whether a document has the expected passage, in an expected source if any."""
        wanted = {self.normalize(one) for one in record.expected_source}
        text, passage = squeezed(document.page_content), squeezed(record.expected_passage or "")
        return contains(text, passage) and (not wanted or self.source(document) in wanted)

    def check(self, judged: Sequence[tuple[Record, Sequence[Document]]]) -> list[str]:
        """Return a warning where labels belong to no document.

        Args:
            judged: Every record that ran, with the documents that any system returned for it.

        Raises:
            ConfigurationError: No label at all belongs to a document, or no document carries the
                key that the labels are compared with: every measure would be 0 for no fault of the
                systems.
        """
        return checking.check(self, judged)

    def unmatched(
        self, judged: Sequence[tuple[Record, Sequence[Document]]]
    ) -> checking.Unmatched | None:
        """Return the labels that no document has; None where each has one.

        Ids and sources are looked for in `corpus`, or in what was returned for any question; texts
        in what was returned for their own question.

        Args:
            judged: Records with the documents that any system returned for them.
        """
        return checking.unmatched(self, judged)


def _graded(rule: Grader, record: Record, document: Document) -> int:
    """Return the grade that a rule of the caller's gives."""
    what = (
        f"The relevance rule, asked for the record {record.id!r} and the document {document.id!r},"
    )
    try:
        given = rule(record, document)
    except Exception as error:
        raise ConfigurationError(f"{what} raised {type(error).__name__}: {error}.") from error
    grade = read_grade(given)
    if grade is None:
        raise ConfigurationError(
            f"{what} gave {given!r}; a whole number was expected, for instance int(score > 0.5)."
        )
    return grade
