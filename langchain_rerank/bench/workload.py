"""Generated questions and passages with exact lengths in tokens, the same for the same seed."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from langchain_rerank.embedded import CORPUS_FOLDER
from langchain_rerank.errors import ConfigurationError
from langchain_rerank.scorers.contract import Request


def guides() -> str:
    """Return the guides that ship with the package, as one text."""
    return "\n".join(page.read_text("utf-8") for page in sorted(CORPUS_FOLDER.glob("*.md")))


class Lengths(StrEnum):
    """How the lengths of passages are spread between the shortest and the longest."""

    even = "even"
    log = "log"  # evenly by their logarithm: many short ones, few long ones


@dataclass(frozen=True)
class Sizes:
    """How much there is to score.

    Attributes:
        queries: Queries.
        candidates: Passages for each query.
        min_tokens: Tokens of the shortest passage.
        max_tokens: Tokens of the longest passage.
        lengths: How the lengths are spread between the two.
    """

    queries: int
    candidates: int
    min_tokens: int = 20
    max_tokens: int = 400
    lengths: Lengths = Lengths.even

    def __post_init__(self) -> None:
        if not 1 <= self.min_tokens <= self.max_tokens:
            raise ConfigurationError(
                f"Passages of {self.min_tokens} to {self.max_tokens} tokens are impossible; the "
                f"least must be at least 1 and at most the greatest."
            )


class Workload:
    """Cuts stretches of running text to measure.

    Args:
        tokenizer: A Hugging Face tokenizer; lengths are in its tokens, special ones not counted.
        text: Where the stretches come from.
    """

    def __init__(self, tokenizer: Any, text: str) -> None:
        encoded = tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        # Some tokenizers give a token no characters of its own.
        spans = [(start, end) for start, end in encoded["offset_mapping"] if end > start]
        self._text = text
        self._starts = [start for start, _ in spans]
        self._ends = [end for _, end in spans]

    def requests(self, sizes: Sizes, seed: int) -> list[Request]:
        """Return one request per query: 5 to 12 tokens, and passages of the lengths asked for."""
        pick = random.Random(seed)  # noqa: S311 - a workload, not a secret
        return [
            (
                self._stretch(pick, pick.randint(5, 12)),
                [self._stretch(pick, _length(pick, sizes)) for _ in range(sizes.candidates)],
            )
            for _ in range(sizes.queries)
        ]

    def _stretch(self, pick: random.Random, tokens: int) -> str:
        tokens = min(tokens, len(self._starts))
        first = pick.randint(0, len(self._starts) - tokens)
        return self._text[self._starts[first] : self._ends[first + tokens - 1]]


def _length(pick: random.Random, sizes: Sizes) -> int:
    if sizes.lengths is Lengths.even:
        return pick.randint(sizes.min_tokens, sizes.max_tokens)
    return round(math.exp(pick.uniform(math.log(sizes.min_tokens), math.log(sizes.max_tokens))))


def pairs_of(requests: Sequence[Request]) -> list[tuple[str, str]]:
    """Return every pair of a query and one of its texts, in order."""
    return [(query, text) for query, texts in requests for text in texts]


def pair_tokens(tokenizer: Any, requests: Sequence[Request], max_length: int) -> list[int]:
    """Return the tokens of every pair, special ones counted and cut to `max_length`.

    What a chat template puts around a pair is not counted.
    """
    encoded = tokenizer(pairs_of(requests), truncation=True, max_length=max_length)
    return [len(ids) for ids in encoded["input_ids"]]


def padding_share(lengths: Sequence[int], batch_size: int) -> float:
    """Return the share of padding where the longest pairs come first, `batch_size` at a time.

    Examples:
        >>> round(padding_share([10, 10, 20, 40], batch_size=2), 3)
        0.2
    """
    ordered = sorted(lengths, reverse=True)
    batches = [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
    slots = sum(batch[0] * len(batch) for batch in batches)
    return 1 - sum(ordered) / slots
