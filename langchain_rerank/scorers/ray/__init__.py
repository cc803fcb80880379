"""Many copies of one model on a Ray cluster, as one scorer."""

from langchain_rerank.scorers.ray.scorer import RayScorer

__all__ = ["RayScorer"]
