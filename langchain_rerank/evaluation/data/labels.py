"""Which labels of a record are read, and by which names they may call a document."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

from langchain_core.documents import Document

from langchain_rerank.checks import check_fits, is_one_of, listed, shown
from langchain_rerank.errors import ConfigurationError, InputTypeError
from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.data.values import read_id

Rule = Literal[
    "qrels", "reference_context_ids", "expected_passage", "expected_source", "reference_contexts"
]
RULES: tuple[Rule, ...] = get_args(Rule)
ChunkPolicy = Literal["occupy", "chunk", "collapse"]
Grader: TypeAlias = Callable[[Record, Document], int]

# Where a document's metadata may say which document it is, or is a chunk of.
_ID_KEYS = ("_id", "doc_id", "document_id", "docid", "parent_id", "passage_id")
_CHUNK = re.compile(r"(.+)#\d+", re.DOTALL)


def corpus_of(documents: Iterable[Any]) -> list[Document]:
    """Return the documents that can be found.

    Raises:
        InputTypeError: They are no documents, or not in an order.
    """
    found = listed(documents, "corpus", "documents")
    wrong = next((one for one in found if not isinstance(one, Document)), None)
    if wrong is not None:
        raise InputTypeError(f"corpus has {shown(wrong)}; LangChain documents were expected.")
    return found


@dataclass(frozen=True)
class LabelReading:
    """How labels are read; the attributes are those of `Relevance`."""

    rule: Literal["auto"] | Rule | Grader = "auto"
    chunks: ChunkPolicy = "occupy"
    normalize: Callable[[str], str] = str
    source_key: str = "source"
    id_key: str | None = None
    corpus: Sequence[Document] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.rule) and not is_one_of(self.rule, ("auto", *RULES)):
            raise ConfigurationError(
                f"relevance={self.rule!r} is no rule; expected 'auto', a callable or one of "
                f"{', '.join(RULES)}."
            )
        if not is_one_of(self.chunks, get_args(ChunkPolicy)):
            raise ConfigurationError(
                f"chunks={self.chunks!r}; expected 'occupy', 'chunk' or 'collapse'."
            )
        check_fits("normalize", self.normalize, callable(self.normalize), "a function of a source")
        for name in ("source_key", "id_key"):
            held = getattr(self, name)
            fits = isinstance(held, str) or (held is None and name == "id_key")
            check_fits(name, held, fits, "a metadata key")
        if self.corpus is not None:
            object.__setattr__(self, "corpus", corpus_of(self.corpus))

    def key(self, document: Document) -> str:
        """Return what identifies `document` in rankings and texts: its id, or a hash without one.

        Two chunks of what one label names are two documents.
        """
        if document.id is not None:
            return str(document.id)
        text = f"{document.metadata.get('source', '')}\n{document.page_content}"
        return f"text-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"

    def keyed(self, documents: Iterable[Document]) -> dict[str, Document]:
        """Return documents by `key`, in order; of those with one key, the first."""
        found: dict[str, Document] = {}
        for document in documents:
            found.setdefault(self.key(document), document)
        return found

    @cached_property
    def corpus_ids(self) -> frozenset[str]:
        """What the documents of `corpus` are called."""
        return frozenset(map(self.own_id, self.corpus or ()))

    def own_id(self, document: Document) -> str:
        """Return what `document` says first that it is called."""
        held = None if self.id_key is None else read_id(document.metadata.get(self.id_key))
        return self.key(document) if held is None else held

    def names(self, document: Document, taken: Container[str] = ()) -> Iterator[str]:
        """Yield the ids by which a label may name `document`, its own first.

        What other documents are called (`taken`) is no name of this one.
        """
        own = self.own_id(document)
        yield from _with_whole(own)
        if self.id_key is not None:
            others: list[object] = [self.key(document)]
        else:
            keys = _ID_KEYS if document.id is not None else ("id", *_ID_KEYS)
            others = [document.metadata.get(key) for key in (*keys, self.source_key)]
        yield from (name for one in others for name in _with_whole(one) if name not in taken)

    def rule_for(self, record: Record) -> Rule | Grader | None:
        """Return the rule that judges `record`; None where it has no label for it."""
        if callable(self.rule):
            return self.rule
        rules = RULES if self.rule == "auto" else (self.rule,)
        return next((rule for rule in rules if _labels(record, rule)), None)

    def source(self, document: Document) -> str | None:
        """Return the source of a document as it is compared; None where it has none."""
        source = document.metadata.get(self.source_key)
        return None if source is None else self.normalize(read_id(source) or str(source))

    def wanted(self, rule: Rule, record: Record) -> list[str]:
        """Return the ids or the sources that a record asks for by a rule about these."""
        if rule == "expected_source":
            return [self.normalize(one) for one in record.expected_source]
        if rule == "qrels":
            return [one for one, grade in record.qrels.items() if grade > 0]
        return list(record.reference_context_ids)


def _labels(record: Record, rule: Rule) -> bool:
    """Return whether a record has something for a rule; a blank passage is in every text."""
    found = getattr(record, rule)
    return bool(found.strip() if isinstance(found, str) else found)


def _with_whole(held: object) -> Iterator[str]:
    """Yield an id, and that of the document that it is a chunk of by our own way to number them."""
    name = read_id(held)
    if name is not None:
        yield name
        whole = _CHUNK.fullmatch(name)
        if whole is not None:
            yield whole[1]
