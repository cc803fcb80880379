"""What a file in JSON gives back as it was."""

from __future__ import annotations


def not_json(value: object, name: str) -> str | None:
    """Return what in `value` JSON would change, by its name, or None.

    Args:
        value: What is to be written.
        name: What it is called.

    Raises:
        RecursionError: It contains itself, or is nested too deeply.

    Examples:
        >>> not_json({"a": [1, (2,)]}, "metadata")
        "metadata['a'][1] of type tuple"
    """
    if value is None or type(value) in {str, int, float, bool}:
        return None
    if type(value) is list:
        return next(filter(None, (not_json(v, f"{name}[{i}]") for i, v in enumerate(value))), None)
    if type(value) is dict and all(type(key) is str for key in value):
        return next(filter(None, (not_json(v, f"{name}[{k!r}]") for k, v in value.items())), None)
    return f"{name} of type {type(value).__name__}"
