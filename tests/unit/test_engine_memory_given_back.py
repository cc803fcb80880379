"""What was freed goes back to the system where the C library has a call for it."""

from __future__ import annotations

import ctypes

import numpy as np
import psutil
import pytest

from langchain_rerank.scorers.engine import memory


@pytest.fixture(autouse=True)
def asked_anew():
    memory._malloc_trim.cache_clear()
    yield
    memory._malloc_trim.cache_clear()


def test_pages_between_pieces_that_are_in_use_go_back():
    if memory._malloc_trim() is None:
        pytest.skip("this C library has no malloc_trim")
    resident = psutil.Process().memory_info
    # Below the size from which the C library asks the system for each array by itself.
    pieces = [np.ones(12_000) for _ in range(2000)]
    kept = pieces[::2]
    del pieces
    before = resident().rss
    memory.give_back_freed()
    assert before - resident().rss > 50 * 2**20
    assert sum(one.sum() for one in kept) == 12_000 * 1000


@pytest.mark.parametrize("error", [AttributeError("malloc_trim"), TypeError("None"), OSError("no")])
def test_nothing_happens_where_there_is_no_such_call(monkeypatch, error):
    asked = []

    def library(name):
        asked.append(name)
        raise error

    monkeypatch.setattr(ctypes, "CDLL", library)
    memory.give_back_freed()
    memory.give_back_freed()
    assert asked == [None]  # and is not looked for again
