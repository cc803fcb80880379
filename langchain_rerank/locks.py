"""Locks of a whole process, of which a forked child has its own."""

from __future__ import annotations

import os
import threading


class ProcessLock:
    """A lock that a module keeps for the life of the process: `with lock(): ...`.

    A fork copies a lock that another thread holds, and not that thread, so a child gets a new one.
    It is called for the lock itself: who forks while holding it releases the one that was taken.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
            os.register_at_fork(after_in_child=self._renew)

    def __call__(self) -> threading.Lock:
        """Return the lock of this process."""
        return self._lock

    def _renew(self) -> None:
        self._lock = threading.Lock()


building = ProcessLock()
"""Held while transformers builds a model.

It sets torch's default precision meanwhile, for the whole process, and then what it found: of two
that were built at once, the second would leave that of the first for good.
"""
