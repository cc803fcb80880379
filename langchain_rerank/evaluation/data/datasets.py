"""Whatever people hold questions in, as a data set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from langchain_rerank.evaluation.data.files import load_dataset
from langchain_rerank.evaluation.data.questions import Dataset, Record, from_records

__all__ = ["Dataset", "DatasetLike", "Record", "as_dataset", "from_ragas", "from_records"]

DatasetLike: TypeAlias = "Dataset | str | Path | Iterable[Any]"
"""A data set, the path of one, a table (pandas, pyarrow, datasets), or its records."""


def as_dataset(data: DatasetLike) -> Dataset:
    """Return the data set that `data` is, or that its path, table or records hold.

    Raises:
        DataFileError: The file cannot be read; the message has its path and line.
        ConfigurationError: No record, or none that can be used.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, (str, Path)):
        return load_dataset(data)
    return from_records(data)


def from_ragas(samples: Any, *, name: str = "RAGAS test set") -> Dataset:
    """Return a data set from a RAGAS test set, its DataFrame, or a list of its samples.

    `user_input` becomes the question; `reference`, `reference_contexts` and `reference_context_ids`
    are kept. What a system answered (`response`, `retrieved_contexts`, ...) is no label: it is
    metadata, as how the question was made (`persona_name`, ...) is.

    Raises:
        ConfigurationError: No sample, or none that can be used.
    """
    return from_records(samples, name=name)
