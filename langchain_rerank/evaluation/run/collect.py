"""Ask every stage every question, once: bounded, journalled, with progress, to be resumed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from langchain_core.runnables import RunnableConfig

from langchain_rerank.errors import EvaluationError, MissingExtraError, ModelLoadError
from langchain_rerank.evaluation.data.questions import Record
from langchain_rerank.evaluation.run.bounded import each
from langchain_rerank.evaluation.run.journal import Journal
from langchain_rerank.evaluation.run.progress import Progress
from langchain_rerank.evaluation.run.stage import Found, Stage, described

ByQuery = dict[str, Found]
"""What one system returned, by query id."""


@dataclass(frozen=True)
class Collector:
    """Asks stages questions. What the journal has is not asked, nor timed, again.

    Attributes:
        journal: Where finished rows are.
        config: Config for what is asked: callbacks, tags.
        limit: How many questions are asked at a time. Latency is that of one only at 1.
        advance: Called with the cost of what is done.
    """

    journal: Journal
    config: RunnableConfig
    limit: int = 1
    advance: Callable[[int], None] = lambda _cost: None

    async def rows(
        self, stages: Sequence[Stage], records: Sequence[Record]
    ) -> AsyncGenerator[tuple[Record, dict[str, Found]], None]:
        """Yield each record with what every system returned, in order, as soon as it is there.

        A record that cannot be used is asked nothing. What is raised beside a question that fails,
        as by the caller's progress to break off, stops all: nothing more is asked, and paid for.
        """
        places = [asyncio.get_running_loop().create_future() for _ in records]

        async def work(position: int) -> None:
            record = records[position]
            found = {} if record.problem else await self.asked(stages, record)
            places[position].set_result(found)

        every = asyncio.ensure_future(
            each(range(len(records)), work, limit=self.limit, advance=lambda *_: None)
        )
        try:
            for record, place in zip(records, places, strict=True):
                await asyncio.wait([place, every], return_when=asyncio.FIRST_COMPLETED)
                if not place.done():
                    await every  # raises
                yield record, place.result()
        finally:
            # Whoever stops listening does not wait for the rest; nothing is written any more.
            every.cancel()
            await asyncio.gather(every, return_exceptions=True)

    async def all(self, stages: Sequence[Stage], records: Sequence[Record]) -> dict[str, ByQuery]:
        """Return what every system returned, by its name and query id, of usable records."""
        usable = [one for one in records if not one.problem]
        found: dict[str, ByQuery] = {name: {} for stage in stages for name in stage.names}
        async with aclosing(self.rows(stages, usable)) as rows:
            async for record, by_name in rows:
                for name, one in by_name.items():
                    found[name][record.id] = one
        return found

    async def asked(self, stages: Sequence[Stage], record: Record) -> dict[str, Found]:
        """Return what every system returns for one record, one stage after the other."""
        found: dict[str, Found] = {}
        for stage in stages:
            given = stage.given(record) if stage.given else ""
            rows = {name: self.journal.get(name, record.id, given) for name in stage.names}
            known = {name: Found.from_row(row) for name, row in rows.items() if row is not None}
            if len(known) < len(stage.names):
                for name, found_now in (await self._run(stage, record)).items():
                    one = known[name] = found_now.beside(self.journal.documents)
                    if stage.keeps:
                        self.journal.put(name, record.id, one.to_row(), one.documents, given)
            found |= known
            self.advance(stage.cost)
        return found

    async def _run(self, stage: Stage, record: Record) -> dict[str, Found]:
        try:
            return dict(await stage.ask(record, self.config))
        except Exception as error:  # noqa: BLE001 - anybody's system: one failure keeps the rest
            return {name: Found(error=described(error)) for name in stage.names}

    async def warm_up(self, stages: Sequence[Stage], records: Sequence[Record]) -> None:
        """Ask each stage its first unfinished question untimed: first calls load models.

        Raises:
            MissingExtraError: A system needs a package that is not installed.
            ModelLoadError: A model cannot be loaded.
        """
        # Callbacks should see the real calls only, and a failure shows in them.
        config: RunnableConfig = {**self.config, "callbacks": []}
        for stage in stages:
            unfinished = (
                one
                for one in records
                if not one.problem
                and not all(self.journal.has(name, one.id) for name in stage.names)
            )
            record = next(unfinished, None)
            if record is None:
                continue
            try:
                await stage.ask(record, config)
            except (ModelLoadError, MissingExtraError):
                raise  # It would fail once per question, slowly, and leave nothing to report.
            except Exception:  # noqa: BLE001, S112 - the real call reports it
                continue


def weighted(advance: Progress, steps: int, cost: int) -> Callable[[int], None]:
    """Return what takes the cost of what is done, and tells progress of it in whole steps."""
    done = told = 0

    def spent(more: int) -> None:
        nonlocal done, told
        done += more
        now = min(steps, steps * done // max(1, cost))
        if now > told:
            told = now
            advance(now, steps)

    return spent


def spread(records: Sequence[Record], n: int) -> list[Record]:
    """Return at most `n` records, evenly from all over."""
    return list(records[:: max(1, len(records) // n)][:n])


def refuse_total_failure(found: ByQuery) -> None:
    """Raise where every question failed: an outage is no evaluation."""
    errors = [one.error for one in found.values()]
    if errors and all(errors):
        raise EvaluationError(
            f"Every one of the {len(errors)} questions failed; there is nothing to report. "
            f"The first: {errors[0]}"
        )
