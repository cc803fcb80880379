"""`EvaluationChain`: several systems on one data set, as a LangChain runnable."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from time import perf_counter
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import (
    ContextThreadPoolExecutor,
    ensure_config,
)

from langchain_rerank.checks import check_top_n
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.compare import DEFAULT_MEASURES
from langchain_rerank.evaluation.data.datasets import DatasetLike, Record, as_dataset
from langchain_rerank.evaluation.data.relevance import Relevance
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.report.runs import Run
from langchain_rerank.evaluation.run.environment import now
from langchain_rerank.evaluation.run.journal import Journal
from langchain_rerank.evaluation.run.progress import Progress, progress_of
from langchain_rerank.evaluation.run.scoring import as_first_stage
from langchain_rerank.evaluation.score.assemble import Ranking
from langchain_rerank.evaluation.score.measures import Measure, parse_measures
from langchain_rerank.evaluation.score.results import QueryRow
from langchain_rerank.retriever import CrossEncoderRerankRetriever


class EvaluationChain(Runnable[DatasetLike, Report]):
    """Runnable from a data set to a report: several systems against a baseline.

    `invoke` and `ainvoke` return a `Report`; `stream` and `astream` give one `QueryRow` per record,
    in order, as soon as it is there. Callbacks, tags and metadata of the config reach every system.
    One failed question keeps all others.

    Args:
        systems: By name: retrievers, runnables or callables from a question to documents. A
            `CrossEncoderRerankRetriever` reports its time by stage.
        baseline: The system that the others are compared with; None for the first.
        measures: Names such as "nDCG@10", or measures; the first is the main one.
        top_n: How many documents of each system are judged; None for all it returns.
        relevance: What counts as a hit.
        max_concurrency: How many questions are asked at a time; `config["max_concurrency"]` goes
            before. Latency is that of one question only at 1.
        journal: A file that keeps what is finished.
        resume: Whether to go on with what `journal` holds; failed questions are tried again.
        progress: A hook `(done, total)`, True for a bar, False for none; None for a bar in a
            terminal.
        seed: Seed of intervals and randomisation.
        settings: What else the report should say about the run; a journal that was written with
            other values is not resumed.

    Raises:
        ConfigurationError: No system, or an impossible setting.

    Examples:
        >>> from langchain_core.documents import Document
        >>> corpus = [Document("LoRA adds adapters.", id="a"), Document("Cats sleep.", id="b")]
        >>> chain = EvaluationChain(
        ...     {"as it is": lambda question: corpus, "reversed": lambda question: corpus[::-1]},
        ...     measures=["RR"],
        ... )
        >>> report = chain.invoke([{"question": "What is LoRA?", "qrels": {"a": 1}}])
        >>> {name: system.measures["RR"].mean for name, system in report.systems.items()}
        {'as it is': 1.0, 'reversed': 0.5}
    """

    def __init__(
        self,
        systems: Mapping[str, Any],
        *,
        baseline: str | None = None,
        measures: str | Sequence[str | Measure] = DEFAULT_MEASURES,
        top_n: int | None = None,
        relevance: Relevance | None = None,
        max_concurrency: int = 1,
        journal: str | Path | None = None,
        resume: bool = False,
        progress: Progress | bool | None = None,
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        check_top_n(top_n)
        self.systems = {name: as_first_stage(one) for name, one in systems.items()}
        self.baseline = baseline if baseline is not None else next(iter(systems), None)
        if self.baseline not in self.systems:
            raise ConfigurationError(
                f"The baseline {self.baseline!r} is none of the systems: "
                f"{', '.join(systems) or 'none was given'}."
            )
        if max_concurrency < 1:
            raise ConfigurationError(f"max_concurrency={max_concurrency}: at least 1 is needed.")
        self.measures = parse_measures(measures)
        self.top_n = top_n
        self.relevance = relevance or Relevance()
        self.max_concurrency = max_concurrency
        self.journal = journal
        self.resume = resume
        self.progress = progress
        self.seed = seed
        self.settings = dict(settings or {})

    def invoke(
        self,
        input: DatasetLike,  # noqa: A002 - the name of every runnable's argument
        config: RunnableConfig | None = None,
        **_kwargs: Any,
    ) -> Report:
        """Return the report on a data set.

        Raises:
            ConfigurationError: Labels that no document can be compared with.
            DataFileError: The data set or the journal cannot be read.
            EvaluationError: Every question of a system failed.
        """
        return self._call_with_config(self._report, input, config)

    async def ainvoke(
        self,
        input: DatasetLike,  # noqa: A002 - the name of every runnable's argument
        config: RunnableConfig | None = None,
        **_kwargs: Any,
    ) -> Report:
        """Return what `invoke` returns, without blocking the event loop."""
        return await self._acall_with_config(self._areport, input, config)

    def stream(  # type: ignore[override] # rows while it runs; the report is what invoke returns
        self,
        input: DatasetLike,  # noqa: A002 - the name of every runnable's argument
        config: RunnableConfig | None = None,
        **_kwargs: Any,
    ) -> Iterator[QueryRow]:
        """Yield the row of each record, in order."""
        run = self._run(input)
        for record, rankings in self._rankings(run, ensure_config(config)):
            yield run.row(record, rankings)

    async def astream(  # type: ignore[override] # as `stream`
        self,
        input: DatasetLike,  # noqa: A002 - the name of every runnable's argument
        config: RunnableConfig | None = None,
        **_kwargs: Any,
    ) -> AsyncIterator[QueryRow]:
        """Yield the row of each record, in order."""
        run = self._run(input)
        async for record, rankings in self._arankings(run, ensure_config(config)):
            yield run.row(record, rankings)

    def _run(self, data: DatasetLike) -> Run:
        dataset = as_dataset(data)
        stated = {
            "questions": [(one.id, one.question) for one in dataset.records],
            "systems": {name: type(one).__name__ for name, one in self.systems.items()},
            "id_key": self.relevance.id_key,
            "settings": self.settings,
        }
        return Run(self, dataset, Journal(self.journal, stated, resume=self.resume), now())

    def _report(
        self,
        data: DatasetLike,
        run_manager: CallbackManagerForChainRun,  # noqa: ARG002 - core gives it before `config`
        config: RunnableConfig,
    ) -> Report:
        run = self._run(data)
        return run.report([run.row(*one) for one in self._rankings(run, config)])

    async def _areport(
        self,
        data: DatasetLike,
        run_manager: AsyncCallbackManagerForChainRun,  # noqa: ARG002 - as above
        config: RunnableConfig,
    ) -> Report:
        run = self._run(data)
        return run.report([run.row(*one) async for one in self._arankings(run, config)])

    def _rankings(
        self, run: Run, config: RunnableConfig
    ) -> Iterator[tuple[Record, dict[str, Ranking]]]:
        for record, name in run.warm_ups():
            with contextlib.suppress(Exception):
                _call(self.systems[name], record.question, _unseen(config))
        limit = config.get("max_concurrency") or self.max_concurrency
        total = len(run.dataset)
        with (
            progress_of(self.progress, "Evaluating") as advance,
            ContextThreadPoolExecutor(max_workers=limit) as threads,
        ):
            waiting: list[tuple[Record, Future[dict[str, Ranking]]]] = [
                (one, threads.submit(self._asked, run, one, config)) for one in run.dataset.records
            ]
            try:
                for done, (record, future) in enumerate(waiting, 1):
                    rankings = future.result()
                    advance(done, total)
                    yield record, rankings
            finally:
                # Whoever stops listening, or presses Ctrl-C, does not wait for the rest.
                threads.shutdown(wait=False, cancel_futures=True)

    async def _arankings(
        self, run: Run, config: RunnableConfig
    ) -> AsyncIterator[tuple[Record, dict[str, Ranking]]]:
        for record, name in run.warm_ups():
            with contextlib.suppress(Exception):
                await _acall(self.systems[name], record.question, _unseen(config))
        free = asyncio.Semaphore(config.get("max_concurrency") or self.max_concurrency)

        async def asked(record: Record) -> dict[str, Ranking]:
            async with free:
                return await self._aasked(run, record, config)

        tasks = [asyncio.ensure_future(asked(one)) for one in run.dataset.records]
        total = len(tasks)
        try:
            with progress_of(self.progress, "Evaluating") as advance:
                for done, (record, task) in enumerate(
                    zip(run.dataset.records, tasks, strict=True), 1
                ):
                    rankings = await task
                    advance(done, total)
                    yield record, rankings
        finally:
            for task in tasks:
                task.cancel()

    def _asked(self, run: Run, record: Record, config: RunnableConfig) -> dict[str, Ranking]:
        found: dict[str, Ranking] = {}
        for name, system in ({} if record.problem else self.systems).items():
            known = run.finished(name, record)
            if known is None:
                started = perf_counter()
                try:
                    output = _call(system, record.question, config)
                    known = run.keep(name, record, output, started)
                except Exception as error:  # noqa: BLE001 - anybody's system: keep all others
                    known = run.fail(name, record, error)
            found[name] = known
        return found

    async def _aasked(self, run: Run, record: Record, config: RunnableConfig) -> dict[str, Ranking]:
        found: dict[str, Ranking] = {}
        for name, system in ({} if record.problem else self.systems).items():
            known = run.finished(name, record)
            if known is None:
                started = perf_counter()
                try:
                    output = await _acall(system, record.question, config)
                    known = run.keep(name, record, output, started)
                except Exception as error:  # noqa: BLE001 - anybody's system: keep all others
                    known = run.fail(name, record, error)
            found[name] = known
        return found


def _unseen(config: RunnableConfig) -> RunnableConfig:
    """Return `config` for a warm-up, which is no part of what callbacks should see."""
    return {**config, "callbacks": []}


def _call(system: Runnable[str, Any], question: str, config: RunnableConfig) -> Any:
    if isinstance(system, CrossEncoderRerankRetriever):
        return system.search(question, config)
    return system.invoke(question, config)


async def _acall(system: Runnable[str, Any], question: str, config: RunnableConfig) -> Any:
    if isinstance(system, CrossEncoderRerankRetriever):
        return await system.asearch(question, config)
    return await system.ainvoke(question, config)
