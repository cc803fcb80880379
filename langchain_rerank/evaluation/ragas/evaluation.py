"""`RagasEvaluation`: RAGAS's metrics before and after reranking, as a LangChain runnable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Unpack

from langchain_core.callbacks import AsyncCallbackManagerForChainRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings, FakeEmbeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import ensure_config, patch_config
from pydantic import BaseModel

from langchain_rerank.checks import check_fits, whole_number
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.judge.judge import Judge, as_judge, embeddings_identity
from langchain_rerank.evaluation.judge.verdicts import Verdicts
from langchain_rerank.evaluation.ragas.adapters import ragas_embeddings
from langchain_rerank.evaluation.ragas.bench import Bench, judge_all
from langchain_rerank.evaluation.ragas.estimate import Estimate, Estimating
from langchain_rerank.evaluation.ragas.gathering import Gathered, gather, given
from langchain_rerank.evaluation.ragas.importing import import_ragas, require_installed
from langchain_rerank.evaluation.ragas.labels import Labels
from langchain_rerank.evaluation.ragas.metrics import chosen_metrics
from langchain_rerank.evaluation.ragas.report import RagasReport
from langchain_rerank.evaluation.ragas.summary import report_of
from langchain_rerank.evaluation.ragas.systems import MakeChain, systems_of
from langchain_rerank.evaluation.run.again import confirm
from langchain_rerank.evaluation.run.background import run
from langchain_rerank.evaluation.run.collect import Collector, weighted
from langchain_rerank.evaluation.run.environment import now
from langchain_rerank.evaluation.run.identity import Unsaid
from langchain_rerank.evaluation.run.progress import progress_of
from langchain_rerank.evaluation.run.setting import RunSettings, Setting
from langchain_rerank.evaluation.run.stage import Stage
from langchain_rerank.evaluation.run.systems import ChainKeys

logger = logging.getLogger(__name__)


class RagasEvaluation(Runnable[Any, RagasReport]):
    """Judges what systems retrieve, and answer, by RAGAS's metrics.

    The input is a data set (or its path, or records), or rows that were made elsewhere: a mapping
    of systems to their `RagasRow`s. The output is a report as of every evaluation here: means with
    intervals, paired differences with tests, failed and not applicable cells apart.

    Without a judge, ids and texts are compared, and ragas need not be installed.

    Args:
        systems: A `CrossEncoderRerankRetriever`, which is evaluated before and after reranking, on
            the same candidates; or retrievers or chains by name, the baseline first. None where
            rows are the input.
        metrics: RAGAS's names of metrics; None is all that can be computed with what is given.
        judge: A LangChain chat model, or a `Judge`, which says how it is asked.
        embeddings: LangChain embeddings, for answer_relevancy.
        chain: Builds a RAG chain around a retriever; it is built around each system, so that the
            answers are judged, too.
        chain_keys: Where a chain takes the question and puts answer and contexts.
        corpus: The documents that can be retrieved: expected passages become ids and texts, and
            labelled ids get their texts.
        max_concurrency: How many questions are put at once; a config's `max_concurrency` comes
            first.
        verdicts: A file that keeps what the judge answered: nothing is asked twice, not by a later
            run either. None keeps it in memory.
        on_estimate: Called with the number of calls and tokens before the judge is asked; what it
            raises stops the run. None writes it to the log.
        **settings: What `RunSettings` lists: `top_n` (None leaves it to the systems), `relevance`,
            `journal` (of what the systems found and answered), `resume`, ...

    Raises:
        ConfigurationError: An impossible setting, or a metric that needs what is not given.
        DataFileError: The file of verdicts cannot be read.
        MissingExtraError: A metric needs ragas, which is not installed.
    """

    def __init__(
        self,
        systems: Any = None,
        *,
        metrics: str | Sequence[str] | None = None,
        judge: Judge | BaseChatModel | None = None,
        embeddings: Embeddings | None = None,
        chain: MakeChain | None = None,
        chain_keys: ChainKeys | None = None,
        corpus: Iterable[Document] | None = None,
        max_concurrency: int = 4,
        verdicts: str | Path | None = None,
        on_estimate: Callable[[Estimate], object] | None = None,
        **settings: Unpack[RunSettings],
    ) -> None:
        self.setting = Setting.of(**settings)
        check_fits("chain", chain, chain is None or callable(chain), "a function of a retriever")
        check_fits("on_estimate", on_estimate, callable(on_estimate or print), "a function")
        self.judge = None if judge is None else as_judge(judge)
        self.embeddings = embeddings
        self.metrics = chosen_metrics(
            metrics, judged=self.judge is not None, embedded=embeddings is not None
        )
        self._judged = [one for one in self.metrics if one.needs_judge]
        if self._judged:
            require_installed()
        self.chain_keys = chain_keys or ChainKeys()
        self.labels = Labels(self.setting.relevance, corpus)
        self.stages: list[Stage] = []
        self.systems: dict[str, Runnable[Any, Any]] = {}
        if systems is not None:
            self.systems, self.stages = systems_of(
                systems,
                self.labels.relevance.key,
                chain=chain,
                keys=self.chain_keys,
                top_n=self.setting.top_n,
            )
        self.max_concurrency = whole_number(max_concurrency, "max_concurrency")
        self.verdicts = Verdicts(verdicts)
        self.on_estimate = on_estimate or (lambda estimate: logger.info("RAGAS: %s", estimate))

    def invoke(
        self,
        input: Any,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> RagasReport:
        """Return the report; works while an event loop is running, too (a notebook).

        Callbacks, tags and metadata of `config` reach the systems and the judge.

        Raises:
            ConfigurationError: The input has no usable question.
            DataFileError: The data set or the journal cannot be read.
            EvaluationError: A system failed on every question.
        """
        return run(self.ainvoke(input, config, **kwargs))

    async def ainvoke(
        self,
        input: Any,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> RagasReport:
        """Return what `invoke` returns, on the event loop that is running."""
        return await self._acall_with_config(self._evaluated, input, config, **kwargs)

    def dry_run(self, data: Any, config: RunnableConfig | None = None) -> Estimate:
        """Return what judging `data`, as `invoke` takes it, would cost.

        Neither the judge nor any chain is asked. Retrievers are, with `config`; in place of what a
        chain would find and answer, a row is assumed.
        """

        async def estimated() -> Estimate:
            gathered = await self._gathered(data, ensure_config(config), run_chains=False)
            return await self._estimated(gathered)

        return run(estimated())

    async def _evaluated(
        self,
        data: Any,
        run_manager: AsyncCallbackManagerForChainRun,  # noqa: ARG002 - the config has its callbacks
        config: RunnableConfig,
    ) -> RagasReport:
        started = now()
        gathered = await self._gathered(data, config)
        if self._judged:
            self.on_estimate(await self._estimated(gathered))
        bench = self._bench(config)
        with progress_of(self.setting.progress, "Judging") as advance:
            cells = await judge_all(bench, gathered, self.metrics, self._limit(config), advance)
        judged = {
            "judge": self.judge.label if self.judge else None,
            "judge_calls": sum(bench.asked.values()),
            "judge_answers_reused": bench.reused,
        }
        return report_of(
            gathered,
            cells,
            self.metrics,
            seed=self.setting.seed,
            started=started,
            settings={
                **{key: one for stage in self.stages for key, one in stage.settings().items()},
                **(judged if self._judged else {}),
                **self.setting.stated,
            },
        )

    async def _gathered(
        self, data: Any, config: RunnableConfig, *, run_chains: bool = True
    ) -> Gathered:
        if isinstance(data, Mapping):
            return given(data)
        if not self.stages:
            raise ConfigurationError(
                "There is no system to ask: give RagasEvaluation a retriever or a chain, or invoke "
                "it with rows by system."
            )
        setting = self.setting.on(data, config)
        if not run_chains and not setting.resume:
            # An estimate reads the journal of an earlier run, and must not begin it anew.
            setting = replace(setting, journal=None)
        steps = len(self.stages) * len(setting.dataset.usable)
        with (
            await setting.open_journal(self._fingerprint) as journal,
            progress_of(setting.progress, "Retrieving") as advance,
        ):
            collector = Collector(
                journal, config, self._limit(config), weighted(advance, steps, steps)
            )
            asked = [one for one in self.stages if run_chains or not one.generates]
            await confirm(collector, asked, setting.dataset.usable)
            return await gather(
                self.stages, setting.dataset, self.labels, collector, run_chains=run_chains
            )

    def _fingerprint(self, unsaid: dict[str, Unsaid]) -> dict[str, Any]:
        return {
            "systems": self.setting.identities(self.systems, unsaid),
            "chain_keys": asdict(self.chain_keys),
            # After the identities, for which models load.
            "stages": [{"names": one.names, **one.settings()} for one in self.stages],
        }

    async def _estimated(self, gathered: Gathered) -> Estimate:
        estimating = Estimating()
        saved = 0
        if self._judged:
            bench = replace(
                self._bench({}),
                answer=estimating,
                embeddings=ragas_embeddings(FakeEmbeddings(size=1)),
                verdicts=self.verdicts.copy(),
            )
            await judge_all(bench, gathered, self._judged, 1, lambda _done, _total: None)
            saved = bench.reused
        return estimating.estimate(saved, gathered.chain_runs)

    def _bench(self, config: RunnableConfig) -> Bench:
        judge = self.judge
        if judge is None or not self._judged:
            return Bench(None, None, "", "", self.verdicts)
        import_ragas("ragas.metrics.collections")  # where it cannot be imported, no cell can be

        async def answer(metric: str, prompt: str, model: type[BaseModel]) -> BaseModel:
            named = patch_config(config, run_name=f"ragas {metric}")
            return await judge.answer(prompt, model, named)

        return Bench(
            answer,
            None if self.embeddings is None else ragas_embeddings(self.embeddings),
            judge.identity,
            embeddings_identity(self.embeddings),
            self.verdicts,
        )

    def _limit(self, config: RunnableConfig) -> int:
        return config.get("max_concurrency") or self.max_concurrency
