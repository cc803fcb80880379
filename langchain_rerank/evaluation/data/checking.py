"""Whether labels and documents name the same things, before anything is concluded from them.

Of labels that no document has: how many, which, and what they were most likely meant to be.
"""

from __future__ import annotations

import json
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError, see
from langchain_rerank.evaluation.data.labels import LabelReading, Rule
from langchain_rerank.evaluation.data.questions import Record, some
from langchain_rerank.evaluation.data.texts import contains, holds, squeezed
from langchain_rerank.optional import require

Judged = Sequence[tuple[Record, Sequence[Document]]]

_WHAT = {
    "qrels": "judged document",
    "reference_context_ids": "reference context id",
    "expected_passage": "expected passage",
    "expected_source": "expected source",
    "reference_contexts": "reference context",
}
_BY_ID = {"qrels", "reference_context_ids"}
_BY_TEXT = {"expected_passage", "reference_contexts"}
_SHOWN = 3
_LEAST_ALIKE = 60.0  # of 100: below it, the nearest name is a guess that misleads


@dataclass(frozen=True)
class Label:
    """A label of a question, with what kind of label it is, as in "expected source"."""

    query_id: str
    what: str
    value: str


@dataclass(frozen=True)
class Unmatched:
    """The labels that no document has.

    Attributes:
        labels: They.
        total: How many labels there are in all.
        message: One line on them: how many, three of them, and what is nearest.
    """

    labels: tuple[Label, ...]
    total: int
    message: str

    @property
    def all(self) -> bool:
        """Whether no label at all has a document."""
        return len(self.labels) == self.total


def check(relevance: LabelReading, judged: Judged) -> list[str]:
    """Return what `Relevance.check` returns."""
    documents = relevance.corpus or [one for _, found in judged for one in found]
    if not documents:
        return []
    _check_keys(relevance, [one for one, _ in judged], documents)
    nothing = [
        one.id
        for one, _ in judged
        if relevance.rule_for(one) == "qrels" and max(one.qrels.values()) <= 0
    ]
    if nothing and len(nothing) == sum(relevance.rule_for(one) is not None for one, _ in judged):
        raise ConfigurationError(
            f"No grade is above 0 in the qrels of {len(nothing)} questions ({some(nothing)}), so "
            f"every measure would be 0 whatever the systems do. Give what is relevant a grade of "
            f"at least 1."
        )
    said = []
    if nothing:
        count = f"{len(nothing)} of {len(judged)} questions have no grade above 0 in their qrels"
        said.append(f"{count} ({some(nothing)}), and count 0 whatever the systems do.")
    found = unmatched(relevance, judged)
    if found is not None and found.all:
        raise ConfigurationError(
            f"No label belongs to a document, so every measure would be 0 whatever the systems do. "
            f"{found.message} Correct the labels, or say what they name with "
            f"Relevance(rule=..., id_key=..., source_key=...). {see('labels-that-match-nothing')}"
        )
    return [*said, found.message] if found else said


def unmatched(relevance: LabelReading, judged: Judged) -> Unmatched | None:
    """Return what `Relevance.unmatched` returns."""
    rules = {relevance.rule_for(one) for one, _ in judged}
    if relevance.corpus is not None:
        documents, where = relevance.corpus, "of the corpus"
    else:
        documents = [one for _, found in judged for one in found]
        named = rules & {"expected_source", *_BY_ID}
        where = f"that was returned for {'any question' if named else 'their questions'}"
    ids = {name for one in documents for name in relevance.names(one)} if rules & _BY_ID else set()
    held = map(relevance.source, documents) if "expected_source" in rules else ()
    sources = {one for one in held if one is not None}
    corpus = _Texts(relevance, relevance.corpus) if relevance.corpus and rules & _BY_TEXT else None
    missed: list[Label] = []
    total = 0
    for record, returned in judged:
        rule = relevance.rule_for(record)
        if rule is None or callable(rule):
            continue
        if rule in _BY_TEXT:
            labels = (corpus or _Texts(relevance, returned)).held(rule, record)
        else:
            known = ids if rule in _BY_ID else sources
            labels = {one: one in known for one in relevance.wanted(rule, record)}
        total += len(labels)
        missed += [Label(record.id, _WHAT[rule], one) for one, hit in labels.items() if not hit]
    return described(missed, total, ids | sources, where)


class _Texts:
    """Says whether any of many documents holds a text."""

    def __init__(self, relevance: LabelReading, documents: Sequence[Document]) -> None:
        self._relevance = relevance
        self._texts = [squeezed(one.page_content) for one in documents]
        self._sources = [relevance.source(one) for one in documents]
        self._all = "\n".join(self._texts)

    def held(self, rule: Rule, record: Record) -> dict[str, bool]:
        """Return for each text that a record asks for whether a document has it."""
        if rule == "reference_contexts":
            wanted = {squeezed(one): one for one in record.reference_contexts}
            return {label: self._any(one, holds, None) for one, label in wanted.items() if one}
        sources = {self._relevance.normalize(one) for one in record.expected_source}
        passage = record.expected_passage or ""
        return {passage: self._any(squeezed(passage), contains, sources)}

    def _any(self, text: str, test: Callable[[str, str], bool], sources: set[str] | None) -> bool:
        # Most are in one, and found at once; only a context may also be longer than its document.
        if test is contains and text not in self._all:
            return False
        return any(
            test(one, text)
            for one, source in zip(self._texts, self._sources, strict=True)
            if not sources or source in sources
        )


def _check_keys(
    relevance: LabelReading, records: Sequence[Record], documents: Sequence[Document]
) -> None:
    """Refuse documents none of which says about itself what the labels name."""
    rules = {relevance.rule_for(one) for one in records}
    if "expected_source" in rules and all(relevance.source(one) is None for one in documents):
        raise _no_key(f"metadata[{relevance.source_key!r}]", "source_key", documents)
    if not rules & _BY_ID:
        return
    if relevance.id_key is not None:
        if all(one.metadata.get(relevance.id_key) is None for one in documents):
            raise _no_key(f"metadata[{relevance.id_key!r}]", "id_key", documents)
    elif all(one.id is None for one in documents):
        # Labels made by a judge name documents without an id by their key.
        named = {name for one in documents for name in relevance.names(one)}
        labels = {name for one in records for name in (*one.qrels, *one.reference_context_ids)}
        if not named & labels:
            raise _no_key("an id", "id_key", documents)


def _no_key(name: str, setting: str, documents: Sequence[Document]) -> ConfigurationError:
    keys = sorted({str(key) for one in documents for key in one.metadata})
    return ConfigurationError(
        f"None of the {len(documents)} returned documents has {name}, which the labels are "
        f"compared with. Their metadata keys are: {', '.join(keys) or 'none'}. Name the right "
        f"one with Relevance({setting}=...), or choose another rule."
    )


def described(
    labels: Sequence[Label], total: int, names: Collection[str], where: str
) -> Unmatched | None:
    """Return what is to be said about the labels, of `total`, that no document has; None for none.

    `names` is what the documents are called (ids and sources; nothing where labels are texts), and
    `where` which documents they are, as in "of the corpus".
    """
    if not labels:
        return None
    ordered = sorted(names)
    shown = []
    for one in labels[:_SHOWN]:
        hint = nearest(one.value, ordered)
        value = one.value if len(one.value) <= 60 else f"{one.value[:57]}..."
        shown.append(f"Record {one.query_id!r}: {one.what} {value!r}{f', {hint}' if hint else ''}")
    more = f"; and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    belong, count = ("belongs", "counts") if len(labels) == 1 else ("belong", "count")
    return Unmatched(
        tuple(labels),
        total,
        f"{len(labels)} of {total} labels {belong} to no document {where}, and {count} as not "
        f"found. {'; '.join(shown)}{more}.",
    )


def nearest(label: str, names: Sequence[str]) -> str | None:
    """Return the name that a label was most likely meant to be and what differs; None for none.

    Examples:
        >>> nearest("7.0", ["7", "guide.md"])
        "the nearest that was seen, '7', is of another type"
        >>> nearest("guide.md", ["guide.md#1", "guide.md#2"])
        "the nearest that was seen, 'guide.md#1', is a chunk of it"
    """
    for why, form in _FORMS:
        wanted = form(label)
        found = next((name for name in names if form(name) == wanted), label)
        if found != label:
            return f"the nearest that was seen, {found!r}, {why}"
    chunk = next((one for one in names if _is_chunk(one, label)), None)
    if chunk is not None:
        return f"the nearest that was seen, {chunk!r}, is a chunk of it"
    whole = next((one for one in names if _is_chunk(label, one)), None)
    if whole is not None:
        return f"it is a chunk of {whole!r}"
    parts = [one.strip() for one in re.split(r"[,;|\n]", label) if one.strip()]
    if len(parts) > 1 and all(one in names for one in parts):
        return f"which are {len(parts)} in one text; write them as a list: {json.dumps(parts)}"
    rapidfuzz = require("rapidfuzz", extra="eval") if names else None
    alike = rapidfuzz and rapidfuzz.process.extractOne(
        label, names, scorer=rapidfuzz.fuzz.ratio, score_cutoff=_LEAST_ALIKE
    )
    return f"the nearest that was seen is {alike[0]!r}" if alike else None


def _number(text: str) -> str:
    """Return a whole number in its shortest form: what 7, 7.0 and 007 have in common."""
    found = re.fullmatch(r"\s*([+-]?)0*(\d+)(?:\.0*)?\s*", text)
    return f"{found[1].strip('+')}{found[2]}" if found else text


_FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("is of another type", _number),
    ("is in another Unicode form", lambda text: unicodedata.normalize("NFKC", text)),
    ("is written in another case or spacing", lambda text: "".join(text.casefold().split())),
    ("is percent-encoded otherwise", urllib.parse.unquote),
    (
        "has the same file name; Relevance(normalize=basename) compares these",
        lambda text: PurePath(text.replace("\\", "/")).name or text,
    ),
)
_PART = re.compile(r"[#:/|_.\- ]+(?:chunk|part|page|p|passage)?[_\- ]?\d+$", re.IGNORECASE)


def _is_chunk(name: str, whole: str) -> bool:
    """Return whether a name is another one and the number of a part."""
    return name.startswith(whole) and _PART.fullmatch(name[len(whole) :]) is not None
