"""What an engine has done since it was loaded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Metrics:
    """Counts of one engine, which everybody who shares the model adds to.

    Attributes:
        texts: Texts scored.
        tokens: Tokens of their pairs, without padding.
        batches: Forward passes that were answered.
        seconds: Time during which at least one of them was under way.
        queue: Texts that wait now.
        truncated: Texts that were cut to the model's limit.
        out_of_memory_retries: Batches that did not fit and were halved.
    """

    texts: int = 0
    tokens: int = 0
    batches: int = 0
    seconds: float = 0.0
    queue: int = 0
    truncated: int = 0
    out_of_memory_retries: int = 0


class BusyTime:
    """How long at least one of several overlapping things was under way, in seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._running = 0
        self._since = 0.0

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self._running > 0

    def start(self, now: float) -> None:
        """Count one more."""
        if not self._running:
            self._since = now
        self._running += 1

    def stop(self, now: float) -> None:
        """Count one less."""
        self._running -= 1
        if not self._running:
            self.seconds += now - self._since
