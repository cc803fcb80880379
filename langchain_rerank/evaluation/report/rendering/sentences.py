"""The answer in words: does it help, what does it cost, how deep to go, what to improve."""

from __future__ import annotations

from collections.abc import Iterator

from langchain_rerank.evaluation.report.rendering.words import (
    fraction,
    interval_of,
    milliseconds,
    p_is,
    signed,
    system_label,
    times,
)
from langchain_rerank.evaluation.score.pareto import pareto
from langchain_rerank.evaluation.score.results import (
    RERANKED,
    Comparison,
    Decision,
    EvaluationResult,
    LossSplit,
    Sweep,
)

_ROUNDING = 1e-9


def headlines(result: EvaluationResult) -> Iterator[str]:
    """Yield the sentences that answer the question behind the evaluation, by its main measure."""
    if not any(one.n for summary in result.systems.values() for one in summary.measures.values()):
        yield "No query is labelled, so nothing can be said about quality."
        return
    if result.decision is not None:
        yield _decision(result, result.decision)
        yield result.decision.reason
    else:
        yield from _effects(result)
    if len(result.systems) > 2:
        # A sentence on each loss would bury the answer; the tables have them.
        yield from _unbeaten(result)
        return
    for split in result.loss_split:
        if split.measure == result.measures[0]:
            yield _split(split)


def _effects(result: EvaluationResult) -> Iterator[str]:
    """Yield what each system changes, where there is no decision."""
    main = [one for one in result.comparisons if one.measure == result.measures[0]]
    if result.sweep is not None:
        yield _depth(result.sweep)
    for one in main:
        yield _effect(result, one)
    for note in dict.fromkeys(one.note for one in main if one.note):
        yield f"{note[0].upper()}{note[1:]}."
    if len(result.systems) == 2:
        yield from (_cost(result, one) for one in main if one.added_ms is not None)


def _decision(result: EvaluationResult, one: Decision) -> str:
    named = "" if len(result.systems) == 2 else f" with {system_label(one.compared)}"
    at = f"{named} at K = {one.compared_k}" if named else f" with K = {one.compared_k}"
    change = f"{one.measure} from {fraction(one.before)} to {fraction(one.after)}"
    evidence = f"({signed(one.gain)}{interval_of(one.ci)}, {one.queries} queries)"
    cost = "" if one.added_ms is None else f" and {_added(one.added_ms)}"
    if one.answer == "rerank":
        return f"Rerank{at}: that takes {change} {evidence}{cost}."
    if one.answer == "do_not_rerank":
        return f"Do not rerank: the best that does,{at}, takes {change} {evidence}{cost}."
    ahead = f"So far {'' if one.k else 'not '}reranking is ahead"
    return (
        f"Undecided{_settled(one.queries_needed)}. {ahead}: reranking{at} takes {change} "
        f"{evidence}{cost}."
    )


def _depth(sweep: Sweep) -> str:
    """Return the answer of a sweep that was saved without a decision."""
    k = sweep.recommended_k
    if sweep.verdict == "recommended":
        return f"{f'Rerank with K = {k}' if k else 'Do not rerank'}: {sweep.reason}"
    if sweep.verdict == "over_budget":
        return f"No K is within the budget; the fastest is K = {k}. {sweep.reason}"
    return f"Undecided{_settled(sweep.queries_needed)}. K = {k} for now: {sweep.reason}"


def _settled(queries: int | None) -> str:
    if queries is None:
        return ", and more questions like these would not settle it"
    return f", at least about {queries} questions would settle it"


def _added(ms: float) -> str:
    return f"{'adds' if ms >= 0 else 'saves'} {milliseconds(abs(ms))} a query at the median"


def _subject(system: str) -> str:
    return "Reranking" if system == RERANKED else system_label(system)


def _effect(result: EvaluationResult, one: Comparison) -> str:
    verb = ("does not clearly change", "raises", "lowers")[one.shown]
    evidence = f"{signed(one.difference)}{interval_of(one.ci)}"
    if one.decisive is not None:
        name = "p" if one.decisive == one.p_value else "p (Holm)"
        evidence += f", {p_is(one.decisive, name)}"
    against = "" if one.baseline == result.baseline else f" against {system_label(one.baseline)}"
    return (
        f"{_subject(one.system)} {verb} {one.measure}{against}: {fraction(one.baseline_mean)} to "
        f"{fraction(one.mean)} ({evidence}); {one.wins} better, {one.ties} equal, {one.losses} "
        f"worse."
    )


def _cost(result: EvaluationResult, one: Comparison) -> str:
    median = result.systems[one.system].median_ms
    text = f"{_subject(one.system)} {_added(one.added_ms or 0.0)}"
    if median is not None:
        text += f", to {milliseconds(median)}"
    if one.latency_factor is not None:
        text += f" ({times(one.latency_factor)} as long)"
    return f"{text}."


def _unbeaten(result: EvaluationResult) -> Iterator[str]:
    measure, names = result.measures[0], list(map(system_label, result.systems))
    both = [(one.median_ms, one.mean(measure)) for one in result.systems.values()]
    points = [(ms, mean) for ms, mean in both if ms is not None and mean is not None]
    if len(points) == len(names):
        best = ", ".join(names[one] for one in pareto(points))
        yield f"Nothing is both faster and better by {measure} than: {best}."


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
