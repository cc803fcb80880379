"""Scorers made of scorers: each keeps the contract of what it wraps, so that they stack."""

from langchain_rerank.wrappers.cache import CachedScorer
from langchain_rerank.wrappers.cascade import CascadeScorer
from langchain_rerank.wrappers.fallback import FallbackScorer
from langchain_rerank.wrappers.long_documents import LongDocumentScorer
from langchain_rerank.wrappers.mixed import BiEncoder, MixedScorer
from langchain_rerank.wrappers.sharded import ShardedScorer
from langchain_rerank.wrappers.wrapper import identity_of, is_pointwise

__all__ = [
    "BiEncoder",
    "CachedScorer",
    "CascadeScorer",
    "FallbackScorer",
    "LongDocumentScorer",
    "MixedScorer",
    "ShardedScorer",
    "identity_of",
    "is_pointwise",
]
