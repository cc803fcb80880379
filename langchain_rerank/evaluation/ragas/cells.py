"""One metric of one row: its value, or why it has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CellStatus = Literal["ok", "empty", "error", "failed", "not_applicable"]


@dataclass(frozen=True)
class Cell:
    """One metric of one question through one system.

    Attributes:
        system: The system.
        query_id: The question.
        metric: The metric.
        status: "ok"; "empty": nothing was retrieved, which counts 0; "error": the system failed,
            which counts as the worst value; "failed": the judge gave no usable answer, so it is in
            no mean; "not_applicable": the row has not what the metric needs, or RAGAS has no number
            for it, so it is in no mean either.
        value: The value, where there is one.
        reason: Why there is none, or what the error was.
    """

    system: str
    query_id: str
    metric: str
    status: CellStatus
    value: float | None = None
    reason: str | None = None
