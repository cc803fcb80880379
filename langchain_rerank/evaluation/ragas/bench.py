"""Where rows are judged: verdicts that were given before first, then the judge."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

from pydantic import BaseModel, ValidationError

from langchain_rerank.errors import JudgeError
from langchain_rerank.evaluation.data.ragas_rows import RagasRow
from langchain_rerank.evaluation.judge.failures import Reach
from langchain_rerank.evaluation.judge.verdicts import Verdicts, verdict_key
from langchain_rerank.evaluation.ragas.adapters import llm_of
from langchain_rerank.evaluation.ragas.gathering import Gathered
from langchain_rerank.evaluation.ragas.metrics import Cell, CellStatus, Metric
from langchain_rerank.evaluation.run.bounded import each

_NO_NUMBER = "RAGAS has no number: the judge found no statement to check"

Outcome = tuple[CellStatus, float | None, str | None]
"""Status, value and reason of a cell."""

Answer = Callable[[str, str, type[BaseModel]], Awaitable[BaseModel]]
"""From a metric's name, a prompt, and the model that the answer is read as, to the answer."""


@dataclass
class Bench:
    """Who judges, what was judged before, and what was asked so far.

    Attributes:
        answer: Asks the judge; None without one.
        embeddings: As RAGAS wants them; None without.
        judge_identity: What keeps the verdicts of different judges apart.
        embeddings_identity: The same for embeddings.
        verdicts: The verdicts given before.
        asked: How many questions the judge was asked, by metric, in this run.
        reused: How many questions were answered before.
        reach: Whether the judge still answers.
    """

    answer: Answer | None
    embeddings: Any
    judge_identity: str
    embeddings_identity: str
    verdicts: Verdicts
    asked: Counter[str] = field(default_factory=Counter)
    reused: int = 0
    reach: Reach = field(default_factory=Reach)

    async def judged(
        self, system: str, query_id: str, metric: Metric, row: RagasRow, error: str | None = None
    ) -> Cell:
        """Return the cell of a row; a failure of the judge is its reason, and nobody else's.

        `error` says why the system failed, where it did.
        """
        status, value, reason = _without_judge(metric, row, error) or await self._asked(metric, row)
        return Cell(system, query_id, metric.name, status, value, reason)

    async def _asked(self, metric: Metric, row: RagasRow) -> Outcome:
        known = row.to_dict()
        content = [known[name] for name in metric.needs]
        judges = [self.judge_identity, self.embeddings_identity if metric.embeds else ""]
        key = verdict_key("cell", judges, metric.name, metadata.version("ragas"), content)
        kept = self.verdicts.get(key)
        if kept is not None:
            return "ok", kept, None
        times: Counter[str] = Counter()
        failures: list[JudgeError] = []

        async def ask(prompt: str, model: type[BaseModel]) -> BaseModel:
            # Two systems show the judge largely the same contexts: each verdict on one is asked for
            # once. RAGAS may ask the same thing thrice, and wants three answers.
            times[prompt] += 1
            content = (metric.name, model.__name__, prompt, times[prompt])
            key = verdict_key("answer", self.judge_identity, *content)
            try:
                return await self.verdict(key, metric.name, prompt, model)
            except JudgeError as error:
                failures.append(error)
                raise

        try:
            value = await metric.ask(row, llm_of(ask), self.embeddings)
        except JudgeError as error:
            return "failed", None, str(error)
        except Exception as error:  # noqa: BLE001 - RAGAS computes with whatever the judge said
            return "failed", None, f"RAGAS raised {type(error).__name__}: {error}"
        if failures:
            # ContextRelevance swallows errors and makes do with one of its two verdicts.
            return "failed", None, str(failures[-1])
        if not math.isfinite(value):
            return "not_applicable", None, _NO_NUMBER
        self.verdicts.put(key, value, metric=metric.name)
        return "ok", value, None

    async def verdict(
        self, key: str, metric: str, prompt: str, model: type[BaseModel]
    ) -> BaseModel:
        """Return the answer to a prompt, read as `model`; of the judge where `key` is not known.

        Raises:
            JudgeError: The judge gave no usable answer, or none to anything before.
        """
        known = self.verdicts.get(key)
        if known is not None:
            try:
                answer = model.model_validate(known)
            except ValidationError:
                pass  # kept by a version of RAGAS that asked for something else
            else:
                self.reused += 1
                return answer
        if self.answer is None:
            raise JudgeError("not asked: there is no judge")
        self.reach.check()
        self.asked[metric] += 1
        try:
            answer = await self.answer(metric, prompt, model)
        except JudgeError as error:
            self.reach.failed(error)
            raise
        self.reach.answered()
        self.verdicts.put(key, answer.model_dump(mode="json"), metric=metric)
        return answer


async def judge_all(
    bench: Bench,
    gathered: Gathered,
    metrics: Sequence[Metric],
    limit: int,
    advance: Callable[[int, int], None],
) -> list[Cell]:
    """Return every cell, by question, then metric, then system; `limit` are judged at once."""
    units = [(query, one) for query in next(iter(gathered.rows.values())) for one in metrics]
    found: dict[tuple[str, Metric], list[Cell]] = {}
    answers = {
        name: any(one.response for one in rows.values()) for name, rows in gathered.rows.items()
    }

    async def unit(item: tuple[str, Metric]) -> None:
        # All systems one after the other: the second finds the verdicts on the contexts that it
        # shares with the first.
        query, metric = item
        cells = []
        for name, rows in gathered.rows.items():
            row, error = rows[query], gathered.errors.get((name, query))
            if error is not None and answers[name]:
                # It would have answered: the metrics of answers count the failure, too.
                row = replace(row, response=error)
            cells.append(await bench.judged(name, query, metric, row, error))
        found[item] = cells

    await each(units, unit, limit=limit, advance=advance)
    return [cell for item in units for cell in found[item]]


def _without_judge(metric: Metric, row: RagasRow, error: str | None) -> Outcome | None:
    """Return the outcome of a cell for which nobody has to be asked, or None."""
    reason = metric.not_applicable(row)
    if reason is not None:
        return "not_applicable", None, reason
    if error is not None:
        return "error", metric.worst, error
    if metric.retrieved_nothing(row):
        return "empty", 0.0, None
    return None if metric.compute is None else ("ok", metric.compute(row), None)
