"""What should have been retrieved: the labels of a record as ids and texts, for RAGAS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from langchain_core.documents import Document

from langchain_rerank.evaluation.data.labels import corpus_of
from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.data.ragas_rows import RagasRow
from langchain_rerank.evaluation.data.relevance import Relevance


class Labels:
    """Makes RAGAS rows: what was retrieved beside what the labels of a record ask for.

    Where the label is an expected source, the ids of both sides are sources; else they are ids of
    documents.

    Args:
        relevance: What counts as a hit.
        corpus: The documents that can be retrieved. With them, an expected passage becomes the ids
            and the texts of the documents that have it, and a labelled id gets its text; without
            them, only ids and texts that the record itself has are known.
    """

    def __init__(self, relevance: Relevance, corpus: Iterable[Document] | None = None) -> None:
        self.relevance = relevance
        self._corpus = {} if corpus is None else relevance.keyed(corpus_of(corpus))
        self.corpus = list(self._corpus.values())

    def row(
        self, record: Record, documents: Iterable[Document], response: str | None = None
    ) -> RagasRow:
        """Return the RAGAS row of what was retrieved (best first, after the cut) and answered."""
        keyed = [(self.relevance.key(one), one) for one in documents]
        reference_ids, texts = self._reference(record)
        return RagasRow(
            user_input=record.question,
            retrieved_contexts=tuple(one.page_content for _, one in keyed),
            retrieved_context_ids=self._ids(record, keyed),
            reference=record.reference,
            reference_contexts=record.reference_contexts or texts or None,
            reference_context_ids=reference_ids or None,
            response=response,
            query_id=record.id,
        )

    def _ids(self, record: Record, keyed: Sequence[tuple[str, Document]]) -> tuple[str, ...] | None:
        rule, keys = self.relevance.rule_for(record), tuple(key for key, _ in keyed)
        if rule not in {"expected_source", "qrels", "reference_context_ids"}:
            return keys
        id_key, source_key = self.relevance.id_key, self.relevance.source_key
        if rule == "expected_source":
            held = [one.metadata.get(source_key) for _, one in keyed]
        else:
            held = [one.metadata.get(id_key) if id_key else one.id for _, one in keyed]
        units = self.relevance.judge(record, dict(keyed)).units
        met = any(
            unit in record.qrels or unit in record.reference_context_ids for unit in units.values()
        )
        # What no document says about itself cannot be compared: unknown, which is not 0.
        unknown = keyed and not met and all(one is None for one in held)
        return None if unknown else tuple(units[key] for key in keys)

    def _reference(self, record: Record) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the ids that answer a record, and their texts, as far as they are known."""
        rule = self.relevance.rule_for(record)
        if rule in {"qrels", "reference_context_ids", "expected_source"}:
            found = self.relevance.judge(record, {}).qrels
        elif rule is not None:
            judgement = self.relevance.judge(record, self._corpus)
            found = {key: judgement.qrels.get(unit, 0) for key, unit in judgement.units.items()}
        else:
            found = {}
        ids = tuple(key for key, grade in found.items() if grade > 0)
        # Of a document that the corpus has not, nobody knows the text.
        named: dict[str, str] = {}
        for one in self.corpus if ids else ():
            for name in self.relevance.names(one):
                named.setdefault(name, one.page_content)
        return ids, tuple(named[one] for one in ids if one in named)
