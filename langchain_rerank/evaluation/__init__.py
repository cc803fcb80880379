"""Measure what reranking buys, what it costs, and how deep to go."""
