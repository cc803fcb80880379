"""Whether to rerank, with what and how deep: the choice among systems or depths, in one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from langchain_rerank.evaluation.score import assemble, statistics
from langchain_rerank.evaluation.score.bootstrap import (
    DIFFERENCES,
    MEANS,
    SIGNIFICANT,
    Floats,
    covered,
    draws,
)
from langchain_rerank.evaluation.score.choice import (
    FEWEST_QUERIES,
    Choice,
    choose,
    queries_to_bound,
)
from langchain_rerank.evaluation.score.results import EvaluationResult
from langchain_rerank.evaluation.score.summaries import Answer, Decision

MARGIN = 0.01  # of the mean that may be given up for a cheaper choice, where nobody says another


@dataclass(frozen=True)
class Option:
    """One of what can be done with a question.

    Attributes:
        system: Which system answers.
        k: How many candidates it reranks; 0 for the first stage's own order.
        label: How it is called in a sentence.
        ms: Its median time per query; None where it was not timed.
    """

    system: str
    k: int
    label: str
    ms: float | None = None


def decide(
    options: Sequence[Option],
    values: Floats,
    choice: Choice,
    *,
    measure: str,
    margin: float = MARGIN,
    allowed: Sequence[bool] | None = None,
    beside: Sequence[float | None] = (),
    seed: int = 0,
) -> Decision:
    """Return the decision that the values of every query, `(n, k)`, and their choice allow.

    To rerank has to be shown twice: that the option is within the margin of any other, and that it
    is better than not reranking. Not to rerank is shown by the first alone, since it costs nothing.

    The options are `(k,)`, the cheapest first, and the first of them is not to rerank; `allowed`
    says which are within the budget, None for all. `beside` are p values of what else the report
    compares, for Holm's correction.
    """
    n, k = values.shape
    at = choice.position
    inside = [one for one in range(1, k) if allowed is None or allowed[one]]
    compared = reranking(choice, values, allowed)
    gains = values[:, 1:] - values[:, [0]]
    drawn = draws(gains, seed=seed)
    bounded = covered(values, MEANS)
    p_holm = statistics.holm([*p_values(values, seed), *beside])
    before_ms, after_ms = options[0].ms, options[compared].ms
    before, after = float(values[:, 0].mean()), float(values[:, compared].mean())
    shown = _shown(gains, p_holm[: k - 1])
    better, worse = bool(at) and shown[at - 1] > 0, all(shown[one - 1] < 0 for one in inside)
    answer = _answer(choice, better=better, worse=worse)
    settled, needed = answer != "undecided", None
    if bounded and not settled:
        rivals = [gains[:, one - 1] for one in ([compared] if at else inside)]
        needed = _needed(choice, rivals, margin, better=better, tests=len(p_holm))
    return Decision(
        answer=answer,
        measure=measure,
        system=options[at].system,
        k=options[at].k,
        compared=options[compared].system,
        compared_k=options[compared].k,
        before=before,
        after=after,
        gain=after - before,
        ci=drawn.interval(compared - 1, DIFFERENCES) if bounded else None,
        added_ms=None if before_ms is None or after_ms is None else after_ms - before_ms,
        margin=choice.margin,
        queries=n,
        queries_needed=needed,
        reason=explained(options, choice, n, margin, allowed, better=better, settled=settled),
    )


def p_values(values: Floats, seed: int = 0) -> list[float | None]:
    """Return the p value of each option after the first, against it; None beyond 0 to 1."""
    drawn = draws(values[:, 1:] - values[:, [0]], seed=seed)
    known = covered(values, MEANS)
    return [drawn.p_value(one) if known else None for one in range(values.shape[1] - 1)]


def _shown(gains: Floats, p_values: Sequence[float | None]) -> list[int]:
    """Return 1 for each column whose mean is shown to be above 0, -1 for below, else 0."""
    return [
        0 if p is None or p >= SIGNIFICANT else int(np.sign(gains[:, one].mean()))
        for one, p in enumerate(p_values)
    ]


def _answer(choice: Choice, *, better: bool, worse: bool) -> Answer:
    """Return the answer: whether the choice is shown to be better, or all that rerank worse."""
    at, upper = choice.position, choice.upper[choice.position]
    best_shown = upper is not None and upper <= 0.0
    if not (choice.recommended or (best_shown if at else worse)):
        return "undecided"
    if at == 0:
        return "do_not_rerank"
    return "rerank" if better else "undecided"


def among_systems(result: EvaluationResult, k: int, seed: int = 0) -> Decision | None:
    """Return which of a comparison's systems to use; None where no query is labelled.

    The cheapest first: the first stage, which is the baseline, then the rerankers by their median
    time, or as they were given where one was not timed.
    """
    main, baseline = result.measures[0], result.baseline
    rows = [row for row in result.queries if assemble.counts(row)]
    if not rows:
        return None
    medians = {name: one.median_ms for name, one in result.systems.items()}
    times = {name: ms for name, ms in medians.items() if ms is not None}
    others = [name for name in result.systems if name != baseline]
    if all(name in times for name in others):
        others.sort(key=lambda name: times[name])
    options = [
        Option(baseline, 0, "not reranking", times.get(baseline)),
        *(
            Option(name, k, f"K = {k}" if len(others) == 1 else name, times.get(name))
            for name in others
        ),
    ]
    values = assemble.values_of(rows, [one.system for one in options], [main])[:, :, 0]
    return decide(
        options,
        values,
        choose(values, margin=MARGIN, seed=seed),
        measure=main,
        beside=[
            one.p_value
            for one in result.comparisons
            if (one.measure, one.baseline) != (main, baseline)
        ],
        seed=seed,
    )


def reranking(choice: Choice, values: Floats, allowed: Sequence[bool] | None = None) -> int:
    """Return the choice, or where that is not to rerank, the best of the options that do."""
    options = range(1, values.shape[1])
    among = [one for one in options if allowed is None or allowed[one]] or options
    best = max(among, key=lambda one: (round(float(values[:, one].mean()), 9), -one))
    return choice.position or best


def _needed(
    choice: Choice, gains: Sequence[Floats], margin: float, *, better: bool, tests: int
) -> int | None:
    """Return how many queries would answer what is open, or None.

    `gains` are those of the choice, or where that is not to rerank, of each option that does.
    """
    tail = SIGNIFICANT / 2 / tests
    if choice.position == 0:
        # Each is shown to be worse, or not to gain more than the margin.
        worse = [queries_to_bound(one, tail=tail) for one in gains]
        known = [one for one in worse if one is not None]
        ways = [choice.queries_needed, max(known, default=None)] if len(known) == len(worse) else []
        found = min((one for one in ways if one is not None), default=choice.queries_needed)
    else:
        first = choice.upper[choice.position]
        wanted = [None if first is not None and first <= 0.0 else choice.queries_needed]
        if not better:
            either = queries_to_bound(-gains[0], tail=tail), queries_to_bound(gains[0], margin)
            wanted.append(min((one for one in either if one is not None), default=None))
        found = max((one for one in wanted if one is not None), default=None)
    return found if found is not None and found > len(gains[0]) else None


def explained(
    options: Sequence[Option],
    choice: Choice,
    queries: int,
    margin: float,
    allowed: Sequence[bool] | None = None,
    *,
    better: bool,
    settled: bool,
) -> str:
    """Return in sentences why this is the choice.

    `better` says whether it is shown to be better than the first option, `settled` whether there is
    an answer.
    """
    at = choice.position
    label, upper = options[at].label, choice.upper[at]
    tight = allowed is not None and not all(allowed)
    others = "any other within the budget" if tight else "any other"
    name = f"{label[0].upper()}{label[1:]}"
    granted = f"{choice.margin:g}"
    if choice.margin > margin:
        granted = f"{choice.margin:.2g}, since {queries} queries cannot show {margin:g}"
    if allowed is not None and not any(allowed[1:]):
        text = "Nothing that reranks is within the budget."
    elif upper is None:
        text = f"{name} has the best mean; values that are not between 0 and 1 have no bound."
    elif upper < 0.0:
        text = f"{name} is better than {others} by at least {-upper:.3f} (95 % bound)."
        if not settled:
            text += " Adjusted for all that this report compares, that is not shown."
    elif choice.recommended:
        text = (
            f"{name} loses at most {upper:.3f} against {others} (95 % bound; allowed: {granted})."
        )
        if at and not better:
            text += " That it gains anything over not reranking is not shown."
    elif queries < FEWEST_QUERIES:
        text = (
            f"{queries} labelled queries are too few to recommend one ({FEWEST_QUERIES} are the "
            f"least): {label} has the best mean, and {others} may be better by up to {upper:.3f}."
        )
    else:
        text = (
            f"{name} has the best mean, but {others} may be better by up to {upper:.3f} (95 % "
            f"bound; allowed: {granted})."
        )
    if tight and allowed is not None and not allowed[choice.best]:
        gain = choice.losses[at]
        text += f" Without the budget {options[choice.best].label} would gain {gain:.3f}."
    return text
