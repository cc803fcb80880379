"""Parquet files and folders that `datasets.save_to_disk` wrote."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_rerank.errors import ConfigurationError, DataFileError
from langchain_rerank.optional import require
from langchain_rerank.reading.text import is_file, read_bytes, read_text


def is_saved_dataset(path: Path) -> bool:
    """Return whether `datasets` saved this folder: one data set, or several splits."""
    return any(is_file(path / name) for name in ("state.json", "dataset_dict.json"))


def read_parquet(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Return position (1-based) and row of a Parquet file.

    Raises:
        DataFileError: It cannot be read.
        MissingExtraError: pyarrow is not installed.
    """
    parquet = require("pyarrow.parquet", extra="eval")
    data = read_bytes(path)
    with _as_data_file(path, "Parquet"):
        rows = _rows(parquet.read_table(io.BytesIO(data)))
    return list(enumerate(rows, 1))


def read_saved_dataset(path: Path, split: str | None = None) -> list[tuple[int, dict[str, Any]]]:
    """Return position (1-based) and row of a folder that `datasets.save_to_disk` wrote.

    Args:
        path: The folder.
        split: Which split of a `DatasetDict`; None where it has one only.

    Raises:
        DataFileError: The folder is damaged.
        ConfigurationError: No such split, or several and none was named.
        MissingExtraError: pyarrow is not installed.
    """
    if is_file(path / "dataset_dict.json"):
        splits = _named(path / "dataset_dict.json", "splits")
        path /= chosen_split(splits, split, str(path))
    arrow = require("pyarrow", extra="eval")
    rows: list[dict[str, Any]] = []
    for name in _named(path / "state.json", "_data_files"):
        file = path / name
        data = read_bytes(file)
        with _as_data_file(file, "an Arrow stream"), arrow.ipc.open_stream(data) as stream:
            rows.extend(_rows(stream.read_all()))
    return list(enumerate(rows, 1))


def chosen_split(splits: list[str], split: str | None, where: str) -> str:
    """Return the split that was named, or the only one there is.

    Raises:
        ConfigurationError: No such split, or several and none was named.
    """
    if split is None and len(splits) == 1:
        return splits[0]
    if split not in splits:
        said = "several splits and none was named" if split is None else f"no split {split!r}"
        raise ConfigurationError(
            f"{where} has {said}: it has {', '.join(splits) or 'none'}. Name one with "
            f"split='test' (on the command line --split test)."
        )
    return split


def _rows(table: Any) -> list[dict[str, Any]]:
    # Arrow trusts offsets and lengths of a file: unchecked, wrong ones end the whole process.
    table.validate(full=True)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _named(path: Path, key: str) -> list[str]:
    """Return the names that a file of `datasets` lists under `key`."""
    try:
        found = json.loads(read_text(path))[key]
        # Names of files beside it: no other folder is read.
        names = [one["filename"] if isinstance(one, dict) else one for one in found]
        if any(not isinstance(one, str) or Path(one).name != one for one in names):
            raise ValueError("a name in it is no file beside it")  # noqa: TRY301 - one message
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataFileError(
            f"It has no list of names under {key!r} ({error}); save the data set again with "
            f"save_to_disk.",
            path=path,
        ) from error
    return names


@contextmanager
def _as_data_file(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # pyarrow raises whatever its formats and codecs raise
        said = " ".join(str(error).split())[:200]
        raise DataFileError(f"It cannot be read as {what} ({said}).", path=path) from error
