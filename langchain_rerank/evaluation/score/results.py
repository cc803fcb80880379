"""What an evaluation found, as frozen plain data: no LangChain, no torch.

`EvaluationResult` is what every function here ends in; `Report` (`report/report.py`) extends it
with the ways to show it. `to_dict` is the layout of `report.json`, and `from_dict` reads it back.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.plain import build, plain
from langchain_rerank.evaluation.run.names import FIRST_STAGE, RERANKED
from langchain_rerank.evaluation.score.summaries import (
    Comparison,
    Decision,
    Latency,
    LossSplit,
    MeasureSummary,
    QueryDifference,
    Sweep,
    SweepPoint,
    SystemSummary,
    Verdict,
)

Status = Literal["ok", "failed", "unlabelled", "invalid"]

STAGES = ("first_stage", "rerank", "total")

__all__ = [
    "FIRST_STAGE",
    "RERANKED",
    "STAGES",
    "Comparison",
    "Decision",
    "EvaluationResult",
    "Latency",
    "LossSplit",
    "MeasureSummary",
    "QueryDifference",
    "QueryRow",
    "Status",
    "Sweep",
    "SweepPoint",
    "SystemRow",
    "SystemSummary",
    "Verdict",
]


@dataclass(frozen=True)
class SystemRow:
    """One query through one system.

    Attributes:
        ids: `(n,)` ids of what the system returned, best first, each once, exactly as the TREC run
            has them. Where a hit is a source and several chunks share one, the repeats are named
            `source#2`, `source#3`: they keep their rank and earn nothing.
        scores: `(n,)` scores in the order of `ids`; empty where the system gives none.
        measures: Value of each measure; empty where the query counts for none (unlabelled).
        latency_ms: Time by stage (a subset of `STAGES`) in milliseconds, as it was recorded where
            the row comes from a journal; empty where it failed or was not timed.
        error: Why this system failed on this query; its measures are 0 then.
        document_ids: `(n,)` keys into `EvaluationResult.texts`, in the order of `ids`; empty where
            they are `ids` themselves.
    """

    ids: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    measures: dict[str, float] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    document_ids: tuple[str, ...] = ()

    def first_relevant_rank(self, qrels: Mapping[str, int], rel: int = 1) -> int | None:
        """Return the rank (1-based) of the first id with a grade of at least `rel`, or None."""
        ranks = (rank for rank, one in enumerate(self.ids, 1) if qrels.get(one, 0) >= rel)
        return next(ranks, None)


@dataclass(frozen=True)
class QueryRow:
    """One query of the data set, with every system.

    Attributes:
        query_id: The id in the TREC files.
        question: What was asked.
        status: "ok"; "failed": at least one system raised, and counts 0; "unlabelled": ran, but
            nothing says what is relevant, so it is in no mean; "invalid": the record could not be
            used (an empty question), so it did not run and is in no mean.
        error: Why, where the status is not "ok".
        systems: The row of each system by its name; empty where the record is invalid.
        qrels: Grade by id, as the TREC qrels have them (0 means judged and not relevant).
        reference: The reference answer, where the record has one.
        tags: The tags of the record.
        notes: Measures that gave no number for it, and why: they count 0.
    """

    query_id: str
    question: str
    status: Status = "ok"
    error: str | None = None
    systems: dict[str, SystemRow] = field(default_factory=dict)
    qrels: dict[str, int] = field(default_factory=dict)
    reference: str | None = None
    tags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EvaluationResult:
    """Everything that an evaluation found.

    Attributes:
        title: What was evaluated, in a line.
        baseline: The system that the others are compared with.
        measures: The measures, in the order asked for; the first is the main one.
        systems: Summary by name, the baseline first. `compare_rerank` and `sweep_k` call them
            "first_stage" and "reranked".
        comparisons: Every other system against the baseline, by measure.
        queries: One row per record of the data set, in its order.
        loss_split: What the retriever missed and the reranker misordered, by system and measure.
        sweep: The curve over K, where there was a sweep.
        decision: Whether to rerank, with what and how deep; None where the systems are not a first
            stage and rerankers of it, or no query is labelled.
        settings: What was asked for: first_stage_k, top_n, seed, model, precision, data set, ...
        environment: Versions, hardware, start and end of the run (ISO 8601, UTC).
        warnings: What a reader must know, in sentences.
        texts: Text of the documents by id, to show beside a ranking; not part of `to_dict`.
    """

    title: str
    baseline: str
    measures: tuple[str, ...]
    systems: dict[str, SystemSummary]
    comparisons: tuple[Comparison, ...] = ()
    queries: tuple[QueryRow, ...] = ()
    loss_split: tuple[LossSplit, ...] = ()
    sweep: Sweep | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    texts: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    decision: Decision | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many queries have each status."""
        found = [row.status for row in self.queries]
        return {status: found.count(status) for status in typing.get_args(Status)}

    @property
    def recommended_k(self) -> int | None:
        """The depth that a sweep chose; None without a sweep."""
        return self.sweep.recommended_k if self.sweep else None

    def apply(self, retriever: Any) -> Any:
        """Return `retriever` set to the depth that the sweep chose; it stays as it is.

        Args:
            retriever: A `CrossEncoderRerankRetriever`, whose `first_stage_k` is set, or a first
                stage. Where the sweep chose not to rerank (K = 0), the first returns its own first
                stage, set to its `top_n`, and the second stays what it is.

        Raises:
            ConfigurationError: This is no sweep.
        """
        if self.sweep is None:
            raise ConfigurationError("There is no depth to apply: this is no report of sweep_k().")
        from langchain_rerank.base_retrievers.depth import with_depth

        k = self.sweep.recommended_k
        reranks = "first_stage_k" in getattr(type(retriever), "model_fields", {})
        if k and reranks:
            return retriever.model_copy(update={"first_stage_k": k})
        if k:
            return with_depth(retriever, k)
        if not reranks:
            return retriever
        base, shown = retriever.base_retriever, retriever.top_n
        return base if shown is None else with_depth(base, shown)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON: all but `texts`, with `counts` and `recommended_k`."""
        shown = [one.name for one in fields(self) if one.name != "texts"]
        return {
            **{name: plain(getattr(self, name)) for name in shown},
            "counts": self.counts,
            "recommended_k": self.recommended_k,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the result that `to_dict` wrote.

        Raises:
            ConfigurationError: A field is missing or unknown.
        """
        derived = {"counts", "recommended_k", "files"}
        shown = {key: one for key, one in dict(data).items() if key not in derived}
        return build(cls, shown)
