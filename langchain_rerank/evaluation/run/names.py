"""What the two systems of a comparison are called."""

FIRST_STAGE = "first_stage"
RERANKED = "reranked"
