"""Rows that hold several passages, of which some answer: MS MARCO's, MuSiQue's, HotpotQA's."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from langchain_rerank.errors import InputTypeError
from langchain_rerank.evaluation.data.columns import GRADES, JUDGED_TEXTS, SURE_LABELS, SYNONYMS
from langchain_rerank.evaluation.data.graded import several
from langchain_rerank.evaluation.data.values import TEXT_KEYS, plain_value, read_text
from langchain_rerank.reading.names import normal

_HOLDERS = {*JUDGED_TEXTS, "context", "ratings", "judgments", "judgements", "qrels"}
_FLAGS = GRADES - {"score", "scores", "relevance_score"}  # those are what a system gave
_IDS = ("_id", "id", *SYNONYMS["reference_context_ids"])


def unfolded(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row with two columns for its passages: texts, or ids, and what it says of each.

    Examples:
        >>> unfolded({"passages": {"is_selected": [0, 1], "passage_text": ["a", "b"]}})
        {'passages': ['a', 'b'], 'is_selected': [0, 1]}
        >>> unfolded({"ratings": [{"doc_id": 7, "rating": 2}]})
        {'reference_context_ids': [7], 'rating': [2]}
    """
    names = {normal(key): key for key in row}
    if SURE_LABELS & names.keys() - {"qrels"}:
        return row
    for holder in (one for one in names if one in _HOLDERS):
        parts = _parts(row[names[holder]])
        if "sentences" in parts and "supporting_facts" in names:
            parts = _of_facts(parts, _parts(row[names["supporting_facts"]]))
        flag = next((one for one in parts if one in _FLAGS), None)
        texts = next((parts[one] for one in TEXT_KEYS if one in parts), None)
        ids = next((parts[one] for one in _IDS if one in parts), None)
        if flag is not None and (texts or ids):
            rest = {key: one for key, one in row.items() if key != names[holder]}
            column = names[holder] if holder in SYNONYMS["reference_contexts"] else "passages"
            held = {column: texts} if texts else {"reference_context_ids": ids}
            return {**rest, **held, flag: parts[flag]}
    return row


def _parts(value: Any) -> dict[str, list[Any]]:
    """Return what several objects have under each key, or one object of lists; else nothing."""
    held = several(value)
    if held and all(isinstance(one, list) and len(one) == 2 for one in held):
        held = [{"title": title, "sentences": inside} for title, inside in held]
    if not held or not all(isinstance(one, Mapping) for one in held):
        return {}
    keys = dict.fromkeys(key for one in held for key in one)
    parts = {normal(str(key)): [plain_value(one.get(key)) for one in held] for key in keys}
    if len(held) > 1 or isinstance(value, (list, tuple)):
        return parts
    lists = {key: one for key, (one,) in parts.items() if isinstance(one, list)}
    return lists if len(set(map(len, lists.values()))) == 1 else {}


def _of_facts(
    parts: Mapping[str, list[Any]], facts: Mapping[str, list[Any]]
) -> dict[str, list[Any]]:
    """Return HotpotQA's paragraphs as texts, and which of them a fact is in.

    Without a paragraph that a fact names, they are no labels: what answers is not among them.
    """
    with suppress(InputTypeError):  # of what is no text, its reader says so
        titles = list(map(read_text, parts.get("title", [])))
        named = set(map(read_text, facts.get("title", [])))
        texts = [" ".join(map(read_text, several(plain_value(one)))) for one in parts["sentences"]]
        if named <= set(titles):
            return {"text": texts, "is_supporting": [one in named for one in titles]}
    return {}
