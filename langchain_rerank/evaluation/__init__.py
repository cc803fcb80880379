"""Measure what reranking buys, what it costs, and how deep to go.

Names load on first use, as those of the package do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_rerank.evaluation.chain import EvaluationChain as EvaluationChain
    from langchain_rerank.evaluation.compare import compare_models as compare_models
    from langchain_rerank.evaluation.compare import compare_rerank as compare_rerank
    from langchain_rerank.evaluation.data.beir import Collection as Collection
    from langchain_rerank.evaluation.data.beir import load_collection as load_collection
    from langchain_rerank.evaluation.data.datasets import Dataset as Dataset
    from langchain_rerank.evaluation.data.datasets import Record as Record
    from langchain_rerank.evaluation.data.datasets import from_ragas as from_ragas
    from langchain_rerank.evaluation.data.datasets import from_records as from_records
    from langchain_rerank.evaluation.data.files import load_dataset as load_dataset
    from langchain_rerank.evaluation.data.relevance import Relevance as Relevance
    from langchain_rerank.evaluation.data.relevance import basename as basename
    from langchain_rerank.evaluation.data.trec import read_qrels as read_qrels
    from langchain_rerank.evaluation.data.trec import read_run as read_run
    from langchain_rerank.evaluation.data.trec import write_qrels as write_qrels
    from langchain_rerank.evaluation.data.trec import write_run as write_run
    from langchain_rerank.evaluation.judge.judging import ajudge_relevance as ajudge_relevance
    from langchain_rerank.evaluation.judge.judging import judge_relevance as judge_relevance
    from langchain_rerank.evaluation.report.report import Report as Report
    from langchain_rerank.evaluation.score.measures import parse_measure as parse_measure
    from langchain_rerank.evaluation.sweep import sweep_k as sweep_k
    from langchain_rerank.evaluation.threshold import tune_threshold as tune_threshold
    from langchain_rerank.evaluation.tune import (
        tune_first_stage_weight as tune_first_stage_weight,
    )

_NAMES = {
    "chain": ["EvaluationChain"],
    "compare": ["compare_models", "compare_rerank"],
    "data.beir": ["Collection", "load_collection"],
    "data.datasets": ["Dataset", "Record", "from_ragas", "from_records"],
    "data.files": ["load_dataset"],
    "data.relevance": ["Relevance", "basename"],
    "data.trec": ["read_qrels", "read_run", "write_qrels", "write_run"],
    "judge.judging": ["ajudge_relevance", "judge_relevance"],
    "report.report": ["Report"],
    "score.measures": ["parse_measure"],
    "sweep": ["sweep_k"],
    "threshold": ["tune_threshold"],
    "tune": ["tune_first_stage_weight"],
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [*_HOMES]  # noqa: PLE0604 - all strings, which the rule cannot see


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
