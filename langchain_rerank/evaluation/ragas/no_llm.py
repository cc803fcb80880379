"""RAGAS's context metrics that need no LLM, on plain rows, without importing ragas.

The values are RAGAS's own (0.4.3), to the last bit, wherever RAGAS gives a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from langchain_rerank.evaluation.data.ragas_rows import RagasRow
from langchain_rerank.optional import require

_THRESHOLD = 0.5  # RAGAS's: how similar a retrieved text must be to a reference text


def id_based_context_precision(row: RagasRow) -> float:
    """Return the share of the retrieved ids that are reference ids; repeated ids count once.

    Examples:
        >>> id_based_context_precision(
        ...     RagasRow("?", retrieved_context_ids=("a", "b"), reference_context_ids=("b", "c"))
        ... )
        0.5
    """
    retrieved = set(row.retrieved_context_ids or ())
    return len(retrieved & set(row.reference_context_ids or ())) / len(retrieved)


def id_based_context_recall(row: RagasRow) -> float:
    """Return the share of the reference ids that were retrieved."""
    reference = set(row.reference_context_ids or ())
    return len(reference & set(row.retrieved_context_ids or ())) / len(reference)


def non_llm_context_precision_with_reference(row: RagasRow) -> float:
    """Return the average precision of the retrieved texts that resemble a reference text.

    As in RAGAS, the mean is over the relevant texts that were retrieved, not over all there are.
    """
    references = row.reference_contexts or ()
    found = row.retrieved_contexts or ()
    verdicts = [any(_alike(one, text) >= _THRESHOLD for text in references) for one in found]
    return average_precision(verdicts)


def non_llm_context_recall(row: RagasRow) -> float:
    """Return the share of the reference texts that a retrieved text resembles."""
    references, retrieved = row.reference_contexts or (), row.retrieved_contexts or ()
    # Strictly above the threshold here, at least the threshold in precision: RAGAS's own rules.
    found = [any(_alike(one, text) > _THRESHOLD for text in retrieved) for one in references]
    return sum(found) / len(found)


def average_precision(verdicts: Sequence[bool]) -> float:
    """Return RAGAS's average precision of verdicts `(n,)` in rank order.

    Examples:
        >>> round(average_precision([False, True]), 6)
        0.5
    """
    # The small number in the denominator is RAGAS's way around a division by zero.
    gained = [sum(verdicts[: rank + 1]) / (rank + 1) * one for rank, one in enumerate(verdicts)]
    return sum(gained) / (sum(verdicts) + 1e-10)


def _alike(a: str, b: str) -> float:
    longer = max(len(a), len(b))
    if 2 * min(len(a), len(b)) < longer:
        return 0.0  # the lengths alone keep it below the threshold
    return _similarity(*sorted((a, b)))


# Two systems retrieve largely the same texts, and precision and recall compare the same pairs.
@lru_cache(maxsize=4096)
def _similarity(a: str, b: str) -> float:
    distance = require("rapidfuzz.distance", extra="eval")
    return float(distance.Levenshtein.normalized_similarity(a, b))
