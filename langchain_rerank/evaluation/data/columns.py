"""Columns by the names that other programs give them, as the keys of a record."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from langchain_rerank.evaluation.data.values import TEXT_KEYS, dumped, is_there
from langchain_rerank.evaluation.data.written import opened
from langchain_rerank.reading.names import normal

# What may answer or not: a label only where a grade beside it says which.
_JUDGED_IDS = ("pid", "docno", "doc_no", "product_id")
JUDGED_TEXTS = (
    *("passages", "passage", "paragraphs", "paragraph", "documents", "document", "docs", "doc"),
    *("candidates", "candidate", "passage_text", "document_text", "doc_text", "product_text"),
)
# What each key of a record is called elsewhere: BEIR and MTEB, RAGAS, LangSmith, SQuAD, TREC.
# Inputs and outputs are compared as `_plain` has them.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "id": ("_id", "query_id", "question_id", "qid", "q_id", "topic_id", "uuid"),
    "question": (
        *("query", "user_input", "inputs_question", "inputs_query", "inputs_input", "input"),
        *("inputs", "prompt", "text", "q", "questions", "question_text", "query_text", "claim"),
        *("anchor", "user_query", "search_query", "inputs_messages", "messages"),
    ),
    "reference": (
        *("references", "ground_truth", "ground_truths", "reference_answer", "expected_answer"),
        *("answer", "answers", "expected_output", "expected_response", "reference_output"),
        *("outputs_answer", "outputs_output", "outputs_reference", "output", "outputs", "ideal"),
        *("gold_answer", "correct_answer", "short_answer", "short_answers", "target", "expected"),
    ),
    "reference_context_ids": (
        *("relevant_ids", "relevant_doc_ids", "relevant_docs", "gold_ids", "positive_ids"),
        *("gold_doc_ids", "expected_ids", "ground_truth_ids", "answer_pids", "retrieval_gt"),
        *("doc_ids", "doc_id", "document_id", "docid", "passage_id", "corpus_id"),
        *_JUDGED_IDS,
    ),
    "reference_contexts": (
        *("reference_context", "ground_truth_contexts", "gold_contexts", "gold_context"),
        *("supporting_contexts", "positive_passages", "positive_ctxs", "positives", "positive"),
        *("relevant_passages", "relevant_contexts", "gold_passages", "ground_truth_documents"),
        *("long_answer", "pos", "expected_chunks", "context"),
        *JUDGED_TEXTS,
    ),
    "expected_source": ("expected_sources", "source_document", "source_file", "sources", "source"),
    "tags": ("tag",),
}
LABELS = (
    *("qrels", "reference_context_ids", "expected_passage", "expected_source"),
    "reference_contexts",
)
# Names that many tables use for other things: read as labels only where nothing else is one.
_WEAK = {"source", "sources", "source_file", "context", "doc_id", "document_id", "docid"}
_JUDGED = {*_JUDGED_IDS, *JUDGED_TEXTS}
_WEAK |= {"positive", "pos", *_JUDGED}
SURE_GRADES = {
    *("relevance", "rel", "grade", "judgment", "judgement", "relevancy", "qrel", "esci_label"),
    *("is_relevant", "is_selected", "is_supporting", "gain"),
}
# Beside these what is called so of retrieval, of classes: numbers or words of a scale only.
GRADES = SURE_GRADES | {
    *("score", "scores", "label", "labels", "relevant", "rating", "relevance_score"),
    *("relevance_label", "relevance_grade", "relevance_suggestion"),
}
_OUTPUT = re.compile(r"^((reference|expected)_)?outputs?_")
SURE_LABELS = {name for key in LABELS for name in (key, *SYNONYMS.get(key, ()))} - _WEAK
_QUESTIONS = {"question", *SYNONYMS["question"]}
_NESTED = {"inputs", "outputs", "input", "output", "reference_outputs", "expected"}
_NESTED |= {"expected_output"}
# What RAGAS, the viewer of data sets, promptfoo, Argilla and Label Studio wrap a row in.
_WRAPS = ("eval_sample", "row", "vars", "fields", "data")


@lru_cache(maxsize=4_096)
def _plain(name: str) -> str:
    """Return a name as `SYNONYMS` has it: what is in inputs or outputs under one name for each."""
    return _OUTPUT.sub("outputs_", re.sub(r"^input_", "inputs_", normal(name)))


def holds_question(name: str) -> bool:
    """Return whether a column of this name may hold the question."""
    return _plain(name) in _QUESTIONS


def is_weak(name: str) -> bool:
    """Return whether a column of this name may hold other things than labels."""
    return _plain(name) in _WEAK


def asks(value: Any) -> bool:
    """Return whether a value is an object with a question in it: LangSmith's `inputs`, say."""
    return isinstance(value, Mapping) and any(holds_question(str(key)) for key in value)


def mapping(names: Iterable[str], known: Iterable[str], *, judged: bool = False) -> dict[str, str]:
    """Return the key of a record for each column that may be one, by the column's name.

    A column that is called as one of the `known` keys goes before its synonyms, and these before
    one another in the order of `SYNONYMS`: `chosen` takes the first that a row has. What is left
    over is no key. Names of what may answer or not (`passage`, `docs`) are keys where `judged`.

    Examples:
        >>> mapping(["user_input", "reference", "persona"], ["question", "reference"])
        {'reference': 'reference', 'user_input': 'question'}
    """
    by_name: dict[str, list[str]] = {}
    for name in names:
        plain = _plain(name)
        # LangSmith keeps labels among expected outputs.
        inside = plain.removeprefix("outputs_").removeprefix("expected_")
        by_name.setdefault(inside if inside in SURE_LABELS else plain, []).append(name)
    if {"contexts", "evolution_type"} <= by_name.keys():
        # Of RAGAS 0.1, a test set: elsewhere they are what a system retrieved.
        by_name["reference_contexts"] = by_name.pop("contexts")
    if judged and "text" in by_name and len(_QUESTIONS & by_name.keys()) > 1:
        by_name["passage_text"] = by_name.pop("text")
    found = {one: key for key in known for one in by_name.get(key, ())}
    for key, synonyms in SYNONYMS.items():
        labelled = any(label in found.values() for label in LABELS)
        free = [
            name
            for one in synonyms
            if not (labelled and one in _WEAK)
            if judged or one not in _JUDGED
            # Beside the key itself, a name that is nearly the same is a misspelling.
            if not (key in by_name and nearest(one, [key]))
            for name in by_name.get(one, ())
            if name not in found
        ]
        if key == "reference":  # what a system answered is no reference where that is missing
            free = [] if key in found.values() else free[:1]
        if key in known:
            found.update(dict.fromkeys(free, key))
    return found


def chosen(row: Mapping[str, Any], keys: Mapping[str, str]) -> dict[str, str]:
    """Return the column of each key in a row: the first that says something there.

    A row that has an empty question has that question, whatever else is called like one.

    Examples:
        >>> names = ["question", "relevant_ids", "gold_ids"]
        >>> keys = mapping(names, ["question", "reference_context_ids"])
        >>> chosen({"question": "Why?", "relevant_ids": None, "gold_ids": ["a"]}, keys)
        {'question': 'question', 'reference_context_ids': 'gold_ids'}
    """
    found: dict[str, str] = {}
    for name, key in keys.items():
        if name in row and (key == "question" or is_there(row[name])):
            found.setdefault(key, name)
    return found


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the key that `name` is most likely a misspelling of, or None.

    Examples:
        >>> nearest("expected_sorce", ["expected_source", "tags"]), nearest("colour", ["tags"])
        ('expected_source', None)
    """
    close = difflib.get_close_matches(normal(name), list(known), n=1, cutoff=0.88)
    return close[0] if close else None


def spoken(rows: Iterable[Any], keys: Mapping[str, str], grades: str | None) -> str | None:
    """Return a sentence on columns that were read under another name, and on labels that are none.

    None where there is nothing to say.
    """
    held = [row for row in rows if isinstance(row, Mapping)]
    used = {name for row in held for name in chosen(row, keys).values()}
    read = [f"{one!r} as {key}" for one, key in keys.items() if one in used and normal(one) != key]
    if grades is not None:
        read.append(f"{grades!r} as the grade of each")
    known = {*used, grades, "metadata"}
    others = dict.fromkeys(one for row in held for one in row if one not in known)
    labelled = any(key in LABELS for name, key in keys.items() if name in used)
    # Of a misspelt label, its record says so itself.
    unlabelled = bool(others) and not labelled and not any(nearest(one, LABELS) for one in others)
    if not read and not unlabelled:
        return None
    said = [f"read {', '.join(read)}"] if read else []
    said += [f"kept as metadata: {', '.join(map(repr, others))}"] if others else []
    said += [f"no column is called as labels are ({', '.join(LABELS)})"] if unlabelled else []
    return "; ".join(said)


def flattened(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a row with the parts of nested inputs and outputs, as LangSmith has them, on top.

    Examples:
        >>> flattened({"inputs": {"question": "Why?"}, "outputs": "{'answer': 'So.'}"})
        {'inputs_question': 'Why?', 'outputs_answer': 'So.'}
        >>> flattened({"vars": {"query": "Why?"}, ("scores", "mean"): 2})
        {'scores.mean': 2, 'query': 'Why?'}
    """
    found: dict[str, Any] = {}
    for key, value in _opened(row).items():
        nested = normal(str(key)) in _NESTED
        # As LangSmith, or pandas, writes it into a cell.
        written = nested and isinstance(value, str) and value.startswith("{")
        inside = opened(value) if written else value
        if nested and isinstance(inside, Mapping) and not set(inside) <= {*TEXT_KEYS}:
            found.update({f"{key}_{inner}": one for inner, one in inside.items()})
        else:  # a header of several lines makes tuples
            several = key if isinstance(key, tuple) else (key,)
            found[".".join(filter(None, map(str, several)))] = inside
    return found


def _opened(row: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return a row with the parts of what wraps the question in it on top."""
    for key in () if asks(row) else _WRAPS:
        inside = dumped(row.get(key))
        if asks(inside):
            rest = {name: one for name, one in row.items() if name != key}
            return {**rest, **_annotated(row), **inside}
    return row


def _annotated(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what was said of a row in Argilla or Label Studio, by what it was said about."""
    said: dict[str, list[Any]] = {}
    for held in (row.get("suggestions"), row.get("responses")):  # people go before models
        for name, one in held.items() if isinstance(held, Mapping) else ():
            said[str(name)] = [answer.get("value") for answer in _objects(one)]
    for one in _objects(row.get("annotations")):
        for result in _objects(one.get("result")):
            for value in _objects(result.get("value")):
                chose = value.get("choices")
                one_of = chose[0] if isinstance(chose, list) and len(chose) == 1 else chose
                said.setdefault(str(result.get("from_name")), []).append(one_of)
    # What several people said otherwise is no one grade, which is said where the row is read.
    return {
        key: one[0] if one.count(one[0]) == len(one) else one for key, one in said.items() if one
    }


def _objects(value: Any) -> list[Mapping[Any, Any]]:
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if isinstance(one, Mapping)]
