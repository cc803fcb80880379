"""Tables that people pass as questions: DataFrames, Series, pyarrow tables, `datasets` objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.columns import holds_question
from langchain_rerank.reading.columnar import chosen_split


def as_rows(data: Any, split: str | None = None) -> list[Any]:
    """Return the rows of a table, a list of rows, or what has one of them inside.

    Taken are a pandas or polars DataFrame, a Series (of questions, or of rows), a pyarrow Table, a
    `Dataset` of the package datasets, a `DatasetDict` with one split or a named one, a RAGAS test
    set, and any iterable of rows.

    Raises:
        ConfigurationError: It is none of these, or has several splits and none was named.
    """
    if _is_splits(data):
        return as_rows(data[chosen_split([str(one) for one in data], split, "The data")])
    if isinstance(data, (Mapping, str, bytes)) or data is None:
        raise _no_table(data)
    for method in ("to_pylist", "to_dicts"):  # pyarrow; polars
        if callable(getattr(data, method, None)):
            return list(getattr(data, method)())
    if hasattr(data, "columns") and hasattr(data, "to_dict"):  # a DataFrame of pandas
        return list(data.to_dict(orient="records"))
    if hasattr(data, "to_list") and hasattr(data, "index"):  # a Series: one row, or one column
        is_row = any(isinstance(one, str) and holds_question(one) for one in data.index)
        return [data.to_dict()] if is_row else list(data.to_list())
    if isinstance(data, Iterable):
        return list(data)
    if hasattr(data, "to_pandas"):  # a test set of RAGAS
        return as_rows(data.to_pandas())
    raise _no_table(data)


def _no_table(data: Any) -> ConfigurationError:
    got = type(data).__name__
    if isinstance(data, Mapping):
        got = f"a mapping with the keys {', '.join(map(repr, list(data)[:5])) or 'none'}"
    return ConfigurationError(
        f"Questions were expected as a path, a table or a list of dictionaries, got {got}. "
        f"A single question goes into a list: [{{'question': ...}}]."
    )


def _is_splits(data: Any) -> bool:
    """Return whether `data` is several data sets by name, as a `DatasetDict` is."""
    return (
        isinstance(data, Mapping)
        and bool(data)
        and all(hasattr(one, "column_names") or hasattr(one, "columns") for one in data.values())
    )
