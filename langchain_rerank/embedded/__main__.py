"""Look at the embedded model: ``python -m langchain_rerank.embedded export FOLDER``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from langchain_rerank.embedded.weights import export_embedded, pack_model
from langchain_rerank.errors import RerankError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, or 2 when it could not be done."""
    parser = argparse.ArgumentParser(prog="python -m langchain_rerank.embedded")
    commands = parser.add_subparsers(dest="command", required=True)
    export = commands.add_parser("export", help="write the model as an ordinary model folder")
    export.add_argument("folder", help="new folder for the fp32 model (about 91 MB)")
    pack = commands.add_parser("pack", help="write a trained model in the embedded int8 form")
    pack.add_argument("source", help="model folder, as examples/train_reranker.py writes it")
    pack.add_argument("folder", help="folder for the packed model (about 23 MB)")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "export":
            written = export_embedded(chosen.folder)
        else:
            written = pack_model(chosen.source, chosen.folder)
    except RerankError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{written}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
