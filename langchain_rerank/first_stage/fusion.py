"""Several rankings into one, by reciprocal ranks or normalised scores, on keys and on documents.

Source: Cormack, Clarke, Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual rank
learning methods", SIGIR 2009, doi:10.1145/1571941.1572114, for ranks; Bruch, Gai, Ingber, "An
analysis of fusion functions for hybrid retrieval", TOIS 2023, doi:10.1145/3596512, for scores.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from langchain_core.documents import Document

from langchain_rerank.checks import listed, real_number, shown
from langchain_rerank.documents import (
    DENSE_SCORE,
    FIRST_STAGE_SCORE,
    dense_score,
    first_stage_score,
    with_scores,
)
from langchain_rerank.duplicates import key_of
from langchain_rerank.errors import ConfigurationError, InputTypeError

C = 60
"""The constant of the paper: how little the difference between the first ranks counts."""


class _Key(Protocol):
    """What can be hashed and ordered."""

    def __hash__(self) -> int: ...
    def __lt__(self, other: Any, /) -> bool: ...


K = TypeVar("K", bound=_Key)

Fusion: TypeAlias = Literal["ranks", "scores"]
"""By what rankings are fused: reciprocal ranks, or normalised scores."""


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[K]], *, weights: Sequence[float] | None = None, c: float = C
) -> list[tuple[K, float]]:
    """Return every key with the sum of `weight / (c + rank)` over the rankings, best first.

    The result does not depend on the order of the rankings (each with its weight): sums are exact,
    and ties go by the best rank, then by the key.

    Args:
        rankings: Rankings of keys, best first; one that occurs twice in a ranking counts where it
            is first.
        weights: One per ranking, at least 0; None for 1 each. What only rankings of weight 0 have
            is left out.
        c: At least 0; the larger, the less the first ranks stand out.

    Raises:
        ConfigurationError: Not one weight per ranking, a negative one or none above 0, or a
            negative `c`.

    Examples:
        >>> [key for key, _ in reciprocal_rank_fusion([["a", "b"], ["b", "c"]])]
        ['b', 'a', 'c']
        >>> reciprocal_rank_fusion([["a"], ["a"]], c=1)
        [('a', 1.0)]
    """
    rankings = _rankings(rankings)
    weights = checked_weights(weights, len(rankings))
    constant = real_number(c)
    if constant is None or not (constant >= 0 and math.isfinite(constant)):
        raise ConfigurationError(
            f"c={shown(c)}: expected a number of at least 0 (60 is the default)."
        )
    return _summed(
        [
            [
                (key, weight / (constant + rank))
                for rank, key in enumerate(dict.fromkeys(ranking), 1)
            ]
            for ranking, weight in zip(rankings, weights, strict=True)
            if weight
        ]
    )


def normalised_score_fusion(
    rankings: Sequence[Sequence[tuple[K, float]]], *, weights: Sequence[float] | None = None
) -> list[tuple[K, float]]:
    """Return every key with its weighted mean of normalised scores over the rankings, best first.

    The scores of a ranking are stretched so that its best is 1 and its last is 0; where all are
    equal they are 1. A key that is missing from a ranking has 0 there. Ties go by the best rank,
    then by the key, and the order of the rankings does not matter.

    Args:
        rankings: Rankings of keys with scores, best first, higher for better; a key that occurs
            twice in a ranking counts where it is first.
        weights: One per ranking, at least 0; None for 1 each. What only rankings of weight 0 have
            is left out.

    Raises:
        ConfigurationError: Not one weight per ranking, a negative one or none above 0.

    Examples:
        >>> normalised_score_fusion([[("a", 9.0), ("b", 7.0)], [("b", 0.5), ("c", 0.1)]])
        [('a', 0.5), ('b', 0.5), ('c', 0.0)]
    """
    weights = checked_weights(weights, len(rankings))
    total = math.fsum(weights)
    summands = []
    for ranking, weight in zip(rankings, weights, strict=True):
        first: dict[K, float] = {}
        for key, score in ranking if weight else ():
            first.setdefault(key, score)
        shares = normalised(list(first.values()))
        summands.append([(k, weight / total * s) for k, s in zip(first, shares, strict=True)])
    return _summed(summands)


def _rankings(rankings: Sequence[Sequence[K]]) -> list[list[K]]:
    several = [
        listed(ranking, f"rankings[{position}]", "keys")
        for position, ranking in enumerate(listed(rankings, "rankings", "rankings"))
    ]
    try:
        hash(tuple(map(tuple, several)))
    except TypeError as error:
        raise InputTypeError(f"The keys of rankings must be hashable: {error}.") from error
    return several


def normalised(scores: Sequence[float]) -> list[float]:
    """Return the scores stretched over 0 to 1; 1 for all where all are equal.

    Args:
        scores: `(n,)` finite numbers.

    Examples:
        >>> normalised([3.0, 1.0, 2.0])
        [1.0, 0.0, 0.5]
        >>> normalised([1e308, -1e308])
        [1.0, 0.0]
    """
    if not scores:
        return []
    low, high = min(scores), max(scores)
    if low == high:
        return [1.0] * len(scores)
    # The difference of two large numbers may be more than a float holds.
    scale = 0.5 if math.isinf(high - low) else 1.0
    span = high * scale - low * scale
    return [(score * scale - low * scale) / span for score in scores]


def _summed(rankings: Sequence[Sequence[tuple[K, float]]]) -> list[tuple[K, float]]:
    """Return each key with the sum of what the rankings give it, best first."""
    parts: defaultdict[K, list[float]] = defaultdict(list)
    best: dict[K, int] = {}
    for ranking in rankings:
        for rank, (key, part) in enumerate(ranking, start=1):
            parts[key].append(part)
            best[key] = min(rank, best.get(key, rank))
    # fsum rounds once, so that the order of the addends does not show.
    scores = {key: math.fsum(values) for key, values in parts.items()}
    try:
        ordered = sorted(scores, key=lambda k: (-scores[k], best[k], k))
    except TypeError:  # keys of several types
        ordered = sorted(scores, key=lambda k: (-scores[k], best[k], type(k).__name__, repr(k)))
    return [(key, scores[key]) for key in ordered]


def checked_weights(weights: Sequence[float] | None, n: int) -> list[float]:
    """Return one weight per ranking, or say what is wrong with them.

    Raises:
        ConfigurationError: Not `n` weights, a negative one, or none above 0.

    Examples:
        >>> checked_weights(None, 2)
        [1.0, 1.0]
    """
    if weights is None:
        return [1.0] * n
    given = listed(weights, "weights", "numbers")
    if len(given) != n:
        raise ConfigurationError(f"Got {len(given)} weights for {n} rankings: one each.")
    numbers = [number for number in map(real_number, given) if number is not None]
    usable = len(numbers) == n and min(numbers, default=0) >= 0 and math.isfinite(sum(numbers))
    if not usable or (n and not any(numbers)):
        raise ConfigurationError(
            f"weights={shown(given)}: expected numbers of at least 0, one of them above."
        )
    return numbers


def fused_documents(
    rankings: Sequence[Sequence[Document]],
    *,
    weights: Sequence[float] | None = None,
    c: float = C,
    fusion: Fusion = "ranks",
    id_key: str | None = None,
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
        weights: One per ranking, at least 0; None for 1 each.
        c: The constant of the fusion by ranks.
        fusion: "ranks" for reciprocal ranks, "scores" for normalised scores, which every document
            then has in `metadata["first_stage_score"]`.
        id_key: The metadata that tells documents apart, in place of their ids; those without it
            are told apart as above.

    Raises:
        ConfigurationError: As for `reciprocal_rank_fusion`, or a document without a score.
    """
    keyed = _keyed(rankings, id_key)
    kept: dict[_DocumentKey, tuple[tuple[bool, int, str, str], Document]] = {}
    for ranking in keyed:
        for rank, (key, document) in enumerate(ranking, start=1):
            # Stages may leave different metadata; what decides between them at the same rank must
            # not be the order of the stages.
            place = (not document.id, rank, document.page_content, _shown(document.metadata))
            if key not in kept or place < kept[key][0]:
                kept[key] = (place, document)
    dense = _dense_scores(keyed)
    lowest = min(dense.values(), default=None)
    ranked = (
        reciprocal_rank_fusion([[k for k, _ in one] for one in keyed], weights=weights, c=c)
        if fusion == "ranks"
        else normalised_score_fusion(_scored(keyed), weights=weights)
    )
    fused = with_scores([kept[key][1] for key, _ in ranked], [score for _, score in ranked])
    for (key, _), document in zip(ranked, fused, strict=True):
        document.metadata.pop(DENSE_SCORE, None)  # of the copy, which is ours
        if lowest is not None:
            document.metadata[DENSE_SCORE] = dense.get(key, lowest)
    return fused


_DocumentKey = tuple[str, str]
_Keyed = list[list[tuple[_DocumentKey, Document]]]


def _shown(metadata: Mapping[Any, Any]) -> str:
    try:
        return repr(sorted(metadata.items(), key=lambda item: (str(type(item[0])), str(item[0]))))
    except Exception:  # noqa: BLE001 - nested too deeply, or an object refuses
        return ""


def _scored(keyed: _Keyed) -> list[list[tuple[_DocumentKey, float]]]:
    scored: list[list[tuple[_DocumentKey, float]]] = []
    for number, ranking in enumerate(keyed, start=1):
        scored.append([])
        for key, document in ranking:
            score = first_stage_score(document)
            if score is None:
                raise ConfigurationError(
                    f"Stage {number} gave no finite number as first_stage_score (but "
                    f"{document.metadata.get(FIRST_STAGE_SCORE)!r:.80}) with the document "
                    f"{document.id!r}, or scores that do not fall as its ranks do, so they cannot "
                    f"be fused. Use BM25Retriever or DenseRetriever, which give scores, or "
                    f"fusion='ranks'."
                )
            scored[-1].append((key, score))
    return scored


def _dense_scores(keyed: _Keyed) -> dict[_DocumentKey, float]:
    """Return the embeddings' scores by document where one ranking alone has them, else nothing."""
    found: list[dict[_DocumentKey, float]] = []
    for ranking in keyed:
        scores: dict[_DocumentKey, float] = {}
        for key, document in ranking:
            if (score := dense_score(document)) is not None:
                scores.setdefault(key, score)
        if scores:
            found.append(scores)
    return found[0] if len(found) == 1 else {}


def _keyed(rankings: Sequence[Sequence[Document]], id_key: str | None) -> _Keyed:
    """Return each document after what identifies it: metadata of `id_key`, its id, or its text."""
    ids_with_text: defaultdict[str, set[str]] = defaultdict(set)
    for ranking in rankings:
        for document in ranking:
            if document.id:
                ids_with_text[document.page_content].add(document.id)

    def key(document: Document) -> _DocumentKey:
        if (own := key_of(document, id_key)) is not None:
            return own
        if document.id:
            return ("id", document.id)
        ids = ids_with_text[document.page_content]
        return ("id", next(iter(ids))) if len(ids) == 1 else ("text", document.page_content)

    return [[(key(document), document) for document in ranking] for ranking in rankings]
