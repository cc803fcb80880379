"""What a reader should see of a result: sentences first, then tables of finished text.

Every renderer shows this one view, so that the terminal, the Markdown and the page say the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from langchain_rerank.evaluation.report.rendering import tables
from langchain_rerank.evaluation.report.rendering.sentences import headlines
from langchain_rerank.evaluation.report.rendering.tables import Table
from langchain_rerank.evaluation.report.rendering.words import NOTHING, signed, system_label
from langchain_rerank.evaluation.score.results import EvaluationResult

_MANY = 4  # systems, the first stage among them: from here on, whole tables run off the screen


@dataclass(frozen=True)
class View:
    """A result as text, in reading order.

    Attributes:
        title: What was evaluated.
        headlines: The answer in sentences.
        warnings: What a reader must know.
        tables: The figures.
        extremes: The queries that gained and lost most.
        facts: Settings and environment, by name.
    """

    title: str
    headlines: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    extremes: tuple[Table, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


def view(result: EvaluationResult, *, narrow: bool = False) -> View:
    """Return what a reader should see of `result`; `narrow` is what a terminal has room for."""
    if narrow and len(result.systems) >= _MANY:
        return replace(view(result), tables=(tables.brief_table(result),), extremes=())
    found = [tables.systems_table(result)]
    if result.sweep is not None:
        found += tables.depth_tables(result.sweep, result.settings.get("top_n"))
    found += tables.comparison_tables(result)
    if result.loss_split:
        found.append(tables.losses_table(result))
    if any(summary.latency for summary in result.systems.values()):
        found.append(tables.latency_table(result))
    groups = (result.settings, result.environment)
    return View(
        title=result.title,
        headlines=tuple(headlines(result)),
        warnings=result.warnings,
        tables=tuple(found),
        extremes=tuple(_extremes(result)),
        facts=tuple(fact for one in groups for key in one for fact in _flat(key, one[key])),
    )


def _extremes(result: EvaluationResult) -> Iterable[Table]:
    for one in result.comparisons:
        if (one.measure, one.baseline) != (result.measures[0], result.baseline):
            continue
        for word, queries in (("gained", one.gained), ("lost", one.lost)):
            if queries:
                yield Table(
                    caption=f"{system_label(one.system)}: {word} most",
                    columns=("Query", "Question", one.measure),
                    rows=tuple((q.query_id, q.question, signed(q.difference)) for q in queries),
                    words=2,
                )


def _flat(key: str, value: object) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for inner, one in value.items():
            yield from _flat(f"{key}.{inner}", one)
    elif isinstance(value, (list, tuple)):
        yield key, ", ".join(str(one) for one in value)
    else:
        yield key, NOTHING if value is None else str(value)
