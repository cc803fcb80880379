"""Ask every system every question, once, and keep what they found as RAGAS rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.datasets import Dataset, Record
from langchain_rerank.evaluation.ragas.labels import Labels
from langchain_rerank.evaluation.ragas.rows import RagasRow
from langchain_rerank.evaluation.ragas.systems import Found, Stage
from langchain_rerank.evaluation.run import scoring
from langchain_rerank.evaluation.run.bounded import each
from langchain_rerank.evaluation.run.journal import Journal

_ASSUMED_CONTEXTS, _ASSUMED_CONTEXT, _ASSUMED_RESPONSE = 5, "word " * 200, "word " * 60


@dataclass
class Gathered:
    """What is judged.

    Attributes:
        dataset: The questions.
        rows: Row by query id, by system, the baseline first.
        errors: Why a system failed, by system and query id; its row is empty then.
        warnings: What was noticed about the labels.
        chain_runs: How often chains have to run first; they were not run for an estimate.
    """

    dataset: Dataset
    rows: dict[str, dict[str, RagasRow]]
    errors: dict[tuple[str, str], str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    chain_runs: int = 0


async def gather(
    stages: Sequence[Stage],
    dataset: Dataset,
    labels: Labels,
    journal: Journal,
    *,
    config: RunnableConfig,
    limit: int,
    advance: Callable[[int, int], None],
    run_chains: bool = True,
) -> Gathered:
    """Return what every system found for every usable question.

    Args:
        stages: What to run.
        dataset: The questions.
        labels: Makes the rows.
        journal: Where finished rows are; new ones are put there.
        config: Config for the systems.
        limit: How many questions run at once.
        advance: Called with how many steps are done, and of how many.
        run_chains: Whether to run what may ask a language model; else its rows are assumed.

    Raises:
        EvaluationError: A system failed on every question.
    """
    records = [one for one in dataset.records if not one.problem]
    found: dict[str, dict[str, Found]] = {name: {} for one in stages for name in one.names}
    steps = [(stage, record) for record in records for stage in stages]
    runs = 0

    async def step(item: tuple[Stage, Record]) -> None:
        nonlocal runs
        stage, record = item
        known = {name: _kept(journal, name, record) for name in stage.names}
        if all(one is not None for one in known.values()):
            results = {name: one for name, one in known.items() if one is not None}
        elif stage.generates and not run_chains:
            runs += 1
            results = {name: _assumed(name) for name in stage.names}
        else:
            results = await stage.found(record.question, config)
            for name, one in results.items():
                _keep(journal, name, record, one, labels)
        for name, one in results.items():
            found[name][record.id] = one

    await each(steps, step, limit=limit, advance=advance)
    for by_query in found.values():
        scoring.refuse_total_failure([one.error for one in by_query.values()])
    return Gathered(
        dataset=dataset,
        rows={
            name: {
                one.id: labels.row(one, by_query[one.id].documents, by_query[one.id].response)
                for one in records
            }
            for name, by_query in found.items()
        },
        errors={
            (name, query): one.error
            for name, by_query in found.items()
            for query, one in by_query.items()
            if one.error is not None
        },
        warnings=_warnings(labels, records, found),
        chain_runs=runs,
    )


def given(rows: Mapping[str, Iterable[RagasRow]]) -> Gathered:
    """Return rows that were made elsewhere as what is judged.

    Raises:
        ConfigurationError: No system, no row, or systems that were asked different questions.
    """
    listed = {name: list(of_system) for name, of_system in rows.items()}
    asked = {name: [one.user_input for one in of_system] for name, of_system in listed.items()}
    first = next(iter(asked.values()), [])
    if not first or any(one != first for one in asked.values()):
        counts = ", ".join(f"{name} {len(one)}" for name, one in asked.items()) or "none"
        raise ConfigurationError(
            f"Rows of every system are expected, with the same questions in the same order; got "
            f"{counts}."
        )
    baseline = next(iter(listed.values()))
    ids = [one.query_id or str(position) for position, one in enumerate(baseline, 1)]
    if len(set(ids)) < len(ids):
        raise ConfigurationError("Two rows have the same query_id; each question has its own.")
    records = tuple(
        Record(id=id_, question=one.user_input, reference=one.reference)
        for id_, one in zip(ids, baseline, strict=True)
    )
    return Gathered(
        dataset=Dataset(records, "RAGAS rows"),
        rows={name: dict(zip(ids, one, strict=True)) for name, one in listed.items()},
    )


def _kept(journal: Journal, name: str, record: Record) -> Found | None:
    row = journal.get(name, record.id)
    if row is None:
        return None
    return Found(tuple(journal.documents[key] for key in row["keys"]), row["response"])


def _keep(journal: Journal, name: str, record: Record, found: Found, labels: Labels) -> None:
    documents = labels.relevance.keyed(found.documents)
    keys = [labels.relevance.key(one) for one in found.documents]
    row: dict[str, Any] = {"keys": keys, "response": found.response, "error": found.error}
    journal.put(name, record.id, row, documents)


def _assumed(system: str) -> Found:
    # Contexts of its own for every system: as if they shared none, which costs most.
    return Found(
        tuple(
            Document(f"{system} {number} {_ASSUMED_CONTEXT}", id=str(number))
            for number in range(_ASSUMED_CONTEXTS)
        ),
        _ASSUMED_RESPONSE,
    )


def _warnings(
    labels: Labels, records: Sequence[Record], found: Mapping[str, Mapping[str, Found]]
) -> list[str]:
    judged = [
        (record, [one for by_query in found.values() for one in by_query[record.id].documents])
        for record in records
    ]
    if judged:
        # What the corpus has was merely not found; only what it has not may be a wrong label.
        judged[0] = (judged[0][0], [*judged[0][1], *labels.corpus])
    try:
        return labels.relevance.check(judged)
    except ConfigurationError as error:
        # Only the metrics that compare ids miss what is missing here; they say so themselves.
        return [str(error)]
