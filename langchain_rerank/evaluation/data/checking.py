"""Whether labels and documents name the same things, before anything is concluded from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from langchain_core.documents import Document

from langchain_rerank.errors import ConfigurationError, see
from langchain_rerank.evaluation.data.datasets import Record
from langchain_rerank.evaluation.data.unmatched import Label, Unmatched, described

if TYPE_CHECKING:
    from langchain_rerank.evaluation.data.relevance import Relevance, Rule

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


def check(relevance: Relevance, judged: Judged) -> list[str]:
    """Return what `Relevance.check` returns."""
    documents = [one for _, found in judged for one in found]
    if not documents:
        return []
    _check_keys(relevance, [one for one, _ in judged], documents)
    found = unmatched(relevance, judged)
    if found is not None and found.all:
        raise ConfigurationError(
            f"No label belongs to a document, so every measure would be 0 whatever the systems do. "
            f"{found.message} Correct the labels, or say what they name with "
            f"Relevance(rule=..., id_key=..., source_key=...). {see('labels-that-match-nothing')}"
        )
    return [found.message] if found else []


def unmatched(relevance: Relevance, judged: Judged) -> Unmatched | None:
    """Return what `Relevance.unmatched` returns."""
    if relevance.corpus is not None:
        documents, where = list(relevance.corpus), "of the corpus"
    else:
        documents = [one for _, found in judged for one in found]
        where = "that was returned for any question"
    rules = {relevance.rule_for(one) for one, _ in judged}
    ids = {name for one in documents for name in relevance.names(one)} if rules & _BY_ID else set()
    held = map(relevance.source, documents) if "expected_source" in rules else ()
    sources = {one for one in held if one is not None}
    missed: list[Label] = []
    total = 0
    for record, returned in judged:
        rule = relevance.rule_for(record)
        if rule is None or callable(rule):
            continue
        if rule in _BY_TEXT:
            labels = _texts(relevance, rule, record, returned)
        else:
            known = ids if rule in _BY_ID else sources
            labels = {one: one in known for one in relevance.wanted(rule, record)}
        total += len(labels)
        missed += [Label(record.id, _WHAT[rule], one) for one, hit in labels.items() if not hit]
    if not rules & {"expected_source", *_BY_ID}:
        where = "that was returned for their questions"
    return described(missed, total, ids | sources, where)


def _texts(
    relevance: Relevance, rule: Rule, record: Record, returned: Sequence[Document]
) -> dict[str, bool]:
    """Return for each text that a record asks for whether it was returned."""
    judgement = relevance.judge(record, relevance.keyed(returned))
    met = {judgement.qrels.get(unit, 0) > 0 for unit in judgement.units.values()}
    if rule == "expected_passage":
        return {record.expected_passage or "": True in met}
    units = set(judgement.units.values())
    return {unit: unit in units for unit in judgement.qrels}


def _check_keys(
    relevance: Relevance, records: Sequence[Record], documents: Sequence[Document]
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
