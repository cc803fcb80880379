"""The command line: `langchain-rerank COMMAND`. One module per command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; errors of this package become one message and exit code 2."""
    from langchain_rerank.errors import RerankError
    from langchain_rerank.optional import require

    try:
        require("typer", extra="cli")
        require("rich", extra="cli")
        from langchain_rerank.cli.app import app

        app()
    except RerankError as error:
        sys.stderr.write(f"Error: {error}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        raise SystemExit(130) from None
