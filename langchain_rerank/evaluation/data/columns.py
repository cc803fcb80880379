"""Columns by the names that other programs give them, as the keys of a record."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from langchain_rerank.errors import InputTypeError
from langchain_rerank.evaluation.data.values import is_there, unwritten
from langchain_rerank.reading.names import normal

# What each key of a record is called elsewhere: BEIR and MTEB, RAGAS, LangSmith, SQuAD, TREC.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "id": ("_id", "query_id", "question_id", "qid", "uuid"),
    "question": (
        *("query", "user_input", "inputs_question", "input_question", "inputs_query"),
        *("input_query", "inputs_input", "input_input", "input", "inputs", "prompt", "text"),
        *("q", "questions", "question_text", "query_text", "claim"),
    ),
    "reference": (
        *("references", "ground_truth", "ground_truths", "reference_answer", "expected_answer"),
        *("answer", "answers", "expected_output", "reference_output", "outputs_answer"),
        *("output_answer", "outputs_output", "output_output", "outputs_reference", "output"),
        *("outputs", "ideal", "target"),
    ),
    "reference_context_ids": (
        *("relevant_ids", "relevant_doc_ids", "relevant_docs", "gold_ids", "positive_ids"),
        *("doc_ids", "doc_id", "document_id", "docid", "passage_id", "corpus_id"),
    ),
    "reference_contexts": (
        *("reference_context", "ground_truth_contexts", "gold_contexts", "gold_context"),
        *("supporting_contexts", "positive_passages", "positive_ctxs", "positives", "positive"),
        *("pos", "expected_chunks", "context"),
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
_WEAK |= {"positive", "pos"}
GRADES = {
    "score",
    "relevance",
    "rel",
    "grade",
    "label",
    "judgment",
    "judgement",
    "relevancy",
    "qrel",
}
_OUTPUT = re.compile(r"^(reference_)?outputs?_")
_SURE = {name for key in LABELS for name in (key, *SYNONYMS.get(key, ()))} - _WEAK
_QUESTIONS = {"question", *SYNONYMS["question"]}
_NESTED = {"inputs", "outputs", "input", "output", "reference_outputs"}


def holds_question(name: str) -> bool:
    """Return whether a column of this name may hold the question."""
    return normal(name) in _QUESTIONS


def mapping(names: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return the key of a record for each column that may be one, by the column's name.

    A column that is called as one of the `known` keys goes before its synonyms, and these before
    one another in the order of `SYNONYMS`: `chosen` takes the first that a row has. What is left
    over is no key.

    Examples:
        >>> mapping(["user_input", "reference", "persona"], ["question", "reference"])
        {'reference': 'reference', 'user_input': 'question'}
    """
    by_name: dict[str, list[str]] = {}
    for name in names:
        plain = normal(name)
        inside = _OUTPUT.sub("", plain)  # LangSmith keeps labels among the expected outputs
        plain = inside if inside in _SURE else plain
        by_name.setdefault(plain, []).append(name)
    found = {one: key for key in known for one in by_name.get(key, ())}
    for key, synonyms in SYNONYMS.items():
        labelled = any(label in found.values() for label in LABELS)
        free = [
            name
            for one in synonyms
            if not (labelled and one in _WEAK)
            # Beside the key itself, a name that is nearly the same is a misspelling.
            and not (key in by_name and nearest(one, [key]))
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

    Args:
        row: The row, of plain values.
        keys: What `mapping` returns.

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

    Args:
        rows: The rows, of plain values.
        keys: What `mapping` returns.
        grades: The column of grades, if any.
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


def flattened(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the parts of nested inputs and outputs, as LangSmith has them, on top.

    Examples:
        >>> flattened({"inputs": {"question": "Why?"}, "outputs": "{'answer': 'So.'}"})
        {'inputs_question': 'Why?', 'outputs_answer': 'So.'}
    """
    found: dict[str, Any] = {}
    for key, value in row.items():
        inside = value
        if key in _NESTED and isinstance(value, str) and value.startswith("{"):
            with suppress(InputTypeError):
                inside = unwritten(value)  # as LangSmith, or pandas, writes it into a cell
        if key in _NESTED and isinstance(inside, Mapping):
            found.update({f"{key}_{inner}": one for inner, one in inside.items()})
        else:
            found[str(key)] = value
    return found
