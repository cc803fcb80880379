"""Two-stage retrieval for LangChain: rerank any retriever with a local cross-encoder.

Names load on first use: importing the package imports neither torch nor LangChain.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_rerank.compressor import CrossEncoderReranker as CrossEncoderReranker
    from langchain_rerank.errors import RerankError as RerankError
    from langchain_rerank.errors import RerankWarning as RerankWarning
    from langchain_rerank.first_stage import BM25Retriever as BM25Retriever
    from langchain_rerank.first_stage import DenseRetriever as DenseRetriever
    from langchain_rerank.first_stage import HybridRetriever as HybridRetriever
    from langchain_rerank.first_stage import IndexRetriever as IndexRetriever
    from langchain_rerank.first_stage import hybrid_retriever as hybrid_retriever
    from langchain_rerank.result import RerankResult as RerankResult
    from langchain_rerank.retriever import (
        CrossEncoderRerankRetriever as CrossEncoderRerankRetriever,
    )
    from langchain_rerank.scorers.contract import Scorer as Scorer
    from langchain_rerank.scorers.contract import Scores as Scores
    from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer as CrossEncoderScorer
    from langchain_rerank.scorers.engine.registry import LoadedModel as LoadedModel
    from langchain_rerank.scorers.engine.registry import loaded_models as loaded_models
    from langchain_rerank.scorers.engine.registry import unload_idle as unload_idle
    from langchain_rerank.scorers.listwise import ListwiseScorer as ListwiseScorer
    from langchain_rerank.scorers.prompt import RerankPrompt as RerankPrompt
    from langchain_rerank.scorers.ray import RayScorer as RayScorer
    from langchain_rerank.scorers.remote import RemoteScorer as RemoteScorer
    from langchain_rerank.serve.dataset import rerank_dataset as rerank_dataset

__version__ = "0.2.0"

_HOMES = {
    "BM25Retriever": "first_stage",
    "CrossEncoderRerankRetriever": "retriever",
    "CrossEncoderReranker": "compressor",
    "CrossEncoderScorer": "scorers.cross_encoder",
    "DenseRetriever": "first_stage",
    "HybridRetriever": "first_stage",
    "IndexRetriever": "first_stage",
    "ListwiseScorer": "scorers.listwise",
    "LoadedModel": "scorers.engine.registry",
    "RayScorer": "scorers.ray",
    "RemoteScorer": "scorers.remote",
    "RerankError": "errors",
    "RerankPrompt": "scorers.prompt",
    "RerankResult": "result",
    "RerankWarning": "errors",
    "Scorer": "scorers.contract",
    "Scores": "scorers.contract",
    "hybrid_retriever": "first_stage",
    "loaded_models": "scorers.engine.registry",
    "rerank_dataset": "serve.dataset",
    "unload_idle": "scorers.engine.registry",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 - all strings, which the rule cannot see


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
