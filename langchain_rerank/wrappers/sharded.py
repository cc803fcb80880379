"""Several copies of one model, on several GPUs say, that share the work of every call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from langchain_rerank.errors import ConfigurationError, RequestRejectedError, ScorerError
from langchain_rerank.locks import ProcessLock
from langchain_rerank.scorers.contract import Passage, Request, Scorer, Scores, add_counts
from langchain_rerank.wrappers.wrapper import Ask, AskAll, Steps, Wrapper, identity_of

_SMALLEST_SHARE = 32
"""Texts below which a share is not worth a GPU of its own."""

_LONGEST_READ = 4000
"""Characters of a text that count as work: most models cut a pair to 512 tokens, about half that.

Without a bound, one text of a million characters would take a GPU that then reads a page of it.
"""

_REST_SECONDS = 30.0
"""How long a copy that failed is asked only where no other is left.

One that fails at once has nothing to do the next moment, and would draw all calls to itself.
"""


class ShardedScorer(Wrapper):
    """Spreads the texts of each call over copies of one model.

    A call of up to 32 texts goes whole to the copy with the least work waiting; a larger one is
    split into as many shares of about equal length as there are copies, each of at least 32 texts;
    of each text at most 4,000 characters count, since most models read no more. Concurrent
    calls spread by themselves. A call to listwise copies is never split. Where one copy fails, the
    call fails with its error, and for 30 seconds the others are asked in its place.

    Args:
        copies: Scorers that give the same scores, such as one model on each GPU.

    Raises:
        ConfigurationError: No copy was given.

    Examples:
        One copy per GPU::

            import torch

            from langchain_rerank import CrossEncoderScorer

            ShardedScorer(
                *(
                    CrossEncoderScorer("BAAI/bge-reranker-large", device=f"cuda:{gpu}")
                    for gpu in range(torch.cuda.device_count())
                )
            )

        >>> from langchain_rerank.testing import WordOverlapScorer
        >>> scorer = ShardedScorer(WordOverlapScorer(), WordOverlapScorer())
        >>> scorer.score("red fox", ["a hen", "a fox", "the red fox"])
        [0.0, 0.5, 1.0]
    """

    kind = "sharded"

    def __init__(self, *copies: Scorer) -> None:
        if not copies:
            raise ConfigurationError("ShardedScorer needs at least one scorer; none was given.")
        super().__init__(*copies)
        self._lock = ProcessLock()
        self._waiting = [0] * len(copies)  # characters that each copy is at work on
        self._rests_until = [0.0] * len(copies)

    def __reduce__(self) -> tuple[Any, ...]:
        # A lock cannot be copied, and a copy has no work under way.
        return type(self), self.scorers

    @property
    def identity(self) -> object:
        """That of a copy, since the scores are the same; None where the copies differ."""
        first, *rest = map(identity_of, self.scorers)
        return first if all(one == first for one in rest) else None

    def _steps(self, requests: Sequence[Request]) -> Steps:
        pairs = [
            (number, position, min(len(text), _LONGEST_READ))
            for number, (_, texts) in enumerate(requests)
            for position, text in enumerate(texts)
        ]
        able = self._able()
        # A listwise model's scores are comparable within one call alone.
        most = len(able) if self.pointwise else 1
        shares = split_evenly(
            [length for *_, length in pairs], min(most, max(1, len(pairs) // _SMALLEST_SHARE))
        )
        sizes = [sum(pairs[i][2] for i in share) for share in shares]
        copies = self._take(sizes, able)
        # Texts of one query stay one request, so that the query is tokenised once per copy.
        grouped: list[dict[int, list[int]]] = [{} for _ in shares]
        for share, by_request in zip(shares, grouped, strict=True):
            for number, position, _ in (pairs[i] for i in share):
                by_request.setdefault(number, []).append(position)
        try:
            outcomes = yield AskAll(
                [
                    Ask(
                        self.scorers[copy],
                        [
                            (requests[number][0], [requests[number][1][i] for i in positions])
                            for number, positions in by_request.items()
                        ],
                    )
                    for copy, by_request in zip(copies, grouped, strict=True)
                ]
            )
        finally:
            self._give_back(copies, sizes)
        for copy, outcome in zip(copies, outcomes, strict=True):
            if isinstance(outcome, ScorerError) and not isinstance(outcome, RequestRejectedError):
                self._rests_until[copy] = time.monotonic() + _REST_SECONDS
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return _joined(requests, grouped, outcomes)

    def _able(self) -> list[int]:
        """Return the copies to ask: those that did not fail just now, or all if all did."""
        now = time.monotonic()
        every = range(len(self.scorers))
        return [copy for copy in every if self._rests_until[copy] <= now] or list(every)

    def _take(self, sizes: Sequence[int], able: Sequence[int]) -> list[int]:
        """Return those with the least work, one per share, and note the work that they get."""
        with self._lock():
            idle_first = sorted(able, key=self._waiting.__getitem__)
            copies = idle_first[: len(sizes)]
            for copy, size in zip(copies, sizes, strict=True):
                self._waiting[copy] += size
            return copies

    def _give_back(self, copies: Sequence[int], sizes: Sequence[int]) -> None:
        with self._lock():
            for copy, size in zip(copies, sizes, strict=True):
                self._waiting[copy] -= size


def split_evenly(lengths: Sequence[int], shares: int) -> list[list[int]]:
    """Return positions in `shares` lists of about the same total length, each in order.

    The longest first, always to the share that has least.

    >>> split_evenly([5, 1, 1, 5, 2], 2)
    [[0, 4], [1, 2, 3]]
    """
    found: list[list[int]] = [[] for _ in range(shares)]
    totals = [(0, 0)] * shares  # texts as well as characters, so that empty texts spread too
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        least = min(range(shares), key=totals.__getitem__)
        found[least].append(position)
        characters, texts = totals[least]
        totals[least] = (characters + lengths[position], texts + 1)
    return [sorted(one) for one in found]


def _joined(
    requests: Sequence[Request],
    grouped: Sequence[dict[int, list[int]]],
    answers: Sequence[Sequence[Scores]],
) -> list[Scores]:
    """Return each request's scores from those of its shares."""
    values = [[0.0] * len(texts) for _, texts in requests]
    passages: list[list[Passage | None]] = [[None] * len(texts) for _, texts in requests]
    truncated: list[int | None] = [0] * len(requests)
    for by_request, scored in zip(grouped, answers, strict=True):
        for (number, positions), scores in zip(by_request.items(), scored, strict=True):
            truncated[number] = add_counts((truncated[number], scores.truncated))
            for position, value, note in zip(positions, scores, scores.passages, strict=True):
                values[number][position], passages[number][position] = value, note
    return [
        Scores(one, truncated=cut, best_passages=notes if any(notes) else None)
        for one, cut, notes in zip(values, truncated, passages, strict=True)
    ]
