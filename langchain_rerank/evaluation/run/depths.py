"""Candidates and scores at several depths, from one scoring pass where that is valid.

It is valid where the first stage is prefix-consistent (its 10 best are the first 10 of its 100
best) and the scorer is pointwise (a score does not depend on the other texts). Both are checked on
a sample; where one fails, the first stage is asked again per depth, or the scorer is.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langchain_rerank.evaluation.data.datasets import Record
from langchain_rerank.evaluation.run import scoring
from langchain_rerank.evaluation.run.progress import Progress
from langchain_rerank.evaluation.run.scoring import Candidates, Scored, ScoringPass
from langchain_rerank.evaluation.score.results import FIRST_STAGE, RERANKED
from langchain_rerank.scorers.contract import Scorer, scorer_name
from langchain_rerank.wrappers.wrapper import is_pointwise

_PREFIX_SAMPLE = 5
_POINTWISE_SAMPLE = 2
# Half precision moves a score by the batch it is in; a scorer that looks at its neighbours moves
# scores by much more than this share of their spread.
_POINTWISE_TOLERANCE = 0.05


@dataclass(frozen=True)
class Depths:
    """Candidates and scores of every question at every depth.

    Attributes:
        candidates: By depth and query id.
        shown: Which of the depths is that of the first stage's own order.
        scored: By depth and query id, in the order of the candidates.
        pairs: (query, text) pairs that were scored.
        single_pass: Whether one pass at the largest depth gave everything.
        checks: What was found, in sentences.
    """

    candidates: dict[int, dict[str, Candidates]]
    shown: int
    scored: dict[int, dict[str, Scored]]
    pairs: int
    single_pass: bool
    checks: tuple[str, ...]


def at_depths(
    work: ScoringPass,
    records: Sequence[Record],
    ks: Sequence[int],
    shown: int,
    scorer: Scorer,
    advance: Progress,
) -> Depths:
    """Retrieve and score `records` at the depths `ks` (ascending), and retrieve `shown` candidates.

    Raises:
        ConfigurationError: No document has the key that the labels are compared with.
        EvaluationError: Every question failed.
    """
    depths = sorted({*ks, shown})
    deepest = depths[-1]
    steps, done = 2 * len(records), 0
    widest = {}
    for record in records:
        widest[record.id] = work.candidates(record, deepest)
        advance(done := done + 1, steps)
    scoring.refuse_total_failure([one.error for one in widest.values()])
    work.relevance.check(
        [(one, [work.documents[key] for key in widest[one.id].keys]) for one in records]
    )
    consistent, sentence = _prefix_check(work, records, depths, widest)
    checks = [sentence]
    candidates = {
        k: {
            one.id: _prefix(widest[one.id], k)
            if consistent
            else work.candidates(one, k, system=f"{FIRST_STAGE}@{k}")
            for one in records
        }
        for k in depths[:-1]
    }
    candidates[deepest] = widest
    # Pairs that any depth has, each once, those of the largest first.
    union = {
        one.id: tuple(dict.fromkeys(key for k in ks[::-1] for key in candidates[k][one.id].keys))
        for one in records
    }
    pointwise = is_pointwise(scorer)
    largest = candidates[ks[-1]]
    asked = union if pointwise else {query: found.keys for query, found in largest.items()}
    scores: dict[str, Scored] = {}
    for record in records:
        scores[record.id] = work.scores(RERANKED, scorer, record, asked[record.id])
        advance(done := done + 1, steps)
    pairs = sum(map(len, asked.values()))
    scoring.refuse_total_failure([one.error for one in scores.values()])
    if pointwise:
        pointwise, sentence, more = _pointwise_check(work, records, ks[0], scorer, union, scores)
        pairs += more
    else:
        sentence = f"{scorer_name(scorer)} is not pointwise: every depth was scored by itself."
    checks.append(sentence)
    if pointwise:
        by_key = {
            one.id: dict(zip(union[one.id], scores[one.id].scores, strict=False)) for one in records
        }
        scored = {
            k: {
                one.id: _picked(candidates[k][one.id], by_key[one.id], scores[one.id])
                for one in records
            }
            for k in ks
        }
        return Depths(candidates, shown, scored, pairs, consistent, tuple(checks))
    scored = {}
    for k in ks:
        scored[k] = {}
        for record in records:
            found = candidates[k][record.id]
            if found.error:
                scored[k][record.id] = Scored(error=found.error)
            elif found.keys == asked[record.id]:
                scored[k][record.id] = scores[record.id]
            else:
                scored[k][record.id] = work.scores(f"{RERANKED}@{k}", scorer, record, found.keys)
                pairs += len(found.keys)
    return Depths(candidates, shown, scored, pairs, False, tuple(checks))


def _prefix(found: Candidates, k: int) -> Candidates:
    return Candidates(
        found.keys[:k],
        found.first_stage_scores[:k],
        found.mixed_scores[:k],
        error=found.error,
    )


def _picked(found: Candidates, by_key: Mapping[str, float], pass_: Scored) -> Scored:
    error = found.error or pass_.error
    return Scored(error=error) if error else Scored(tuple(by_key[key] for key in found.keys))


def _spread(records: Sequence[Record], n: int) -> list[Record]:
    """Return at most `n` records, evenly from all over."""
    step = max(1, len(records) // n)
    return list(itertools.islice(records, 0, None, step))[:n]


def _prefix_check(
    work: ScoringPass,
    records: Sequence[Record],
    ks: Sequence[int],
    widest: Mapping[str, Candidates],
) -> tuple[bool, str]:
    sample = [one for one in _spread(records, _PREFIX_SAMPLE) if not widest[one.id].error]
    for k in ks[:-1]:
        for record in sample:
            found = work.retrieved(record, k)
            if found is not None and found != widest[record.id].keys[:k]:
                return False, (
                    f"The first stage is not prefix-consistent: its {k} candidates for "
                    f"{record.id!r} are not the first {k} of its {ks[-1]}. Every depth was "
                    f"retrieved by itself, and each pair scored once."
                )
    return True, (
        f"The first stage is prefix-consistent in {len(sample)} sampled questions at every depth."
    )


def _pointwise_check(
    work: ScoringPass,
    records: Sequence[Record],
    k: int,
    scorer: Scorer,
    keys: Mapping[str, Sequence[str]],
    scores: Mapping[str, Scored],
) -> tuple[bool, str, int]:
    pairs, largest = 0, 0.0
    sample = [one for one in records if len(scores[one.id].scores) > k]
    for record in _spread(sample, _POINTWISE_SAMPLE):
        together = scores[record.id].scores
        spread = max(together) - min(together)
        alone = work.score(scorer, record, [work.documents[key] for key in keys[record.id][:k]])
        pairs += len(alone)
        moved = max(abs(a - b) for a, b in zip(alone, together[:k], strict=True))
        largest = max(largest, moved / spread if spread else float(moved > 0))
    name = scorer_name(scorer)
    if largest > _POINTWISE_TOLERANCE:
        sentence = (
            f"{name} is not pointwise: with fewer texts beside it, a score moved by "
            f"{largest:.0%} of the range of its query. Every depth was scored by itself."
        )
        return False, sentence, pairs
    sentence = (
        f"{name} is pointwise in {min(len(sample), _POINTWISE_SAMPLE)} sampled questions (scores "
        f"moved by at most {largest:.1e} of the range of their query)."
    )
    dtype = getattr(scorer, "dtype", "float32")
    if dtype != "float32":
        sentence += f" It computes in {dtype}: a run at one depth may order near-ties otherwise."
    return True, sentence, pairs
