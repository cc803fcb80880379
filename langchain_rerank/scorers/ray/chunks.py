"""A call cut into chunks: what one actor scores at once, and what is scored again where it dies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_rerank.scorers.contract import Request

_CHUNK_TOKENS = 16_384  # what one task computes: seconds on a CPU core, so little is done twice
_CHUNK_TEXTS = 64
_CHARACTERS_PER_TOKEN = 4
_MOST_TOKENS = 512


@dataclass(eq=False)
class Chunk:
    """Texts of one request that are scored together."""

    request: int
    start: int
    end: int
    tokens: int
    attempts: int = 0


def chunks_of(requests: Sequence[Request]) -> list[Chunk]:
    """Return every text of `requests` in exactly one chunk, in order.

    >>> [(one.request, one.start, one.end) for one in chunks_of([("q", ["a"] * 70), ("r", ["b"])])]
    [(0, 0, 64), (0, 64, 70), (1, 0, 1)]
    """
    chunks: list[Chunk] = []
    for number, (query, texts) in enumerate(requests):
        current: Chunk | None = None
        for position, text in enumerate(texts):
            length = (len(query) + len(text)) // _CHARACTERS_PER_TOKEN + 3
            tokens = min(_MOST_TOKENS, length)
            if (
                current is None
                or current.tokens + tokens > _CHUNK_TOKENS
                or current.end - current.start >= _CHUNK_TEXTS
            ):
                current = Chunk(number, position, position, 0)
                chunks.append(current)
            current.end, current.tokens = position + 1, current.tokens + tokens
    return chunks
