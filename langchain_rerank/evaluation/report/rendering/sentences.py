"""The answer in words: does it help, what does it cost, how deep to go, what to improve."""

from __future__ import annotations

from collections.abc import Iterator

from langchain_rerank.evaluation.report.rendering.words import (
    between,
    fraction,
    milliseconds,
    p_value,
    signed,
    system_label,
    times,
)
from langchain_rerank.evaluation.score.pareto import pareto
from langchain_rerank.evaluation.score.results import (
    RERANKED,
    Comparison,
    EvaluationResult,
    LossSplit,
    Sweep,
)
from langchain_rerank.evaluation.score.statistics import SIGNIFICANT

_VERDICTS = {
    "recommended": "Use K = {}.",
    "inconclusive": "Inconclusive; K = {} for now.",
    "over_budget": "No K is within the budget; the fastest is K = {}.",
}

_ROUNDING = 1e-9


def headlines(result: EvaluationResult) -> Iterator[str]:
    """Yield the sentences that answer the question behind the evaluation, by its main measure."""
    if not any(one.n for summary in result.systems.values() for one in summary.measures.values()):
        yield "No query is labelled, so nothing can be said about quality."
        return
    if result.sweep is not None:
        yield _depth(result.sweep)
    main = [one for one in result.comparisons if one.measure == result.measures[0]]
    for one in main:
        yield _effect(result, one)
    if len(result.systems) > 2:
        # A sentence on each cost and each loss would bury the answer; the tables have them.
        yield from _unbeaten(result)
        return
    for one in main:
        if one.added_ms is not None:
            yield _cost(result, one)
    for split in result.loss_split:
        if split.measure == result.measures[0]:
            yield _split(split)


def _subject(system: str) -> str:
    return "Reranking" if system == RERANKED else system_label(system)


def _effect(result: EvaluationResult, one: Comparison) -> str:
    # Interval and test decide the verb together, so that the sentence never claims more than the
    # data show: of a few queries that gain and none that loses, every resample is above 0.
    decisive = one.p_value if one.p_holm is None else one.p_holm
    shown = decisive is not None and decisive < SIGNIFICANT
    if shown and one.ci[0] > 0:
        verb = "raises"
    elif shown and one.ci[1] < 0:
        verb = "lowers"
    else:
        verb = "does not clearly change"
    evidence = f"{signed(one.difference)}, 95 % interval {between(one.ci, signed)}"
    if decisive is not None:
        p, name = p_value(decisive), "p" if decisive == one.p_value else "p (Holm)"
        evidence += f", {name} {p}" if p.startswith("<") else f", {name} = {p}"
    against = "" if one.baseline == result.baseline else f" against {system_label(one.baseline)}"
    note = f" {one.note[0].upper()}{one.note[1:]}." if one.note else ""
    return (
        f"{_subject(one.system)} {verb} {one.measure}{against}: {fraction(one.baseline_mean)} to "
        f"{fraction(one.mean)} ({evidence}); {one.wins} better, {one.ties} equal, {one.losses} "
        f"worse.{note}"
    )


def _cost(result: EvaluationResult, one: Comparison) -> str:
    total = result.systems[one.system].latency.get("total")
    added = milliseconds(abs(one.added_ms or 0.0))
    verb = "adds" if (one.added_ms or 0.0) >= 0 else "saves"
    text = f"{_subject(one.system)} {verb} {added} a query at the median"
    if total is not None:
        text += f", to {milliseconds(total.p50)}"
    if one.latency_factor is not None:
        text += f" ({times(one.latency_factor)} as long)"
    return f"{text}."


def _unbeaten(result: EvaluationResult) -> Iterator[str]:
    measure = result.measures[0]
    timed = [
        (name, one.latency["total"].p50, one.measures[measure].mean)
        for name, one in result.systems.items()
        if "total" in one.latency and measure in one.measures
    ]
    if len(timed) < len(result.systems):
        return
    names = [system_label(timed[one][0]) for one in pareto([point[1:] for point in timed])]
    yield f"Nothing is both faster and better by {measure} than: {', '.join(names)}."


def _depth(sweep: Sweep) -> str:
    text = f"{_VERDICTS[sweep.verdict].format(sweep.recommended_k)} {sweep.reason}"
    if sweep.queries_needed is not None:
        text += f" About {sweep.queries_needed} labelled queries would settle it."
    return text


def _split(split: LossSplit) -> str:
    missing = 1 - split.actual
    text = (
        f"{_subject(split.system)} leaves {fraction(missing)} to a perfect {split.measure}: "
        f"{fraction(split.missed)} was not among the {split.k} candidates, "
        f"{fraction(split.misordered)} was ordered too low"
    )
    out_of_reach = 1 - split.attainable
    if out_of_reach > _ROUNDING:
        text += f", {fraction(out_of_reach)} is out of reach of any ranking"
    text += "."
    if split.missed + split.misordered <= _ROUNDING:
        return text
    part = "first stage" if split.missed > split.misordered else "reranker"
    return f"{text} The {part} has more to gain."
