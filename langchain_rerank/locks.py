"""Locks of a process, of which a forked child has its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from weakref import WeakSet


def in_forked_children(call: Callable[[], object]) -> None:
    """Have `call` made in each child of this process, before anything else happens there."""
    if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
        os.register_at_fork(after_in_child=call)


class ProcessLock:
    """A lock that is kept beyond one call, by a module or an object: `with lock(): ...`.

    A fork copies a lock that another thread holds, and not that thread, so a child gets a new one.
    It is called for the lock itself: who forks while holding it releases the one that was taken.
    """

    def __init__(self) -> None:
        self.renew()
        _locks.add(self)

    def __call__(self) -> threading.Lock:
        """Return the lock of this process."""
        return self._lock

    def renew(self) -> None:
        """Have a new lock, which nobody holds."""
        self._lock = threading.Lock()


_locks: WeakSet[ProcessLock] = WeakSet()


def _renew_all() -> None:
    for lock in _locks:
        lock.renew()


in_forked_children(_renew_all)


building = ProcessLock()
"""Held while transformers builds a model.

It sets torch's default precision meanwhile, for the whole process, and then what it found: of two
that were built at once, the second would leave that of the first for good.
"""
