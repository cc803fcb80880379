"""Reciprocal rank fusion: several rankings into one, on plain keys and on documents.

Source: Cormack, Clarke, Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank
learning methods", SIGIR 2009, doi:10.1145/1571941.1572114.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from langchain_core.documents import Document

from langchain_rerank.documents import DENSE_SCORE, FIRST_STAGE_SCORE, dense_score, with_metadata
from langchain_rerank.errors import ConfigurationError

C = 60
"""The constant of the paper: how little the difference between the first ranks counts."""


class _Key(Protocol):
    """What can be hashed and ordered."""

    def __hash__(self) -> int: ...
    def __lt__(self, other: Any, /) -> bool: ...


K = TypeVar("K", bound=_Key)


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[K]], *, weights: Sequence[float] | None = None, c: float = C
) -> list[tuple[K, float]]:
    """Return every key with the sum of `weight / (c + rank)` over the rankings, best first.

    The result does not depend on the order of the rankings (each with its weight): sums are exact,
    and ties go by the best rank, then by the key.

    Args:
        rankings: Rankings of keys, best first; one that occurs twice in a ranking counts where it
            is first.
        weights: One per ranking, above 0; None for 1 each.
        c: At least 0; the larger, the less the first ranks stand out.

    Raises:
        ConfigurationError: Not one weight per ranking, one that is not above 0, or a negative `c`.

    Examples:
        >>> [key for key, _ in reciprocal_rank_fusion([["a", "b"], ["b", "c"]])]
        ['b', 'a', 'c']
        >>> reciprocal_rank_fusion([["a"], ["a"]], c=1)
        [('a', 1.0)]
    """
    weights = checked_weights(weights, len(rankings))
    if not (c >= 0 and math.isfinite(c)):
        raise ConfigurationError(f"c={c!r}: expected a number of at least 0 (60 is the default).")
    parts: defaultdict[K, list[float]] = defaultdict(list)
    best: dict[K, int] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, key in enumerate(dict.fromkeys(ranking), start=1):
            parts[key].append(weight / (c + rank))
            best[key] = min(rank, best.get(key, rank))
    # fsum rounds once, so that the order of the addends does not show.
    scores = {key: math.fsum(values) for key, values in parts.items()}
    return [(key, scores[key]) for key in sorted(scores, key=lambda k: (-scores[k], best[k], k))]


def checked_weights(weights: Sequence[float] | None, n: int) -> Sequence[float]:
    """Return one weight per ranking, or say what is wrong with them.

    Raises:
        ConfigurationError: Not `n` weights, or one that is not above 0.

    Examples:
        >>> checked_weights(None, 2)
        [1.0, 1.0]
    """
    if weights is None:
        return [1.0] * n
    if len(weights) != n:
        raise ConfigurationError(f"Got {len(weights)} weights for {n} rankings: one each.")
    if not all(weight > 0 and math.isfinite(weight) for weight in weights):
        raise ConfigurationError(
            f"weights={list(weights)!r}: expected numbers above 0. Leave out a ranking that is not "
            f"to count."
        )
    return weights


def fused_documents(
    rankings: Sequence[Sequence[Document]],
    *,
    weights: Sequence[float] | None = None,
    c: float = C,
) -> list[Document]:
    """Return copies of the documents, fused, with the score in `metadata["first_stage_score"]`.

    Documents are the same where their ids are. One without an id is the same as those without an
    id that have its text, and as one with an id where that id alone has its text. Different ids are
    never the same, whatever their texts. Of the same document, the copy that ranked best is kept;
    one with an id before one without.

    Where one ranking alone carries scores of embeddings (`metadata["dense_score"]`), every document
    keeps its own; those that are missing from that ranking get its lowest, which theirs cannot
    exceed. Scores of two rankings have no common scale, so they are left out.

    Args:
        rankings: Rankings of documents, best first.
        weights: One per ranking, above 0; None for 1 each.
        c: The constant of the fusion.

    Raises:
        ConfigurationError: As for `reciprocal_rank_fusion`.
    """
    keys = _keys(rankings)
    kept: dict[_DocumentKey, tuple[tuple[bool, int, str, str], Document]] = {}
    for ranking, ranking_keys in zip(rankings, keys, strict=True):
        for rank, (document, key) in enumerate(zip(ranking, ranking_keys, strict=True), start=1):
            # Stages may leave different metadata; what decides between them at the same rank must
            # not be the order of the stages.
            metadata = sorted(document.metadata.items(), key=lambda item: item[0])
            place = (document.id is None, rank, document.page_content, repr(metadata))
            if key not in kept or place < kept[key][0]:
                kept[key] = (place, document)
    dense = _dense_scores(rankings, keys)
    lowest = min(dense.values(), default=None)
    fused = []
    for key, score in reciprocal_rank_fusion(keys, weights=weights, c=c):
        document = with_metadata(kept[key][1], {FIRST_STAGE_SCORE: score})
        document.metadata.pop(DENSE_SCORE, None)  # of the copy, which is ours
        if lowest is not None:
            document.metadata[DENSE_SCORE] = dense.get(key, lowest)
        fused.append(document)
    return fused


_DocumentKey = tuple[str, str]


def _dense_scores(
    rankings: Sequence[Sequence[Document]], keys: Sequence[Sequence[_DocumentKey]]
) -> dict[_DocumentKey, float]:
    """Return the embeddings' scores by document where one ranking alone has them, else nothing."""
    found: list[dict[_DocumentKey, float]] = []
    for ranking, ranking_keys in zip(rankings, keys, strict=True):
        scores: dict[_DocumentKey, float] = {}
        for document, key in zip(ranking, ranking_keys, strict=True):
            score = dense_score(document)
            if score is not None:
                scores.setdefault(key, score)
        if scores:
            found.append(scores)
    return found[0] if len(found) == 1 else {}


def _keys(rankings: Sequence[Sequence[Document]]) -> list[list[_DocumentKey]]:
    """Return what identifies each document: ("id", its id) or ("text", its text)."""
    ids_with_text: defaultdict[str, set[str]] = defaultdict(set)
    for ranking in rankings:
        for document in ranking:
            if document.id is not None:
                ids_with_text[document.page_content].add(document.id)

    def key(document: Document) -> _DocumentKey:
        if document.id is not None:
            return ("id", document.id)
        ids = ids_with_text[document.page_content]
        return ("id", next(iter(ids))) if len(ids) == 1 else ("text", document.page_content)

    return [[key(document) for document in ranking] for ranking in rankings]
