"""Where relevance scores come from."""

from langchain_rerank.scorers.contract import Passage, Request, Scorer, Scores

__all__ = ["Passage", "Request", "Scorer", "Scores"]
