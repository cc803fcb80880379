"""A table of finished text, and what several tables say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_rerank.evaluation.report.rendering.words import NOTHING, between, fraction
from langchain_rerank.evaluation.score.results import MeasureSummary

CEILING = (
    "Ceiling: the best order of the K candidates. Not retrieved is the first stage's to improve, "
    "misordered is the reranker's. What no ranking can reach (R@1 of three relevant documents is a "
    "third at most) is in neither."
)


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


def mean_with_interval(summary: MeasureSummary | None, separator: str = " ") -> str:
    """Return a mean, and its interval after `separator`, as far as there are such."""
    if summary is None or summary.mean is None:
        return NOTHING
    mean = fraction(summary.mean)
    return mean if summary.ci is None else f"{mean}{separator}{between(summary.ci)}"


def cut_short(ks: Sequence[int], measures: Sequence[str], top_n: int | None) -> list[str]:
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
