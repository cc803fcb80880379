"""The tables of a result, each of finished text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

from langchain_rerank.evaluation.report.rendering.words import (
    fraction,
    milliseconds,
    p_value,
    percent,
    short_names,
    signed,
    system_label,
    with_interval,
    yes_no,
)
from langchain_rerank.evaluation.score.results import (
    STAGES,
    Comparison,
    EvaluationResult,
    Latency,
    MeasureSummary,
    Sweep,
)

T = TypeVar("T")

CEILING = (
    "Ceiling: the best order of the K candidates. Not retrieved is the first stage's to improve, "
    "misordered is the reranker's. What no ranking can reach (R@1 of three relevant documents is a "
    "third at most) is in neither."
)
COMPARED = (
    "In brackets the 95 % interval of the difference; p is the smallest error at which it excludes "
    "0, and better or worse is said where that is below 0.05."
)
ADJUSTED = "p is adjusted for all comparisons of this report (Holm), the interval is not."


@dataclass(frozen=True)
class Table:
    """A table of finished text.

    Attributes:
        caption: What it shows.
        columns: `(m,)` headings, with units.
        rows: `(n,)` rows of `m` cells.
        words: How many of the first columns are words, which name the row; the others are figures.
        chosen: Which row (0-based) to point out; None for no row.
        note: How to read it; None where it needs no explanation.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    chosen: int | None = None
    note: str | None = None

    @classmethod
    def of(
        cls,
        caption: str,
        items: Iterable[T],
        columns: Sequence[tuple[str, Callable[[T], str]]],
        **more: Any,
    ) -> Table:
        """Return a table with a row for each item; columns are headings with what cells say."""
        rows = tuple(tuple(write(one) for _, write in columns) for one in items)
        return cls(caption, tuple(heading for heading, _ in columns), rows, **more)


def mean_of(summary: MeasureSummary | None, separator: str = " ") -> str:
    """Return a mean, and its interval after `separator`, as far as there are such."""
    return fraction(None) if summary is None else with_interval(summary.mean, summary.ci, separator)


def median(latency: Mapping[str, Latency], share: str = "p50") -> str:
    """Return the median total time, or another share of the times."""
    return milliseconds(getattr(latency["total"], share) if "total" in latency else None)


def difference_of(one: Comparison | None) -> str:
    """Return a difference with its interval."""
    return fraction(None) if one is None else with_interval(one.difference, one.ci, write=signed)


def systems_table(result: EvaluationResult) -> Table:
    """Return the means of every system."""
    summaries = result.systems.values()

    def measured(name: str) -> Callable[[str], str]:
        # On two lines, so that three measures fit in a narrow terminal.
        return lambda system: mean_of(result.systems[system].measures.get(name), "\n")

    def counted(name: str) -> Callable[[str], str]:
        return lambda system: str(getattr(result.systems[system], name))

    # Nearly always zero: columns of their own only where there is something to see.
    counts = [name for name in ("failed", "empty") if any(map(attrgetter(name), summaries))]
    return Table.of(
        "Systems",
        result.systems,
        [
            ("System", system_label),
            *((name, measured(name)) for name in result.measures),
            ("Median time", lambda system: milliseconds(result.systems[system].median_ms)),
            *((name.capitalize(), counted(name)) for name in counts),
        ],
        note=_means_note(result),
    )


def brief_table(result: EvaluationResult) -> Table:
    """Return one line for each of many systems: the baseline first, then the best.

    The main measure, its difference to the baseline with interval and p, the means of the other
    measures, and time.
    """
    main, *others = result.measures
    names = short_names(result.systems)
    compared = {
        one.system: one
        for one in result.comparisons
        if (one.measure, one.baseline) == (main, result.baseline)
    }

    def measured(name: str) -> Callable[[str], str]:
        return lambda system: fraction(result.systems[system].mean(name))

    def adjusted_p(system: str) -> str:
        return p_value(compared[system].p_holm if system in compared else None)

    return Table.of(
        f"{len(result.systems)} systems",
        sorted(
            result.systems,
            key=lambda one: (one != result.baseline, -(result.systems[one].mean(main) or 0.0)),
        ),
        [
            ("System", lambda system: names[system]),
            (main, measured(main)),
            ("Difference", lambda system: difference_of(compared.get(system))),
            ("p", adjusted_p),
            *((name, measured(name)) for name in others),
            ("Median time", lambda system: milliseconds(result.systems[system].median_ms)),
        ],
        note=f"{_means_note(result)} Difference: to {system_label(result.baseline)} by {main}, "
        f"with its 95 % interval; p is adjusted for all comparisons (Holm). The report's files "
        f"have every measure, the latencies and the queries.",
    )


def _means_note(result: EvaluationResult) -> str:
    every = [one.n for summary in result.systems.values() for one in summary.measures.values()]
    notes = [f"Means over {max(every, default=0)} labelled queries, each with its 95 % interval."]
    counts = [(result.counts[status], status) for status in ("unlabelled", "invalid")]
    if apart := ", ".join(f"{count} {status}" for count, status in counts if count):
        notes.append(f"In no mean: {apart}.")
    if result.decision is not None and result.sweep is None:
        top_n = result.settings.get("top_n")
        notes += _cut_short([result.decision.compared_k], result.measures, top_n)
    return " ".join(notes)


def comparison_tables(result: EvaluationResult) -> Iterator[Table]:
    """Yield the comparisons, a table for each baseline."""
    several = len(result.comparisons) > 1 or result.sweep is not None
    note: str | None = f"{COMPARED} {ADJUSTED}" if several else COMPARED
    for baseline in dict.fromkeys(one.baseline for one in result.comparisons):
        yield Table.of(
            f"Against {system_label(baseline)}, paired over queries",
            [one for one in result.comparisons if one.baseline == baseline],
            [
                ("System", lambda one: system_label(one.system)),
                ("Measure", lambda one: one.measure),
                ("Difference", difference_of),
                ("Change", lambda one: percent(one.improvement_percent)),
                ("p", lambda one: p_value(one.p_holm if several else one.p_value)),
                ("Better / equal / worse", lambda one: f"{one.wins}/{one.ties}/{one.losses}"),
            ],
            words=2,
            note=note,
        )
        note = None  # once


def losses_table(result: EvaluationResult) -> Table:
    """Return what is missing to a perfect score, and to whom it is due."""
    return Table.of(
        "What is missing to a perfect score",
        result.loss_split,
        [
            ("System", lambda one: system_label(one.system)),
            ("Measure", lambda one: one.measure),
            ("K", lambda one: str(one.k)),
            ("Reached", lambda one: fraction(one.actual)),
            ("Ceiling", lambda one: fraction(one.oracle)),
            ("Not retrieved", lambda one: fraction(one.missed)),
            ("Misordered", lambda one: fraction(one.misordered)),
        ],
        words=2,
        note=None if result.sweep is not None else CEILING,  # the sweep's table has it
    )


def latency_table(result: EvaluationResult) -> Table:
    """Return the time that each stage of each system takes."""
    known = {stage: place for place, stage in enumerate(STAGES)}
    return Table.of(
        "Time per query",
        [
            (system_label(name), stage.replace("_", " "), one)
            for name, summary in result.systems.items()
            for stage, one in sorted(
                summary.latency.items(), key=lambda item: known.get(item[0], len(known))
            )
        ],
        [
            ("System", lambda row: row[0]),
            ("Stage", lambda row: row[1]),
            ("p50", lambda row: milliseconds(row[2].p50)),
            ("p90", lambda row: milliseconds(row[2].p90)),
            ("p95", lambda row: milliseconds(row[2].p95)),
            ("Mean", lambda row: milliseconds(row[2].mean)),
            ("Queries", lambda row: str(row[2].n)),
        ],
        words=2,
    )


def depth_tables(sweep: Sweep, top_n: int | None) -> list[Table]:
    """Return the tables of a sweep in which `top_n` documents of each order were judged."""
    ks = [point.k for point in sweep.points]
    chosen = ks.index(sweep.recommended_k)
    notes = ["K = 0 is the first stage's own order."] if 0 in ks else []
    notes += [*_cut_short(ks, [sweep.measure], top_n), CEILING]
    granted = sweep.margin if sweep.granted_margin is None else sweep.granted_margin
    within, budget = f"Within {granted:.2g}", " within the budget" * (sweep.budget_ms is not None)
    quality = Table.of(
        f"{sweep.measure} by first-stage depth K",
        sweep.points,
        [
            ("K", lambda one: str(one.k)),
            (sweep.measure, lambda one: mean_of(one.measures.get(sweep.measure))),
            ("Ceiling", lambda one: fraction(one.oracle)),
            ("Not retrieved", lambda one: fraction(one.missed)),
            ("Misordered", lambda one: fraction(one.misordered)),
        ],
        chosen=chosen,
        note=" ".join(notes),
    )
    choice = Table.of(
        "Which K to use",
        sweep.points,
        [
            ("K", lambda one: str(one.k)),
            ("Loss at most", lambda one: fraction(one.loss_upper)),
            (within, lambda one: yes_no(one.within_margin)),
            ("p50", lambda one: median(one.latency)),
            ("p95", lambda one: median(one.latency, "p95")),
            ("In budget", lambda one: yes_no(one.within_budget)),
            ("Pareto", lambda one: yes_no(one.pareto)),
            ("Best in", lambda one: f"{one.selected_share:.0%}"),
        ],
        chosen=chosen,
        note=f"Loss at most: 95 % bound of how much any other K{budget} may be better (below 0: "
        f"it is better than any other). {within}: whether that is within the margin that so many "
        f"queries allow. p50, p95: time per query. Pareto: no other K is both as good and as fast. "
        f"Best in: share of resamples of the queries in which this K has the best mean. "
        f"{' '.join(sweep.checks)}",
    )
    return [quality, choice]


def _cut_short(ks: Sequence[int], measures: Sequence[str], top_n: int | None) -> list[str]:
    """Return what to know where a depth returns fewer documents than measures look at."""
    looked_at = {
        measure: min(int(cutoff), top_n or int(cutoff))
        for measure in measures
        if (cutoff := measure.rpartition("@")[2]).isdecimal()
    }
    short = [k for k in ks if 0 < k < max(looked_at.values(), default=0)]
    if not short:
        return []
    wide = [measure for measure, cutoff in looked_at.items() if cutoff > short[0]]
    note = (
        f"A depth K returns K documents, as in production: with K = {', '.join(map(str, short))} "
        f"that is fewer than {', '.join(wide)} {'look' if len(wide) > 1 else 'looks'} at."
    )
    return [note]
