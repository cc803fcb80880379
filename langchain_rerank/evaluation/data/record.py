"""One question, with what is known about its answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Record:
    """One question.

    Attributes:
        id: Names the query in every report and TREC file; unique within a data set.
        question: What is asked.
        reference: The reference answer.
        expected_source: The values of `metadata["source"]` that answer it; any of them is relevant.
        reference_context_ids: Ids of the documents that answer it.
        qrels: Grade by document id; 0 and less mean judged and not relevant.
        reference_contexts: Texts that answer it.
        expected_passage: A text that a relevant document contains, in one of `expected_source`
            where that is given.
        tags: Labels to group by.
        metadata: What else its row has.
        problem: Why the record cannot be used; None where it can.
    """

    id: str
    question: str
    reference: str | None = None
    expected_source: tuple[str, ...] = ()
    reference_context_ids: tuple[str, ...] = ()
    qrels: dict[str, int] = field(default_factory=dict)
    reference_contexts: tuple[str, ...] = ()
    expected_passage: str | None = None
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
