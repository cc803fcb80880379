"""The tables of a sweep: quality at every depth, and which depth to use."""

from __future__ import annotations

from langchain_rerank.evaluation.report.rendering.tables import (
    CEILING,
    Table,
    cut_short,
    mean_with_interval,
)
from langchain_rerank.evaluation.report.rendering.words import (
    NOTHING,
    fraction,
    milliseconds,
    yes_no,
)
from langchain_rerank.evaluation.score.results import Sweep


def depth_tables(sweep: Sweep, top_n: int | None) -> list[Table]:
    """Return the tables of a sweep in which `top_n` documents of each order were judged."""
    ks = [point.k for point in sweep.points]
    notes = ["K = 0 is the first stage's own order."] if 0 in ks else []
    notes += [*cut_short(ks, [sweep.measure], top_n), CEILING]
    quality = Table(
        caption=f"{sweep.measure} by first-stage depth K",
        columns=("K", sweep.measure, "Ceiling", "Not retrieved", "Misordered"),
        rows=tuple(
            (
                str(point.k),
                mean_with_interval(point.measures.get(sweep.measure)),
                *(fraction(one) for one in (point.oracle, point.missed, point.misordered)),
            )
            for point in sweep.points
        ),
        chosen=ks.index(sweep.recommended_k),
        note=" ".join(notes),
    )
    return [quality, _choice(sweep, ks.index(sweep.recommended_k))]


def _choice(sweep: Sweep, chosen: int) -> Table:
    granted = sweep.margin if sweep.granted_margin is None else sweep.granted_margin
    within, budget = f"Within {granted:.2g}", " within the budget" * (sweep.budget_ms is not None)
    rows = []
    for point in sweep.points:
        total = point.latency.get("total")
        rows.append(
            (
                str(point.k),
                NOTHING if point.loss_upper is None else fraction(point.loss_upper),
                yes_no(point.within_margin),
                milliseconds(total.p50) if total else NOTHING,
                milliseconds(total.p95) if total else NOTHING,
                yes_no(point.within_budget),
                yes_no(point.pareto),
                f"{point.selected_share:.0%}",
            )
        )
    return Table(
        caption="Which K to use",
        columns=("K", "Loss at most", within, "p50", "p95", "In budget", "Pareto", "Best in"),
        rows=tuple(rows),
        chosen=chosen,
        note=(
            f"Loss at most: 95 % bound of how much any other K{budget} may be better (below 0: "
            f"it is better than any other). {within}: whether that is within the margin that so "
            f"many queries allow. p50, p95: time per query. Pareto: no other K is both as good and "
            f"as fast. Best in: share of resamples of the queries in which this K has the best "
            f"mean. {' '.join(sweep.checks)}"
        ),
    )
