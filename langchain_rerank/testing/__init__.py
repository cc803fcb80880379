"""What a project that uses or writes scorers needs in its tests."""

from langchain_rerank.testing.checks import CHECKS
from langchain_rerank.testing.contract import ScorerContract, check_scorer, contract_violations
from langchain_rerank.testing.fakes import CountingScorer, WordOverlapScorer
from langchain_rerank.testing.samples import Samples

__all__ = [
    "CHECKS",
    "CountingScorer",
    "Samples",
    "ScorerContract",
    "WordOverlapScorer",
    "check_scorer",
    "contract_violations",
]
