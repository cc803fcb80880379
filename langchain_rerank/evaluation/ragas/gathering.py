"""Ask every system every question, once, and keep what they found as RAGAS rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.questions import Dataset, Record
from langchain_rerank.evaluation.data.ragas_rows import RagasRow
from langchain_rerank.evaluation.ragas.labels import Labels
from langchain_rerank.evaluation.run.collect import Collector, refuse_total_failure
from langchain_rerank.evaluation.run.stage import Found, Stage

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
    collector: Collector,
    *,
    run_chains: bool = True,
) -> Gathered:
    """Return what every system found for every usable question.

    What may ask a language model runs only where `run_chains`; else its rows are assumed.
    """
    records = dataset.usable
    runs = [0]
    if not run_chains:
        stages = [_assuming(one, runs) if one.generates else one for one in stages]
    found = await collector.all(stages, records)
    for by_query in found.values():
        refuse_total_failure(by_query)
    documents = collector.journal.documents

    def of(one: Found) -> list[Document]:
        return [one.documents.get(key) or documents[key] for key in one.keys]

    def seen(query: str) -> list[Document]:
        return [document for by_query in found.values() for document in of(by_query[query])]

    return Gathered(
        dataset=dataset,
        rows={
            name: {
                one.id: labels.row(one, of(by_query[one.id]), by_query[one.id].response)
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
        warnings=[
            *collector.journal.warnings,
            *_warnings(labels, [(one, seen(one.id)) for one in records]),
        ],
        chain_runs=runs[0],
    )


def _assuming(stage: Stage, runs: list[int]) -> Stage:
    """Return a stage that assumes what another would find; it counts how often in `runs`."""

    async def ask(_record: Record, _config: RunnableConfig) -> dict[str, Found]:
        runs[0] += 1
        return {name: _assumed(name) for name in stage.names}

    return replace(stage, ask=ask, keeps=False)


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


def _assumed(system: str) -> Found:
    # Contexts of its own for every system: as if they shared none, which costs most.
    documents = [
        Document(f"{system} {number} {_ASSUMED_CONTEXT}", id=f"{system} {number}")
        for number in range(_ASSUMED_CONTEXTS)
    ]
    return Found.of(documents, lambda one: str(one.id), response=_ASSUMED_RESPONSE)


def _warnings(labels: Labels, judged: list[tuple[Record, list[Document]]]) -> list[str]:
    if judged:
        # What the corpus has was merely not found; only what it has not may be a wrong label.
        judged[0] = (judged[0][0], [*judged[0][1], *labels.corpus])
    try:
        return labels.relevance.check(judged)
    except ConfigurationError as error:
        # Only the metrics that compare ids miss what is missing here; they say so themselves.
        return [str(error)]
