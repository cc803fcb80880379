"""Anybody's retriever: what it is composed of, its depth, the arguments it takes."""

from langchain_rerank.base_retrievers.depth import FirstStage, depth_of, with_depth

__all__ = ["FirstStage", "depth_of", "with_depth"]
