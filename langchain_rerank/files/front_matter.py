"""The metadata at the head of a Markdown file, as sites and note-taking programs write it.

Between lines of three dashes it is YAML, between lines of three plus signs TOML.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

_YAML = re.compile(
    r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)
_TOML = re.compile(r"\+\+\+[ \t]*\r?\n(.*?)^\+\+\+[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
# More than a head has. Aliases of YAML could make millions of values of a few lines.
_MOST_VALUES, _MOST_DEPTH = 10_000, 20


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    r"""Return what a block of YAML or TOML at the head of a text says, and the rest of the text.

    Values become what JSON has: dates are written out. What is no such block (a line of dashes,
    YAML that cannot be read) is left in the text.

    Examples:
        >>> split_front_matter("---\ntags: [a, b]\ndate: 2024-05-01\n---\nText")
        ({'tags': ['a', 'b'], 'date': '2024-05-01'}, 'Text')
        >>> split_front_matter("---\nText\n---\n")
        ({}, '---\nText\n---\n')
        >>> split_front_matter("+++\nweight = 3\n+++\nText")
        ({'weight': 3}, 'Text')
    """
    block = _YAML.match(text) or _TOML.match(text)
    if block is None:
        return {}, text
    try:
        found = tomllib.loads(block[1]) if text.startswith("+") else yaml.safe_load(block[1])
        if found is None:  # empty, or comments only
            found = {}
        if not isinstance(found, dict):
            return {}, text
        metadata: dict[str, Any] = _plain(found, itertools.count(), 0)
    except Exception:  # noqa: BLE001 - of odd values PyYAML raises much besides its own errors
        return {}, text
    return metadata, text[block.end() :]


def _plain(value: Any, values: Iterator[int], depth: int) -> Any:
    if next(values) > _MOST_VALUES or depth > _MOST_DEPTH:
        raise ValueError("too much")
    if isinstance(value, dict):
        return {str(key): _plain(one, values, depth + 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one, values, depth + 1) for one in value]
    if isinstance(value, set):
        return sorted(str(one) for one in value)
    if isinstance(value, (dt.date, dt.datetime)):
        return value.isoformat()
    if value is None or isinstance(value, (str, bool, int)):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else str(value)
