"""Questions in one object: DataFrames, Series, pyarrow tables, `datasets` objects, mappings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from langchain_rerank.errors import ConfigurationError
from langchain_rerank.evaluation.data.columns import asks, holds_question
from langchain_rerank.evaluation.data.graded import scale_of
from langchain_rerank.evaluation.data.values import read_id
from langchain_rerank.reading.columnar import chosen_split
from langchain_rerank.reading.squad import paragraphs, squad_articles


def as_rows(data: Any, split: str | None = None) -> list[Any]:
    """Return the rows of a table, a list of rows, or what has one of them inside.

    Taken are a pandas or polars DataFrame, a Series (of questions, or of rows), a pyarrow Table, a
    `Dataset` of the package datasets, a `DatasetDict` with one split or a named one, a RAGAS test
    set, a data set of LlamaIndex, a mapping as files hold one, and any iterable of rows.

    Raises:
        ConfigurationError: It is none of these, or has several splits and none was named.
    """
    if _is_splits(data):
        return as_rows(data[chosen_split([str(one) for one in data], split, "The data")])
    if hasattr(data, "model_dump"):  # a data set of LlamaIndex
        data = data.model_dump()
    inside = rows_inside(data, "the data") if isinstance(data, Mapping) else None
    if inside is None and (isinstance(data, (Mapping, str, bytes)) or data is None):
        raise _no_table(data)
    return _of_table(data) if inside is None else inside


def _of_table(data: Any) -> list[Any]:
    for method in ("to_pylist", "to_dicts"):  # pyarrow; polars
        if callable(getattr(data, method, None)):
            _check_columns(getattr(data, "column_names", ()))
            return list(getattr(data, method)())
    if hasattr(data, "columns") and hasattr(data, "to_dict"):  # a DataFrame of pandas
        _check_columns(data.columns)
        # What an index is called is a column, too: ids, often.
        index = [one for one in data.index.names if one is not None and one not in data.columns]
        return list((data.reset_index(index) if index else data).to_dict(orient="records"))
    if hasattr(data, "to_list") and hasattr(data, "index"):  # a Series: one row, or one column
        if any(isinstance(one, str) and holds_question(one) for one in data.index):
            return [data.to_dict()]
        asked = any(data.index.names) and all(isinstance(one, str) for one in data)
        return _of_table(data.to_frame("question")) if asked else list(data.to_list())
    if isinstance(data, Iterable):
        features = getattr(data, "features", None)
        return _with_words(data, features) if isinstance(features, Mapping) else list(data)
    if hasattr(data, "to_pandas"):  # a test set of RAGAS
        return as_rows(data.to_pandas())
    raise _no_table(data)


def _with_words(rows: Iterable[Mapping[str, Any]], features: Mapping[str, Any]) -> list[Any]:
    """Return the rows of a data set, whose grades may be numbers of words: the first need not be 0.

    Numbers of other classes stay what they are.
    """
    named = {key: getattr(one, "names", None) or () for key, one in features.items()}
    words = {key: names for key, names in named.items() if scale_of(names)}
    return [
        {
            key: words[key][one] if key in words and one is not None and one >= 0 else one
            for key, one in row.items()
        }
        for row in rows
    ]


def _no_table(data: Any) -> ConfigurationError:
    got = type(data).__name__
    if isinstance(data, Mapping):
        got = f"a mapping with the keys {', '.join(map(repr, list(data)[:5])) or 'none'}"
    return ConfigurationError(
        f"Questions were expected as a path, a table or a list of dictionaries, got {got}. "
        f"A single question goes into a list: [{{'question': ...}}]."
    )


def _check_columns(names: Iterable[Any]) -> None:
    listed = list(names)
    twice = next((one for one in listed if listed.count(one) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"Two columns are called {twice!r}; rename one of them.")


def rows_inside(value: Mapping[Any, Any], path: str | Path) -> list[Any] | None:
    """Return the rows in one object, or None where it is a row itself."""
    articles = squad_articles(value)
    if articles is not None:
        return [
            {**one, "reference_contexts": [paragraph.text], "title": paragraph.title}
            for paragraph in paragraphs(articles, path)
            for one in paragraph.questions
        ]
    if isinstance(value.get("queries"), Mapping):
        return _by_query(value)
    questions = [one for key, one in value.items() if holds_question(str(key))]
    if any(isinstance(one, str) or asks(one) for one in questions):
        return None
    if questions or all(isinstance(one, Mapping) for one in value.values()):
        return _from_columns(value)
    if value and all(isinstance(one, str) for one in value.values()):
        return [{"id": key, "question": one} for key, one in value.items()]
    lists = [
        one
        for one in value.values()
        if isinstance(one, list) and one and all(isinstance(row, Mapping) for row in one)
    ]
    if len(lists) > 1:  # promptfoo has its tests beside its providers
        lists = [one for one in lists if any(map(asks, (one[0], *one[0].values())))]
    return lists[0] if len(lists) == 1 else None


def _by_query(value: Mapping[Any, Any]) -> list[Any]:
    """Return rows of questions by id, with what is relevant by the same ids.

    So are LlamaIndex' data sets for fine-tuning embeddings, and what sentence-transformers'
    evaluator of retrieval takes: `queries`, `corpus` and `relevant_docs`.
    """
    labels = {
        key: {read_id(query): one for query, one in held.items()}
        for key, held in value.items()
        if key in {"relevant_docs", "qrels"} and isinstance(held, Mapping)
    }
    found = []
    for query, text in value["queries"].items():
        named = {key: one.get(read_id(query)) for key, one in labels.items()}
        found.append({"id": query, "question": text, **named})
    return found


def _from_columns(value: Mapping[str, Any]) -> list[Any] | None:
    """Return rows from columns (`{"question": [...]}`, `{"question": {"0": ...}}`) or an index.

    pandas writes the second by `to_json`, and `{"0": {"question": ...}}` with `orient="index"`.
    """
    held = list(value.values())
    if all(isinstance(one, list) for one in held) and len({len(one) for one in held}) == 1:
        return [dict(zip(value, row, strict=True)) for row in zip(*held, strict=True)]
    if not all(isinstance(one, Mapping) for one in held):
        return None
    if any(holds_question(str(key)) for key in value):
        indexes = list(held[0]) if held else []
        return [{key: one.get(index) for key, one in value.items()} for index in indexes]
    if all(map(asks, held)):
        return [{"id": index, **one} for index, one in value.items()]
    return None


def _is_splits(data: Any) -> bool:
    """Return whether `data` is several data sets by name, as a `DatasetDict` is."""
    return (
        isinstance(data, Mapping)
        and bool(data)
        and all(hasattr(one, "column_names") or hasattr(one, "columns") for one in data.values())
    )
