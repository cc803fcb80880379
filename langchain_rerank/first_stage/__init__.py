"""First stages: retrievers that expose their scores, and the depth of any retriever."""

from langchain_rerank.base_retrievers.depth import depth_of, with_depth
from langchain_rerank.first_stage.bm25 import BM25Retriever
from langchain_rerank.first_stage.dense import DenseRetriever
from langchain_rerank.first_stage.embeddings import default_embeddings
from langchain_rerank.first_stage.fusion import reciprocal_rank_fusion
from langchain_rerank.first_stage.hybrid import HybridRetriever, hybrid_retriever
from langchain_rerank.first_stage.kept.retriever import IndexRetriever

__all__ = [
    "BM25Retriever",
    "DenseRetriever",
    "HybridRetriever",
    "IndexRetriever",
    "default_embeddings",
    "depth_of",
    "hybrid_retriever",
    "reciprocal_rank_fusion",
    "with_depth",
]
