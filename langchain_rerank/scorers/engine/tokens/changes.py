"""Whether the owner of a model that was passed in changed how it reads texts."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder

_FEW = 100  # entries of a dictionary
_PLAIN = frozenset({bool, int, float, str, type(None)})


def plain(values: Iterable[Any], *more: type) -> list[Any]:
    """Return the numbers, texts and flags among `values`, and what is of `more` types."""
    kinds = _PLAIN.union(more)
    return [value for value in values if type(value) in kinds]


def reading_state(model: CrossEncoder) -> Hashable:
    """Return what changes when texts of `model` become other tokens.

    That is when its tokenizer is replaced, learns tokens, or is set otherwise, and when the first
    module is told to use it otherwise. The prompts of a model are looked up with every text.
    """
    tokenizer, first = model.tokenizer, model[0]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    parts = ("normalizer", "pre_tokenizer", "post_processor")
    return (
        id(tokenizer),
        id(backend),
        backend.get_vocab_size() if backend is not None else len(tokenizer),
        *(_described(getattr(backend, part, None)) for part in parts),
        *(_content(one) for one in plain(vars(tokenizer).copy().values(), dict)),
        repr(getattr(first, "processing_kwargs", None)),
    )


def _content(setting: Any) -> Hashable:
    # Some tokenizers keep their vocabulary; to read all of it takes longer than a text.
    big = isinstance(setting, dict) and len(setting) > _FEW
    return (id(setting), len(setting)) if big else repr(setting)


def _described(part: Any) -> str:
    try:
        return repr(part)
    except Exception:  # noqa: BLE001  # what tokenizers raises for parts written in Python
        return type(part).__name__
