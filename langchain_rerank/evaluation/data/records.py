"""JSONL that this package wrote: one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from langchain_rerank.errors import DataFileError
from langchain_rerank.reading.json_values import read_json


def read_jsonl(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line (1-based) and object of each line that is not blank.

    Raises:
        DataFileError: It cannot be read, or a line is no JSON object.
    """
    for line, row in read_json(path):
        if not isinstance(row, dict):
            raise DataFileError(
                f"A JSON object was expected, got {type(row).__name__}: {str(row)[:60]}",
                path=path,
                line=line,
            )
        yield line, row
