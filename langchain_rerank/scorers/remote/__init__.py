"""Scores from a rerank server over HTTP: dialects, retries, one pool of connections."""

from langchain_rerank.scorers.remote.scorer import RemoteScorer

__all__ = ["RemoteScorer"]
