"""What the command line says on the way: plain text, as much as was asked for."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from langchain_rerank.errors import RerankWarning
from langchain_rerank.plain_text import printable
from langchain_rerank.user_cache import cache_folder

NO_GPU = "No GPU found"


@dataclass
class Verbosity:
    """How much is said: results always, notes and progress unless `quiet`, more if `verbose`.

    `started` is when the command was (`time.perf_counter`).
    """

    quiet: bool = False
    verbose: bool = False
    started: float = 0.0


verbosity = Verbosity()


class _Notes(Console):
    """A console to which a string is text and nothing else.

    Square brackets in a path are no markup, and nothing in a string commands the terminal.
    """

    def print(self, *objects: Any, **options: Any) -> None:
        style = options.pop("style", "")
        super().print(
            *(Text(printable(o), style=style) if isinstance(o, str) else o for o in objects),
            **options,
        )

    def status(self, status: Any, **options: Any) -> Any:
        return super().status(Text(printable(str(status))), **options)


def notes_console() -> Console:
    """Return a console on standard error for what is not the result."""
    # The terminal breaks long lines itself, and then knows a link or a path as one.
    return _Notes(stderr=True, quiet=verbosity.quiet, soft_wrap=True)


def set_verbosity(*, quiet: bool, verbose: bool) -> None:
    """Set how much is said."""
    verbosity.quiet, verbosity.verbose = quiet, verbose
    level = logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING
    logging.getLogger("langchain_rerank").setLevel(level)
    if quiet:
        warnings.simplefilter("ignore", RerankWarning)


@contextmanager
def log_to_terminal() -> Iterator[None]:
    """Show this package's log on standard error while a command runs."""
    logger = logging.getLogger("langchain_rerank")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    handler.addFilter(_is_news)
    before = logger.level
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        verbosity.quiet = verbosity.verbose = False
        logger.setLevel(before)


class _Printable(logging.Formatter):
    """Formats records without what would command the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether to show a record: that there is no GPU is said once on a machine."""
    if verbosity.verbose or not record.getMessage().startswith(NO_GPU):
        return True
    mark = cache_folder("said") / "no-gpu"
    try:
        if mark.exists():
            return False
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:  # Said again next time.
        pass
    return True
