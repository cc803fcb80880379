"""Candidates and their orders at several depths, from one scoring pass where that is valid.

It is valid where the first stage is prefix-consistent (its 10 best are the first 10 of its 100
best) and the scorer is pointwise (a score does not depend on the other texts). Both are checked on
a sample; where one fails, the first stage is asked again per depth, or the reranker is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from langchain_core.documents import BaseDocumentCompressor

from langchain_rerank import ranking
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.run.collect import ByQuery, refuse_total_failure, spread
from langchain_rerank.evaluation.run.passes import Pass
from langchain_rerank.evaluation.run.stage import FIRST_STAGE, RERANKED, Found
from langchain_rerank.evaluation.run.systems import Reranker, reranker_name, reranks
from langchain_rerank.wrappers.wrapper import is_pointwise

_PREFIX_SAMPLE = 5
_POINTWISE_SAMPLE = 2
# Half precision moves a score by the batch it is in; a scorer that looks at its neighbours moves
# scores by much more than this share of their spread.
_POINTWISE_TOLERANCE = 0.05


@dataclass(frozen=True)
class Depths:
    """Candidates and orders of every question at every depth.

    Attributes:
        candidates: By depth and query id.
        shown: Which of the depths is that of the first stage's own order.
        reranked: By depth and query id.
        pairs: (query, text) pairs that were scored.
        single_pass: Whether one pass at the largest depth gave everything.
        checks: What was found, in sentences.
    """

    candidates: dict[int, ByQuery]
    shown: int
    reranked: dict[int, ByQuery]
    pairs: int
    single_pass: bool
    checks: tuple[str, ...]


async def at_depths(work: Pass, ks: Sequence[int], shown: int, model: Reranker) -> Depths:
    """Retrieve and rerank at the depths `ks` (ascending), and retrieve `shown` candidates."""
    if not reranks(model):
        raise ConfigurationError(
            f"{reranker_name(model)} is asked questions and reranks no candidates, so it has no "
            f"first-stage depth. Give a model, a scorer or a document compressor."
        )
    depths = sorted({*ks, shown})
    candidates, consistent, first = await _candidates(work, depths)
    pointwise, pairs = not isinstance(model, BaseDocumentCompressor) and is_pointwise(model), 0
    second = f"{reranker_name(model)} is not pointwise: every depth was reranked by itself."
    if pointwise:
        union = {one.id: _union(one.id, ks, candidates) for one in work.records}
        stage = work.reranking(RERANKED, model, union)
        whole = (await work.collector.all([stage], work.records))[RERANKED]
        refuse_total_failure(whole)
        smallest = candidates[ks[0]]
        pointwise, second, pairs = await _pointwise_check(work, ks[0], model, smallest, whole)
        pairs += sum(len(one.keys) for one in union.values())
        found = {
            k: {one.id: _picked(candidates[k][one.id], whole[one.id]) for one in work.records}
            for k in ks
        }
    if not pointwise:
        found, more = await _each_depth(work, ks, model, candidates)
        pairs += more
    single_pass = pointwise and consistent
    return Depths(candidates, shown, found, pairs, single_pass, (first, second))


async def _candidates(work: Pass, depths: Sequence[int]) -> tuple[dict[int, ByQuery], bool, str]:
    """Return candidates by depth, whether the smaller are prefixes of the largest, and that."""
    collector, deepest = work.collector, depths[-1]
    widest = (await collector.all([work.retrieval(deepest)], work.records))[FIRST_STAGE]
    refuse_total_failure(widest)
    work.check_labels(widest)
    asked = [work.retrieval(k, f"{FIRST_STAGE}@{k}") for k in depths[:-1]]
    quiet = replace(collector, advance=lambda _cost: None)
    sample = [one for one in spread(work.records, _PREFIX_SAMPLE) if widest[one.id].error is None]
    found = await quiet.all(asked, sample)
    odd = next(
        (
            (k, record)
            for k in depths[:-1]
            for record in sample
            if (one := found[f"{FIRST_STAGE}@{k}"][record.id]).error is None
            and one.keys != widest[record.id].keys[:k]
        ),
        None,
    )
    if odd is None:
        sentence = (
            f"The first stage is prefix-consistent in {len(sample)} sampled questions at every "
            f"depth."
        )
        candidates = {k: {q: _prefix(one, k) for q, one in widest.items()} for k in depths[:-1]}
        return {**candidates, deepest: widest}, True, sentence
    k, record = odd
    sentence = (
        f"The first stage is not prefix-consistent: its {k} candidates for {record.id!r} are not "
        f"the first {k} of its {deepest}. Every depth was retrieved by itself, and each pair "
        f"scored once."
    )
    found = await quiet.all(asked, work.records)
    candidates = {k: found[f"{FIRST_STAGE}@{k}"] for k in depths[:-1]}
    return {**candidates, deepest: widest}, False, sentence


async def _each_depth(
    work: Pass, ks: Sequence[int], model: Reranker, candidates: Mapping[int, ByQuery]
) -> tuple[dict[int, ByQuery], int]:
    """Return what the model makes of each depth by itself, and how many pairs that took."""
    # The largest under the name that a comparison at that depth has in the journal.
    names = {k: RERANKED if k == ks[-1] else f"{RERANKED}@{k}" for k in ks}
    stages = [work.reranking(names[k], model, candidates[k]) for k in ks]
    found = await work.collector.all(stages, work.records)
    refuse_total_failure(found[RERANKED])
    pairs = sum(len(one.keys) for k in ks for one in candidates[k].values())
    return {k: found[names[k]] for k in ks}, pairs


def _union(query: str, ks: Sequence[int], candidates: Mapping[int, ByQuery]) -> Found:
    """Return the candidates that any depth has, each once, those of the largest first."""
    every = (candidates[k][query] for k in ks[::-1])
    keys = dict.fromkeys(key for one in every for key in one.keys)
    return Found(tuple(keys), error=candidates[ks[-1]][query].error)


def _prefix(found: Found, k: int) -> Found:
    return replace(found, keys=found.keys[:k], scores=found.scores[:k], mixed=found.mixed[:k])


def _picked(candidates: Found, whole: Found) -> Found:
    """Return the order of the candidates of one depth by the scores of all."""
    error = candidates.error or whole.error
    if error is not None:
        return Found(error=error)
    scores = dict(zip(whole.keys, whole.scores, strict=True))
    keys = [candidates.keys[i] for i in ranking.order([scores[key] for key in candidates.keys])]
    return Found(tuple(keys), tuple(scores[key] for key in keys))


async def _pointwise_check(
    work: Pass, k: int, model: Reranker, candidates: ByQuery, whole: ByQuery
) -> tuple[bool, str, int]:
    """Return whether the candidates of one depth have the same scores alone, and what that took."""
    usable = [
        one
        for one in work.records
        if len(whole[one.id].keys) > len(candidates[one.id].keys) > 0 and not whole[one.id].error
    ]
    sample = spread(usable, _POINTWISE_SAMPLE)
    name, pairs, largest = f"{RERANKED}@{k}", 0, 0.0
    quiet = replace(work.collector, advance=lambda _cost: None)
    alone = (await quiet.all([work.reranking(name, model, candidates)], sample))[name]
    for record in sample:
        together = dict(zip(whole[record.id].keys, whole[record.id].scores, strict=True))
        width = max(together.values()) - min(together.values())
        found = alone[record.id]
        pairs += len(found.keys)
        moves = (abs(a - together[key]) for key, a in zip(found.keys, found.scores, strict=True))
        moved = max(moves, default=0.0)
        largest = max(largest, moved / width if width else float(moved > 0))
    called = reranker_name(model)
    if largest > _POINTWISE_TOLERANCE:
        sentence = (
            f"{called} is not pointwise: with fewer texts beside it, a score moved by "
            f"{largest:.0%} of the range of its query. Every depth was reranked by itself."
        )
        return False, sentence, pairs
    sentence = (
        f"{called} is pointwise in {len(sample)} sampled questions (scores moved by at most "
        f"{largest:.1e} of the range of their query)."
    )
    dtype = getattr(model, "dtype", "float32")
    if dtype != "float32":
        sentence += f" It computes in {dtype}: a run at one depth may order near-ties otherwise."
    return True, sentence, pairs
