"""What a file in JSON gives back as it was."""

from __future__ import annotations


def not_json(value: object, name: str) -> str | None:
    """Return what in `value`, which is called `name`, JSON would change, or None.

    Examples:
        >>> not_json({"a": [1, (2,)]}, "metadata")
        "metadata['a'][1] of type tuple"
    """
    try:
        return _not_json(value, name)
    except RecursionError:
        return f"{name}, which contains itself or is nested too deeply,"


def _not_json(value: object, name: str) -> str | None:
    if value is None or type(value) in {str, int, float, bool}:
        return None
    if type(value) is list:
        return next(filter(None, (_not_json(v, f"{name}[{i}]") for i, v in enumerate(value))), None)
    if type(value) is dict and all(type(key) is str for key in value):
        return next(filter(None, (_not_json(v, f"{name}[{k!r}]") for k, v in value.items())), None)
    return f"{name} of type {type(value).__name__}"
