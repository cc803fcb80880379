"""The command line: `langchain-rerank COMMAND`. One module per command."""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

from langchain_rerank.errors import RerankError, RerankWarning
from langchain_rerank.optional import require
from langchain_rerank.plain_text import printable

_formatwarning = warnings.formatwarning
_INTERRUPTED = 130
# The code with which an interrupted command ends.
_ending: list[int] = []


def main() -> None:
    """Run the command line; errors of this package become one message and exit code 2.

    So do those of files and devices, which name the file where one is to blame.
    """
    started = time.perf_counter()
    _ending.clear()
    _mend_surroundings()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # A terminal of another encoding gives or gets a question mark, and not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # the bars of transformers and others
    warnings.formatwarning = _as_a_message
    atexit.register(_leave_at_once)
    try:
        require("typer", extra="cli")
        require("rich", extra="cli")
        from langchain_rerank.cli.console import log_to_terminal, notes_console, verbosity

        verbosity.started = started
        # Something on the screen at once, while the packages are imported.
        with notes_console().status("Starting…"):
            from langchain_rerank.cli.app import app
        with log_to_terminal():
            app(_global_options_first(sys.argv[1:]))
    except Exception as error:
        message = _message_of(error)
        if message is None:
            raise
        sys.stderr.write(f"Error: {printable(message)}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        _ending.append(_INTERRUPTED)
        raise SystemExit(_INTERRUPTED) from None
    except SystemExit as stopped:
        if stopped.code == _INTERRUPTED:
            _ending.append(_INTERRUPTED)
        raise


def _mend_surroundings() -> None:
    """Make what a cron job or an editor starts a command with fit for what reads it."""
    if not os.environ.get("COLUMNS", "1").strip("0 "):
        del os.environ["COLUMNS"]  # an editor's "no terminal"; nothing would be printed
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            devnull = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
            setattr(sys, name, devnull)


def _leave_at_once() -> None:
    # Everything is written. Python would now look for garbage in all of torch for two seconds, and
    # a Ctrl-C in them would end up as a traceback out of somebody's finalizer.
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours = (one.name.startswith("langchain-rerank") for one in threading.enumerate())
    if _ending and any(ours):
        # A thread that still computes would be ended by Python in the middle of torch, which
        # aborts the process.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(_ending[0])
    gc.freeze()


def _global_options_first(arguments: list[str]) -> list[str]:
    """Return the arguments with -q and -v in front, wherever they were written."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    everywhere = {"-q", "--quiet", "-v", "--verbose"}
    first = [one for one in arguments[:end] if one in everywhere]
    return [*first, *(one for one in arguments[:end] if one not in everywhere), *arguments[end:]]


def _message_of(error: Exception) -> str | None:
    """Return what to say of an error that is no bug; None for any other."""
    if isinstance(error, RerankError):
        return str(error)
    if isinstance(error, OSError):
        if error.filename is None and _folder_is_gone():
            return "The folder that this was started in is gone: change to another one."
        return str(error) if error.filename is None else f"{error.filename}: {error.strerror}"
    if isinstance(error, ValueError):
        from pydantic import ValidationError

        from langchain_rerank.fields import told

        if isinstance(error, ValidationError):  # a setting that a field of a model refuses
            return told(error)
    return None


def _folder_is_gone() -> bool:
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def _as_a_message(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Return what is shown of a warning: of this package's, not where in its code it arose."""
    if issubclass(category, RerankWarning):
        return f"Warning: {printable(str(message))}\n"
    return _formatwarning(message, category, filename, lineno, line)
