"""Whether what a stage found has scores of its own, or those of several searches, passed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableSequence

from langchain_rerank.base_retrievers.call_arguments import may_become
from langchain_rerank.base_retrievers.depth import FirstStage
from langchain_rerank.documents import of_one_scale, without_scores


def with_own_scores(stage: FirstStage, documents: Sequence[Document]) -> list[Document]:
    """Return `documents`, without the first stage's scores where those are not `stage`'s own.

    An ensemble hands on the score that each document has from one of its members: no scale, and
    not what ordered them.
    """
    if _merges(stage):
        return [without_scores(document) for document in documents]
    return of_one_scale(documents)


def _merges(stage: Any) -> bool:
    """Return whether `stage`, or what it asks, joins the results of several searches as they are.

    A hybrid of this package joins them too, and gives a score of its own.
    """
    if not isinstance(stage, BaseRetriever):
        parts = stage.steps if isinstance(stage, RunnableSequence) else may_become(stage) or ()
        return any(map(_merges, parts))
    fields = type(stage).model_fields
    if "fusion" in fields:
        return False
    members = getattr(stage, "retrievers", ()) if "retrievers" in fields else ()
    # A multi-query retriever lists what each of its queries found.
    if len(members) > 1 or "include_original" in fields:
        return True
    named = [getattr(stage, one) for one in ("base_retriever", "retriever") if one in fields]
    return any(_merges(one) for one in (*members, *named) if isinstance(one, Runnable))
