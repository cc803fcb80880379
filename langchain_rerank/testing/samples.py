"""What a scorer is checked with, and how its scores are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_rerank.scorers.contract import Request, Scorer

QUERIES = (
    "how many people live in Berlin",
    "which vitamin prevents scurvy",
    "who wrote the first compiler",
    "capital of France and its river",
    "what makes longer texts cost more",
    "the quick brown fox jumps over the lazy dog",
)
TEXTS = (
    "Berlin had a population of 3,520,031 registered inhabitants in an area of 891.82 square km.",
    "Oranges and lemons contain vitamin C, which prevents scurvy.",
    "Grace Hopper wrote one of the first compilers in 1952.",
    "Paris is the capital of France; its river is the Seine.",
    "A transformer attends to every token, so longer texts cost more time and memory.",
    "The quick brown fox jumps over the lazy dog.",
    "How many people live in Berlin and in Paris?",
    "Nothing of the kind.",
)


@dataclass(frozen=True)
class Samples:
    """What a scorer is checked with.

    Attributes:
        queries: At least two queries.
        texts: At least three different texts; for some query, some must score differently.
        tolerance: How far two runs of the same pair may be apart. The default suits 32-bit models,
            whose sums depend on the batch in the last bits; for 16-bit ones take about 0.02.
    """

    queries: Sequence[str] = QUERIES
    texts: Sequence[str] = TEXTS
    tolerance: float = 1e-5

    def requests(self) -> list[Request]:
        """Return the texts for each query, from another starting point each time."""
        texts = tuple(self.texts)
        return [
            (query, texts[i % len(texts) :] + texts[: i % len(texts)])
            for i, query in enumerate(self.queries)
        ]


def require(condition: bool, message: str) -> None:
    """Raise AssertionError with `message` unless `condition` holds."""
    if not condition:
        raise AssertionError(message)


def ask(scorer: Scorer, query: str, texts: Sequence[str]) -> list[float]:
    """Return the scores of `texts`, which are handed over as a list of their own."""
    # A fresh list, so that a scorer that changes its input fails the check for that and no other.
    return scorer.score(query, list(texts))


def require_same(
    got: Sequence[float], expected: Sequence[float], samples: Samples, what: str
) -> None:
    """Raise AssertionError where scores differ by more than the samples' tolerance."""
    require(len(got) == len(expected), f"{what}: {len(got)} scores, expected {len(expected)}.")
    for position, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
        require(
            abs(mine - theirs) <= samples.tolerance,
            f"{what}: text {position} scores {mine!r}, expected {theirs!r} within "
            f"{samples.tolerance:g}.",
        )
