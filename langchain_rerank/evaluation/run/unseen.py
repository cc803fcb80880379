"""Questions that a first stage cannot see: BM25 finds by terms, and some questions have none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_rerank.errors import see
from langchain_rerank.evaluation.data.questions import Record, some
from langchain_rerank.first_stage import BM25Retriever
from langchain_rerank.first_stage.terms import terms_of_query


def without_terms(retriever: Any, records: Sequence[Record]) -> list[str]:
    """Return a warning for each BM25 in `retriever` that finds no term in some questions.

    Such a question finds nothing there, whatever the documents say: in another script than the
    terms are made for, or where it is made of stop words only. A hybrid may have several.
    """
    warnings = []
    for bm25 in _bm25_in(retriever):
        cut = bm25.preprocess_func
        unseen = [one.id for one in records if not terms_of_query(cut, one.question)]
        if unseen:
            count = f"{len(unseen)} of {len(records)} questions ({some(unseen)})"
            warnings.append(
                f"BM25 finds no term in {count} and finds nothing for them. Give it the language "
                f"of the documents, or a preprocess_func that cuts them into terms. "
                f"{see('texts-without-terms')}"
            )
    return warnings


def _bm25_in(retriever: Any) -> Iterator[BM25Retriever]:
    if isinstance(retriever, BM25Retriever):
        yield retriever
    for part in getattr(retriever, "retrievers", None) or ():
        yield from _bm25_in(part)
