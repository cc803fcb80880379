"""The RAGAS metrics that are on offer: what each needs, and how it is computed.

They bear the names that RAGAS 0.4 gives them; older names are understood.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_rerank.checks import listed, shown
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.ragas_rows import RagasRow
from langchain_rerank.evaluation.ragas import no_llm
from langchain_rerank.evaluation.ragas.importing import import_ragas

_CONTEXTS = "retrieved_contexts"
_IDS = "retrieved_context_ids"

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


@dataclass(frozen=True)
class Metric:
    """A metric of one row.

    Attributes:
        name: RAGAS's name.
        needs: The fields that a row must have; the retrieved ones may be empty.
        compute: The value of a row, where no LLM is needed; else None, and the class of that name
            in `ragas.metrics.collections` asks the judge.
        settings: How that class is set up.
        embeds: Whether it needs embeddings.
        lower_is_better: Whether 0 is the best value.
    """

    name: str
    needs: tuple[str, ...]
    compute: Callable[[RagasRow], float] | None = None
    settings: dict[str, Any] = field(default_factory=dict, compare=False)
    embeds: bool = False
    lower_is_better: bool = False

    @property
    def needs_judge(self) -> bool:
        """Whether an LLM is asked."""
        return self.compute is None

    @property
    def worst(self) -> float:
        """The value of a system that failed."""
        return 1.0 if self.lower_is_better else 0.0

    def not_applicable(self, row: RagasRow) -> str | None:
        """Return why the metric says nothing about `row`, or None where it applies.

        Examples:
            >>> METRICS["context_recall"].not_applicable(RagasRow("?", retrieved_contexts=()))
            'the row has no reference'
        """
        for name in self.needs:
            value = getattr(row, name)
            if value is None or (not value and name not in {_CONTEXTS, _IDS}):
                return f"the row has no {name}"
        return None

    def retrieved_nothing(self, row: RagasRow) -> bool:
        """Return whether the metric judges retrieval and nothing was retrieved: its value is 0."""
        return any(not getattr(row, name) for name in self.needs if name in {_CONTEXTS, _IDS})

    async def ask(self, row: RagasRow, llm: Any, embeddings: Any) -> float:
        """Return RAGAS's value of a row to which it applies; NaN where RAGAS has none.

        Judge and embeddings are as RAGAS wants them; the latter are needed where `embeds`.
        """
        collections = import_ragas("ragas.metrics.collections")
        parts = {"llm": llm, **({"embeddings": embeddings} if self.embeds else {})}
        name = "".join(map(str.capitalize, self.name.split("_")))
        metric = getattr(collections, name)(**parts, **self.settings)
        known = row.to_dict()
        result = await metric.ascore(**{name: known[name] for name in self.needs})
        return float(result.value)


def _computed(compute: Callable[[RagasRow], float], *needs: str) -> Metric:
    return Metric(compute.__name__, needs, compute)


def _judged(name: str, *needs: str, **options: Any) -> Metric:
    return Metric(name, ("user_input", *needs), **options)


_ALL = (
    _computed(no_llm.id_based_context_precision, _IDS, "reference_context_ids"),
    _computed(no_llm.id_based_context_recall, _IDS, "reference_context_ids"),
    _computed(no_llm.non_llm_context_precision_with_reference, _CONTEXTS, "reference_contexts"),
    _computed(no_llm.non_llm_context_recall, _CONTEXTS, "reference_contexts"),
    _judged("context_precision", "reference", _CONTEXTS),
    _judged("context_precision_without_reference", "response", _CONTEXTS),
    _judged("context_recall", "reference", _CONTEXTS),
    # Asked once: with more, RAGAS swallows every error of the judge and asks again.
    _judged("context_relevance", _CONTEXTS, settings={"max_retries": 1}),
    _judged("faithfulness", "response", _CONTEXTS),
    _judged("answer_relevancy", "response", embeds=True),
    _judged("noise_sensitivity", "response", "reference", _CONTEXTS, lower_is_better=True),
)
METRICS = {one.name: one for one in _ALL}
"""Every metric by its name: those without an LLM first."""

WITHOUT_JUDGE = tuple(one.name for one in _ALL if not one.needs_judge)
"""The metrics that need no LLM."""

_OTHER_NAMES = {
    "context_precision_with_reference": "context_precision",
    "llm_context_precision_with_reference": "context_precision",
    "llm_context_precision_without_reference": "context_precision_without_reference",
    "context_utilization": "context_precision_without_reference",
    "llm_context_recall": "context_recall",
    "nv_context_relevance": "context_relevance",
    "response_relevancy": "answer_relevancy",
    "answer_relevance": "answer_relevancy",
    "non_llm_context_precision": "non_llm_context_precision_with_reference",
}


def parse_metrics(names: str | Sequence[str]) -> tuple[Metric, ...]:
    """Return the metrics of these names, in order.

    Args:
        names: RAGAS's names, or names of its classes; one string holds several, with commas.

    Raises:
        ConfigurationError: None, an unknown one, or one twice.

    Examples:
        >>> [one.name for one in parse_metrics("ContextRecall, ResponseRelevancy")]
        ['context_recall', 'answer_relevancy']
    """
    if isinstance(names, str):
        names = [part for part in names.split(",") if part.strip()]
    found = tuple(map(_parse, listed(names, "metrics", "names")))
    twice = [one.name for one in found if found.count(one) > 1]
    if not found or twice:
        what = f"The metric {twice[0]} was given twice" if twice else "No metric was given"
        raise ConfigurationError(f"{what}; name each once, of {', '.join(METRICS)}.")
    return found


def chosen_metrics(
    names: str | Sequence[str] | None, *, judged: bool, embedded: bool
) -> tuple[Metric, ...]:
    """Return the metrics of these names, or (None) all that judge and embeddings allow.

    Raises:
        ConfigurationError: A metric needs what is not there, or as for `parse_metrics`.
    """
    if names is None:
        return tuple(
            one
            for one in METRICS.values()
            if (judged or not one.needs_judge) and (embedded or not one.embeds)
        )
    metrics = parse_metrics(names)
    for one in metrics:
        if one.needs_judge and not judged:
            raise ConfigurationError(
                f"The metric {one.name} asks a language model: give judge=, a LangChain chat model "
                f"or Judge.at(base_url, model_name). Without one there are "
                f"{', '.join(WITHOUT_JUDGE)}."
            )
        if one.embeds and not embedded:
            raise ConfigurationError(
                f"The metric {one.name} compares questions: give embeddings=, any LangChain "
                f"embeddings."
            )
    return metrics


def _parse(name: str) -> Metric:
    if not isinstance(name, str):
        raise ConfigurationError(f"metrics has {shown(name)}: give names, of {', '.join(METRICS)}.")
    name = name.strip()
    # A class name becomes the name of its metric: NonLLMContextRecall, non_llm_context_recall.
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    known = _OTHER_NAMES.get(snake, snake)
    if known not in METRICS:
        close = difflib.get_close_matches(known, [*METRICS, *_OTHER_NAMES], n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigurationError(
            f"There is no metric {name!r}.{hint} Known are {', '.join(METRICS)}."
        )
    return METRICS[known]
