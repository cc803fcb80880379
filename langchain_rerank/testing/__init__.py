"""What a project that uses or writes scorers needs in its tests."""

from langchain_rerank.testing.fakes import CountingScorer, WordOverlapScorer

__all__ = ["CountingScorer", "WordOverlapScorer"]
