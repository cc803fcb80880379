"""What tells a retriever, a model or a chain from others of its kind, as plain data."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import CodeType
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.vectorstores import VectorStore
from pydantic import BaseModel

from langchain_rerank.reranking import Reranking
from langchain_rerank.scorers.contract import Scorer, scorer_name
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.wrappers.wrapper import Wrapper, identity_of

_DEEPEST = 6
_NOT_ITS_OWN = {"callbacks", "callback_manager", "tags", "metadata", "verbose", "cache"}
_SECRET = ("key", "secret", "token", "password", "credential")


def identity(thing: Any, unknown: list[str], depth: int = 0) -> Any:
    """Return what identifies `thing`, as plain data; secrets are left out.

    An attribute `identity` comes first, then a scorer's name. Else: class and settings, and those
    of its parts. What an index holds is known only where it is a list of documents. Scorers are
    loaded for it.

    Args:
        thing: A retriever, a chain, a model, a function, a setting.
        unknown: Gets the names of scorers that do not say what they are.
        depth: How many objects it is inside of.

    Raises:
        ModelLoadError: A scorer cannot be loaded.
    """
    if isinstance(thing, Scorer) and not isinstance(thing, type):
        _load(thing)
    stated = identity_of(thing)
    if thing is None or isinstance(thing, (str, int, float, bool)):
        return thing
    if stated is not None and not callable(stated):
        return stated
    if isinstance(thing, Scorer) and not isinstance(thing, type):
        return _scorer(thing, unknown, depth)
    if isinstance(thing, Mapping):
        named = {str(key): one for key, one in thing.items() if not _secret(str(key), one)}
        return {key: identity(one, unknown, depth + 1) for key, one in named.items()}
    if isinstance(thing, (list, tuple, set, frozenset)):
        return _sequence(list(thing), unknown, depth)
    return _class(thing) if depth > _DEEPEST else _object(thing, unknown, depth)


def _load(scorer: object) -> None:
    """Load what scores: int8 may be refused then, and another precision gives other scores."""
    for inner in getattr(scorer, "scorers", ()):
        _load(inner)
    if callable(load := getattr(scorer, "load", None)):
        load()


def _scorer(scorer: Scorer, unknown: list[str], depth: int) -> Any:
    """Return what identifies a scorer that has no `identity`: the name that somebody gave it."""
    if isinstance(scorer, Wrapper):
        inner = [identity(one, unknown, depth + 1) for one in scorer.scorers]
        return {"wrapper": scorer.kind, **scorer.settings, "scorers": inner}
    # A LangChain cross-encoder is called by its class, which says nothing of its model.
    inside = getattr(vars(scorer).get("_score_pairs"), "__self__", None)
    if isinstance(inside, BaseModel):
        return _object(inside, unknown, depth)
    named = isinstance(getattr(scorer, "name", None), str)
    if not named or isinstance(scorer, CrossEncoderScorer) or inside is not None:
        unknown.append(scorer_name(scorer))
    return {"name": scorer_name(scorer)}


def _sequence(things: Sequence[Any], unknown: list[str], depth: int) -> Any:
    if not things or not all(isinstance(one, (Document, str)) for one in things):
        return [identity(one, unknown, depth + 1) for one in things[:100]]
    found = hashlib.sha256()
    for one in things:
        text = one if isinstance(one, str) else f"{one.id}\n{one.page_content}"
        data = text.encode("utf-8", "surrogatepass")
        found.update(b"%d:%b" % (len(data), data))
    return f"{len(things)} texts {found.hexdigest()[:16]}"


def _object(thing: Any, unknown: list[str], depth: int) -> Any:
    if isinstance(thing, (Enum, Path)):
        return str(thing)
    if isinstance(thing, RunnableLambda):
        return _function(getattr(thing, "func", None) or thing.afunc, unknown, depth)
    if inspect.isfunction(thing) or inspect.ismethod(thing):
        return _function(thing, unknown, depth)
    settings: dict[str, Any] = {}
    if isinstance(thing, BaseModel):
        # What somebody set: what else is there says the class.
        settings = {name: getattr(thing, name) for name in sorted(thing.model_fields_set)}
        if isinstance(thing, Reranking):
            settings["model"] = thing.scorer
    elif isinstance(thing, (VectorStore, Embeddings, Runnable)):
        parts = (str, Path, BaseModel, Embeddings, Runnable)
        settings = {
            name: one for name, one in sorted(vars(thing).items()) if isinstance(one, parts)
        }
    kept = {
        name: identity(one, unknown, depth + 1)
        for name, one in settings.items()
        if name not in _NOT_ITS_OWN and not _secret(name, one)
    }
    return {"class": _class(thing), **kept}


def _function(function: Callable[..., Any], unknown: list[str], depth: int) -> Any:
    """Return what identifies a function: its code, and the settings and retrievers it holds."""
    bound = getattr(function, "__self__", None)
    function = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    if code is None:
        return _class(function)
    cells = [one.cell_contents for one in function.__closure__ or () if _filled(one)]
    held = [one for one in (bound, *cells) if isinstance(one, (str, int, float, BaseModel))]
    named = f"{function.__module__}.{function.__qualname__} {_code(code)}"
    return [named, *(identity(one, unknown, depth + 1) for one in held)] if held else named


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # the name has no value yet
        return False


def _code(code: CodeType) -> str:
    found = hashlib.sha256(code.co_code)
    for one in (*code.co_names, *code.co_consts):
        found.update((_code(one) if isinstance(one, CodeType) else repr(one)).encode())
    return found.hexdigest()[:16]


def _class(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _secret(name: str, value: Any) -> bool:
    words = name.lower().split("_")
    return hasattr(value, "get_secret_value") or (
        isinstance(value, str) and any(one in words for one in _SECRET)
    )
