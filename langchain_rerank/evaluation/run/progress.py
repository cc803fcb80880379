"""Progress of a run: a hook, or a bar where a person is looking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeAlias

from langchain_rerank.optional import require

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many steps are done, and of how many."""


@contextmanager
def progress_of(progress: Progress | bool | None, title: str) -> Iterator[Progress]:
    """Give the hook to call: `progress` itself, a bar, or one that does nothing.

    Args:
        progress: A hook; True for a bar; False for none; None for a bar where the standard error
            is a terminal and rich is installed.
        title: What is being done.

    Raises:
        MissingExtraError: True was asked for, and rich is not installed.
    """
    if callable(progress):
        yield progress
        return
    looking = sys.stderr.isatty() and find_spec("rich") is not None
    if not (looking if progress is None else progress):
        yield lambda _done, _total: None
        return
    bars = require("rich.progress", extra="eval")
    console = require("rich.console", extra="eval").Console(stderr=True)
    with bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
        console=console,
    ) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
