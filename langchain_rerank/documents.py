"""Documents in and out: the text that is scored, copies with new metadata."""

from __future__ import annotations

import copy
import itertools
import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.documents import Document

from langchain_rerank import ranking
from langchain_rerank.checks import real_number, shown
from langchain_rerank.errors import InputError

RELEVANCE_SCORE = "relevance_score"
FIRST_STAGE_SCORE = "first_stage_score"
DENSE_SCORE = "dense_score"
FIRST_STAGE_RANK = "first_stage_rank"
RERANK_RANK = "rerank_rank"
BEST_PASSAGE = "best_passage"
INTERPOLATED_SCORE = "interpolated_score"

_FROM_RERANKING = frozenset(
    {RELEVANCE_SCORE, FIRST_STAGE_RANK, RERANK_RANK, BEST_PASSAGE, INTERPOLATED_SCORE}
)
_FROM_A_QUERY = _FROM_RERANKING | {FIRST_STAGE_SCORE, DENSE_SCORE}

_IMMUTABLE = (str, int, float, bool, bytes, type(None))


class Place(NamedTuple):
    """Where a document stood among those of one search."""

    search: uuid.UUID
    rank: int


class OwnMetadata(dict[str, Any]):
    """Metadata of a document that a query found: what the query gave it is no part of equality.

    The same document of two queries differs in scores and ranks alone, and whoever joins results
    by equality (LangChain's MultiQueryRetriever) takes two that differ for two documents. Beside
    any other dictionary it is compared like one, scores and all.
    """

    place: Place | None = None
    """Where the first stage that gave the score found the document; None where that is unknown."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OwnMetadata):
            return isinstance(other, dict) and dict(self) == other
        return metadata_without_scores(self) == metadata_without_scores(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # as of any dictionary


def metadata_without_scores(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return `metadata` but for what a first stage or a reranker wrote there."""
    return {key: value for key, value in metadata.items() if key not in _FROM_A_QUERY}


def own_copy(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of `metadata` down to nested lists and dictionaries, so that nothing is shared.

    What cannot be copied (an open file, a lock) stays the same object. None counts as empty.
    """
    copied = {}
    for key, value in (metadata or {}).items():
        try:
            copied[key] = value if isinstance(value, _IMMUTABLE) else copy.deepcopy(value)
        except Exception:  # noqa: BLE001  # a user's object may refuse with anything
            copied[key] = value
    return copied


def ranked_copy(document: Document, ranked: Mapping[str, Any]) -> Document:
    """Return a copy of `document` with the metadata that reranking gave it.

    What an earlier reranking left there is dropped: a stale score is worse than none.
    """
    metadata = own_copy(document.metadata)
    kept = {key: value for key, value in metadata.items() if key not in _FROM_RERANKING}
    return _with(document, OwnMetadata(kept, **ranked), _place(document))


def with_metadata(document: Document, extra: Mapping[str, Any]) -> Document:
    """Return a copy of `document` that keeps its id, its type and its metadata, plus `extra`."""
    return _with(document, OwnMetadata(own_copy(document.metadata), **extra), _place(document))


def with_scores(
    documents: Sequence[Document], scores: Sequence[float | None], key: str = FIRST_STAGE_SCORE
) -> list[Document]:
    """Return copies of what one search found, with their scores, which are known to be its own.

    Args:
        documents: `(n,)` documents, best first.
        scores: `(n,)` their scores, higher for better; None for one without.
        key: Where the score stands in the metadata.
    """
    search = uuid.uuid4()
    return [
        _with(
            document,
            OwnMetadata(own_copy(document.metadata), **({} if score is None else {key: score})),
            Place(search, rank),
        )
        for rank, (document, score) in enumerate(zip(documents, scores, strict=True), start=1)
    ]


def without_scores(document: Document) -> Document:
    """Return a copy of `document` without the scores of a first stage."""
    metadata = own_copy(document.metadata)
    kept = {k: v for k, v in metadata.items() if k not in {FIRST_STAGE_SCORE, DENSE_SCORE}}
    return _with(document, OwnMetadata(kept), None)


def _with(document: Document, metadata: OwnMetadata, place: Place | None) -> Document:
    if place is not None:
        metadata.place = place
    # A subclass may have fields of its own, whose lists are the corpus's as well.
    fields = {**document.__dict__, **(document.__pydantic_extra__ or {})}
    own = own_copy({key: fields[key] for key in fields.keys() - Document.model_fields.keys()})
    return document.model_copy(update={**own, "metadata": metadata})


def _place(document: Document) -> Place | None:
    return getattr(document.metadata, "place", None)


def of_one_search(documents: Sequence[Document]) -> bool:
    """Return whether the scores of `documents` are those of one search, and gave this order.

    An ensemble passes on the scores of its members, each on a scale of its own. Where each document
    stood is known of those that a first stage of this package found; of others the order shows it.
    What a reranker ordered since is still one search.

    Args:
        documents: `(n,)` documents, best first.
    """
    places = [_place(document) for document in documents]
    known = [place for place in places if place is not None]
    if not known:
        return _fall(documents)
    reranked = all(RELEVANCE_SCORE in (document.metadata or {}) for document in documents)
    ranks = [place.rank for place in known]
    return (
        len(known) == len(places)
        and len({place.search for place in known}) == 1
        and (reranked or ranks == sorted(ranks))
    )


def of_one_scale(documents: Sequence[Document]) -> list[Document]:
    """Return `documents`, without the first stage's scores where those are of several searches."""
    return list(documents) if of_one_search(documents) else [*map(without_scores, documents)]


def _fall(documents: Sequence[Document]) -> bool:
    """Return whether the first stage's scores, where there are any, fall."""
    scores = [score for score in map(first_stage_score, documents) if score is not None]
    return all(
        after <= before or math.isclose(after, before)
        for before, after in itertools.pairwise(scores)
    )


def first_stage_score(document: Document) -> float | None:
    """Return the score that the first stage left in the metadata, or None if it is no number."""
    return _number(document, FIRST_STAGE_SCORE)


def dense_score(document: Document) -> float | None:
    """Return the score of a hybrid's embeddings in the metadata, or None if it is no number."""
    return _number(document, DENSE_SCORE)


def _number(document: Document, key: str) -> float | None:
    score = real_number((document.metadata or {}).get(key))
    return score if score is not None and math.isfinite(score) else None


def scored_text(document: Document, metadata_fields: Sequence[str] = ()) -> str:
    """Return what the scorer reads: the metadata fields that are there, then the text, by line.

    Raises:
        InputError: A value refuses to become a text.

    Examples:
        >>> scored_text(Document("Ranks.", metadata={"title": "LoRA"}), ["title"]).splitlines()
        ['LoRA', 'Ranks.']
    """
    values = ((field, (document.metadata or {}).get(field)) for field in metadata_fields)
    said = [_as_text(value, field, document) for field, value in values if not is_missing(value)]
    return "\n".join([*said, document.page_content])


def _as_text(value: object, field: str, document: Document) -> str:
    try:
        return str(value)
    except Exception as error:
        # A number of thousands of digits, nesting without end, or a user's object refuses.
        raise InputError(
            f"The metadata {field!r} of the document {document.id!r} cannot be read as text "
            f"({type(error).__name__}: {shown(value)}): make a text of it, or leave {field!r} out "
            f"of metadata_fields."
        ) from error


def is_missing(value: object) -> bool:
    """Return whether `value` stands for no value: None, and what pandas and NumPy have for it.

    Examples:
        >>> [is_missing(value) for value in (None, float("nan"), 0, "nan", [])]
        [True, True, False, False, False]
    """
    if value is None or type(value).__name__ == "NAType":  # pandas.NA, which equals nothing
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - as NaN and NaT alone do
    except Exception:  # noqa: BLE001 - an array, a signalling Decimal, or a user's object
        return False


def rank_documents(
    candidates: Sequence[Document],
    scores: Sequence[float],
    *,
    top_n: int | None = None,
    score_threshold: float | None = None,
    first_stage_weight: float = 0.0,
) -> list[Document]:
    """Return copies of the best candidates, best first, with scores and ranks in their metadata.

    Args:
        candidates: `(n,)` documents in first-stage order.
        scores: `(n,)` relevance scores; ties keep first-stage order.
        top_n: How many to return at most; None returns all.
        score_threshold: The lowest relevance score that is returned (inclusive).
        first_stage_weight: Share of the first stage in the order, 0 to 1: of what `scores_to_mix`
            finds.
    """
    extras: list[dict[str, Any]] = [
        {RELEVANCE_SCORE: score, FIRST_STAGE_RANK: rank}
        for rank, score in enumerate(scores, start=1)
    ]
    for extra, passage in zip(extras, getattr(scores, "best_passages", None) or (), strict=False):
        if passage is not None:
            extra[BEST_PASSAGE] = passage.text
    keys, shown = list(scores), of_one_scale(candidates)
    if first_stage_weight > 0.0:
        keys = ranking.interpolate(keys, scores_to_mix(shown), first_stage_weight)
        for extra, key in zip(extras, keys, strict=True):
            extra[INTERPOLATED_SCORE] = key
    kept = [
        position
        for position in ranking.order(keys)
        if score_threshold is None or scores[position] >= score_threshold
    ]
    return [
        ranked_copy(shown[position], {**extras[position], RERANK_RANK: rank})
        for rank, position in enumerate(kept[:top_n], start=1)
    ]


def scores_to_mix(candidates: Sequence[Document]) -> list[float] | None:
    """Return the first stage's scores that `first_stage_weight` mixes, or None for its ranks.

    Those of a hybrid's embeddings where all candidates have one, since they say more than fused
    ranks. Else the first stage's own, where all are known and are what ordered the candidates: an
    ensemble passes on scores of several scales, a reranker below those of its own first stage.

    Args:
        candidates: `(n,)` documents in first-stage order, as `of_one_scale` leaves them.
    """
    dense = [score for score in map(dense_score, candidates) if score is not None]
    if len(dense) == len(candidates):
        return dense
    scores = [score for score in map(first_stage_score, candidates) if score is not None]
    return scores if _fall(candidates) and len(scores) == len(candidates) else None
