"""The command line: `langchain-rerank COMMAND`. One module per command."""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
import time
import warnings
from contextlib import suppress

_formatwarning = warnings.formatwarning


def main() -> None:
    """Run the command line; errors of this package become one message and exit code 2.

    So do those of files and devices, which name the file where one is to blame.
    """
    started = time.perf_counter()
    from langchain_rerank.errors import RerankError
    from langchain_rerank.optional import require

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
    except RerankError as error:
        _fail(str(error))
    except ValueError as error:
        # A setting that a field of a model refuses.
        from pydantic import ValidationError

        if not isinstance(error, ValidationError):
            raise
        _fail("; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors()))
    except OSError as error:
        _fail(str(error) if error.filename is None else f"{error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        raise SystemExit(130) from None


def _leave_at_once() -> None:
    # Everything is written. Python would now look for garbage in all of torch for two seconds, and
    # a Ctrl-C in them would end up as a traceback out of somebody's finalizer.
    with suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()


def _global_options_first(arguments: list[str]) -> list[str]:
    """Return the arguments with -q and -v in front, wherever they were written."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    everywhere = {"-q", "--quiet", "-v", "--verbose"}
    first = [one for one in arguments[:end] if one in everywhere]
    return [*first, *(one for one in arguments[:end] if one not in everywhere), *arguments[end:]]


def _fail(message: str) -> None:
    from langchain_rerank.plain_text import printable

    sys.stderr.write(f"Error: {printable(message)}\n")
    raise SystemExit(2) from None


def _as_a_message(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    """Return what is shown of a warning: of this package's, not where in its code it arose."""
    from langchain_rerank.errors import RerankWarning
    from langchain_rerank.plain_text import printable

    if issubclass(category, RerankWarning):
        return f"Warning: {printable(str(message))}\n"
    return _formatwarning(message, category, filename, lineno, line)
