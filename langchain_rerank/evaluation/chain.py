"""`EvaluationChain`: several systems on one data set, as a LangChain runnable."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any, Unpack

from langchain_core.callbacks import AsyncCallbackManagerForChainRun
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config

from langchain_rerank.base_retrievers.stages import as_stage
from langchain_rerank.checks import check_fits, shown, whole_number
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.compare import DEFAULT_MEASURES
from langchain_rerank.evaluation.data.datasets import DatasetLike
from langchain_rerank.evaluation.report.build import chain_report
from langchain_rerank.evaluation.report.report import Report
from langchain_rerank.evaluation.run.again import confirm
from langchain_rerank.evaluation.run.background import iterate, run
from langchain_rerank.evaluation.run.collect import Collector, weighted
from langchain_rerank.evaluation.run.journal import Journal
from langchain_rerank.evaluation.run.progress import progress_of
from langchain_rerank.evaluation.run.setting import RunSettings, Setting
from langchain_rerank.evaluation.run.systems import ChainKeys, system
from langchain_rerank.evaluation.score import assemble
from langchain_rerank.evaluation.score.measures import Measure, parse_measures
from langchain_rerank.evaluation.score.results import QueryRow


class EvaluationChain(Runnable[DatasetLike, Report]):
    """Runnable from a data set to a report: several systems against a baseline.

    `invoke` and `ainvoke` return a `Report`; `stream` and `astream` give one `QueryRow` per record,
    in order, as soon as it is there. Callbacks, tags and metadata of the config reach every system.
    One failed question keeps all others.

    Args:
        systems: By name: retrievers, chains, or callables from a question to documents. A
            `CrossEncoderRerankRetriever` reports its time by stage; of a chain's dictionary, its
            documents are read.
        baseline: The system that the others are compared with; None for the first.
        measures: Names such as "nDCG@10", or measures; the first is the main one.
        max_concurrency: How many questions are asked at a time; `config["max_concurrency"]` goes
            before. Latency is that of one question only at 1.
        chain_keys: Where a chain takes the question and puts answer and contexts.
        **settings: What `RunSettings` lists: `top_n`, `relevance`, `journal`, `resume`, ...

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
        max_concurrency: int = 1,
        chain_keys: ChainKeys | None = None,
        **settings: Unpack[RunSettings],
    ) -> None:
        self.setting = Setting.of(**settings)
        if not isinstance(systems, Mapping):
            raise ConfigurationError(
                f"Systems by name were expected ({{'bm25': retriever, 'reranked': other}}), got "
                f"{type(systems).__name__}: {shown(systems)}."
            )
        self.systems = {
            str(name): as_stage(one, f"The system {name!r}") for name, one in systems.items()
        }
        self.baseline = baseline if baseline is not None else next(iter(self.systems), None)
        if self.baseline not in list(self.systems):  # It may be what no mapping looks up.
            raise ConfigurationError(
                f"The baseline {self.baseline!r} is none of the systems: "
                f"{', '.join(self.systems) or 'none was given'}."
            )
        check_fits(
            "chain_keys", chain_keys, isinstance(chain_keys, ChainKeys | None), "a ChainKeys"
        )
        self.measures = parse_measures(measures)
        self.max_concurrency = whole_number(max_concurrency, "max_concurrency")
        self.chain_keys = chain_keys or ChainKeys()

    def invoke(
        self,
        input: DatasetLike,  # noqa: A002 - the name of every runnable's argument
        config: RunnableConfig | None = None,
        **_kwargs: Any,
    ) -> Report:
        """Return the report on a data set; works while an event loop is running, too.

        Raises:
            ConfigurationError: Labels that no document can be compared with, or a journal of
                another run.
            DataFileError: The data set or the journal cannot be read.
            EvaluationError: Every question of a system failed.
        """
        return run(self.ainvoke(input, config))

    async def ainvoke(
        self,
        input: DatasetLike,  # noqa: A002 - the name of every runnable's argument
        config: RunnableConfig | None = None,
        **_kwargs: Any,
    ) -> Report:
        """Return what `invoke` returns, on the event loop that is running."""
        return await self._acall_with_config(self._report, input, config)

    def stream(  # type: ignore[override] # rows while it runs; the report is what invoke returns
        self,
        input: DatasetLike,  # noqa: A002 - the name of every runnable's argument
        config: RunnableConfig | None = None,
        **_kwargs: Any,
    ) -> Iterator[QueryRow]:
        """Yield the row of each record, in order."""
        return iterate(self.astream(input, config))

    async def astream(  # type: ignore[override] # as `stream`
        self,
        input: DatasetLike,  # noqa: A002 - the name of every runnable's argument
        config: RunnableConfig | None = None,
        **_kwargs: Any,
    ) -> AsyncIterator[QueryRow]:
        """Yield the row of each record, in order."""
        setting = self.setting.on(input, ensure_config(config))
        with await self._journal(setting) as journal:
            async with aclosing(self._rows(setting, journal)) as rows:
                async for row in rows:
                    yield row

    async def _journal(self, setting: Setting) -> Journal:
        return await setting.open_journal(
            lambda unsaid: {
                "systems": setting.identities(self.systems, unsaid),
                "chain_keys": asdict(self.chain_keys),
            }
        )

    async def _report(
        self,
        data: DatasetLike,
        run_manager: AsyncCallbackManagerForChainRun,  # noqa: ARG002 - the config has its callbacks
        config: RunnableConfig,
    ) -> Report:
        setting = self.setting.on(data, config)
        with await self._journal(setting) as journal:
            rows = [row async for row in self._rows(setting, journal)]
            baseline = str(self.baseline)
            return chain_report(
                setting,
                rows,
                journal,
                systems=[baseline, *(name for name in self.systems if name != baseline)],
                measures=self.measures,
                settings={
                    "systems": {name: type(one).__name__ for name, one in self.systems.items()},
                    "max_concurrency": self.max_concurrency,
                },
            )

    async def _rows(self, setting: Setting, journal: Journal) -> AsyncGenerator[QueryRow, None]:
        records, relevance = setting.dataset.records, setting.relevance
        stages = [
            system(name, one, relevance.key, keys=self.chain_keys, top_n=None)
            for name, one in self.systems.items()
        ]
        limit = setting.config.get("max_concurrency") or self.max_concurrency
        usable = len(setting.dataset.usable)
        with progress_of(setting.progress, "Evaluating") as advance:
            spent = weighted(advance, usable, usable * len(stages))
            collector = Collector(journal, setting.config, limit, spent)
            await confirm(collector, stages, setting.dataset.usable)
            await collector.warm_up(stages, records)
            async with aclosing(collector.rows(stages, records)) as found:
                async for record, by_name in found:
                    rankings = {name: one.once() for name, one in by_name.items()}
                    yield assemble.query_row(
                        record,
                        rankings,
                        journal.documents,
                        self.measures,
                        relevance,
                        setting.top_n,
                    )
