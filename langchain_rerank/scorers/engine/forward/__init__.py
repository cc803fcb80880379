"""From token ids to scores: the forward passes, and which of them a model takes."""
