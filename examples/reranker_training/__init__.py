"""The parts of `train_reranker.py`, one concern per module."""
