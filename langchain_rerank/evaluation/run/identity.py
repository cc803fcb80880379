"""What tells a retriever, a model or a chain from others of its kind, as plain data."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseLanguageModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.vectorstores import VectorStore
from pydantic import BaseModel

from langchain_rerank.evaluation.data.plain import plain
from langchain_rerank.evaluation.run.functions import code_of, held_by, is_function, read_by
from langchain_rerank.reranking import Reranking
from langchain_rerank.scorers.contract import Scorer, scorer_name
from langchain_rerank.scorers.cross_encoder import CrossEncoderScorer
from langchain_rerank.wrappers.wrapper import Wrapper, identity_of

_DEEPEST = 50  # objects inside of objects
_LONGEST = 100  # of what is listed one by one
_NOT_ITS_OWN = {"callbacks", "callback_manager", "tags", "metadata", "verbose", "cache"}
_SECRET = {"key", "secret", "token", "password", "credential", "credentials"}
# Before "key", these words make it the key of a mapping: no secret, and it changes what is read.
_OF_MAPPINGS = (
    *("answer", "content", "context", "contexts", "doc", "document", "embedding", "id", "input"),
    *("memory", "metadata", "output", "page", "question", "source", "text", "vector"),
)
_SETTINGS = (str, int, float)
_PARTS = (Path, BaseModel, Embeddings, Runnable, VectorStore)


@dataclass
class Unsaid:
    """What an identity does not say, noted while it is made.

    Attributes:
        scorers: Names of scorers that do not say what they are.
        held: Whether something holds what is not read: a vector store, embeddings, a client.
        generates: Whether there is a language model, which need not answer the same twice.
    """

    scorers: list[str] = field(default_factory=list)
    held: bool = False
    generates: bool = False


def identity(thing: Any, unsaid: Unsaid, inside: tuple[int, ...] = ()) -> Any:
    """Return what identifies `thing`, as plain data; secrets are left out.

    An attribute `identity` comes first, then a scorer's name. Else: class and settings, and those
    of its parts; of functions their code and what they hold. Documents are known where they stand
    in a list. Scorers are loaded for it. `unsaid` gets what is not known, and `inside` are the ids
    of the objects that `thing` is inside of.
    """
    scores = isinstance(thing, Scorer) and not isinstance(thing, type)
    if scores:
        _load(thing)
    stated = identity_of(thing)
    if thing is None or isinstance(thing, (str, int, float, bool)):
        return thing
    if stated is not None and not callable(stated):
        return stated
    if id(thing) in inside or len(inside) > _DEEPEST:
        return _class(thing)
    inside = (*inside, id(thing))
    several = isinstance(thing, (Mapping, list, tuple, set, frozenset))
    described = _scorer if scores else _several if several else _object
    return described(thing, unsaid, inside)


def _load(scorer: object) -> None:
    """Load what scores: int8 may be refused then, and another precision gives other scores."""
    for inner in getattr(scorer, "scorers", ()):
        _load(inner)
    if callable(load := getattr(scorer, "load", None)):
        load()


def _scorer(scorer: Scorer, unsaid: Unsaid, inside: tuple[int, ...]) -> Any:
    """Return what identifies a scorer that has no `identity`: the name that somebody gave it."""
    if isinstance(scorer, Wrapper):
        inner = [identity(one, unsaid, inside) for one in scorer.scorers]
        return {"wrapper": scorer.kind, **scorer.settings, "scorers": inner}
    # A LangChain cross-encoder is called by its class, which says nothing of its model.
    within = getattr(vars(scorer).get("_score_pairs"), "__self__", None)
    if isinstance(within, BaseModel):
        return _object(within, unsaid, inside)
    named = isinstance(getattr(scorer, "name", None), str)
    if not named or isinstance(scorer, CrossEncoderScorer) or within is not None:
        unsaid.scorers.append(scorer_name(scorer))
    return {"name": scorer_name(scorer)}


def _several(things: Any, unsaid: Unsaid, inside: tuple[int, ...]) -> Any:
    if isinstance(things, Mapping):
        named = {str(key): one for key, one in things.items() if not _secret(str(key), one)}
        if len(named) <= _LONGEST and not any(isinstance(one, Document) for one in named.values()):
            return {key: identity(one, unsaid, inside) for key, one in named.items()}
        things = [part for pair in named.items() for part in pair]
    elif isinstance(things, (set, frozenset)):
        things = sorted(things, key=repr)
    if things and all(isinstance(one, (Document, str)) for one in things):
        return _texts(things)
    found = [identity(one, unsaid, inside) for one in things]
    return found if len(found) <= _LONGEST else _texts([json.dumps(found, default=str)])


def _texts(things: Sequence[Document | str]) -> str:
    """Return what names these texts, and the ids and metadata of documents."""
    found = hashlib.sha256()
    for one in things:
        parts = one if isinstance(one, str) else [one.id, one.page_content, plain(one.metadata)]
        data = json.dumps(parts, sort_keys=True, default=_told).encode()
        found.update(b"%d:%b" % (len(data), data))
    return f"{len(things)} texts {found.hexdigest()[:16]}"


def _told(value: Any) -> Any:
    """Return what JSON does not have as what is the same in the next process."""
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    text = str(value)
    return _class(value) if " at 0x" in text else text


def _object(thing: Any, unsaid: Unsaid, inside: tuple[int, ...]) -> Any:
    if isinstance(thing, (Enum, Path)):
        return str(thing)
    if isinstance(thing, type):
        return f"{thing.__module__}.{thing.__qualname__}"
    if isinstance(thing, RunnableLambda):
        both = [getattr(thing, name, None) for name in ("func", "afunc")]
        parts = [_function(one, unsaid, inside) for one in both if one is not None]
        return parts if len(parts) > 1 else parts[0]
    if is_function(thing):
        return _function(thing, unsaid, inside)
    settings: Mapping[str, Any] = {}
    if isinstance(thing, BaseLanguageModel):
        unsaid.generates = True
        settings = model_settings(thing)
    elif isinstance(thing, BaseModel):
        # What somebody set: what else is there says the class.
        settings = {name: getattr(thing, name) for name in sorted(thing.model_fields_set)}
        if isinstance(thing, Reranking):
            settings["model"] = thing.scorer
        said = any(isinstance(one, Runnable) or _corpus(one) for one in settings.values())
        unsaid.held |= isinstance(thing, BaseRetriever) and not said
    elif isinstance(thing, _PARTS):
        settings = {
            name: one
            for name, one in sorted(vars(thing).items())
            if isinstance(one, (str, *_PARTS)) or is_function(one)
        }
        unsaid.held = True
    elif is_dataclass(thing):
        settings = {one.name: getattr(thing, one.name) for one in fields(thing)}
    else:
        _look_into(thing, unsaid)
    unsaid.held |= isinstance(thing, (VectorStore, Embeddings))
    kept = {
        name: identity(one, unsaid, inside)
        for name, one in settings.items()
        if name not in _NOT_ITS_OWN and not _secret(name, one)
    }
    return {"class": _class(thing), **kept}


def model_settings(model: BaseLanguageModel[Any]) -> Mapping[str, Any]:
    """Return what a language model says that it is set to; else the plain values that it was given.

    Not all its fields: some count its calls.
    """
    said = model._identifying_params  # noqa: SLF001 - what LangChain's own caches are keyed by
    given = {name: getattr(model, name) for name in sorted(model.model_fields_set)}
    return said or {name: one for name, one in given.items() if isinstance(one, _SETTINGS)}


def _function(function: Callable[..., Any], unsaid: Unsaid, inside: tuple[int, ...]) -> Any:
    """Return what identifies a function: its code, and what it holds and reads of its module."""
    if isinstance(function, partial):
        given = [list(function.args), function.keywords]
        return [identity(one, unsaid, inside) for one in (function.func, *given)]
    bound = getattr(function, "__self__", None)
    function = getattr(function, "__func__", function)
    if not hasattr(function, "__code__"):  # as where results are cached
        function = inspect.unwrap(function)
    if not is_function(function):
        bound, function = function, type(function).__call__
        if not hasattr(function, "__code__"):
            return _told(bound)  # operator.itemgetter("question")
    named = f"{function.__module__}.{function.__qualname__}"
    if not hasattr(function, "__code__"):  # one of Python's own
        _part(bound, unsaid, inside)
        return named
    named += f" {code_of(function.__code__)}"
    parts = [("self", bound), *held_by(function)]
    for name, one in read_by(function):
        if isinstance(one, _SETTINGS):
            unsaid.held = True  # It may be a setting, or how long to wait.
        else:
            parts.append((name, one))
    found = [_part(one, unsaid, inside) for name, one in parts if not _secret(name, one)]
    held = [one for one in found if one is not None]
    return [named, *held] if held else named


def _part(one: Any, unsaid: Unsaid, inside: tuple[int, ...]) -> Any:
    """Return what identifies something that a function holds; None where that is not known."""
    if one is None or isinstance(one, ModuleType):
        return None
    if isinstance(one, type):
        kept = vars(one).values()
        unsaid.held |= any(isinstance(each, _PARTS) or _corpus(each) for each in kept)
        return None
    said = isinstance(one, (*_SETTINGS, *_PARTS)) or identity_of(one) is not None
    if said or is_function(one) or _corpus(one):
        return identity(one, unsaid, inside)
    _look_into(one, unsaid)
    return None


def _corpus(thing: Any) -> bool:
    """Return whether these are documents: a list of them, or a dictionary."""
    found = list(thing.values()) if isinstance(thing, dict) else thing
    listed = isinstance(found, (list, tuple)) and len(found) > 0
    return listed and all(isinstance(one, Document) for one in found)


def _look_into(thing: Any, unsaid: Unsaid) -> None:
    """Note whether an object of anybody's holds more than plain values, or a language model."""
    if type(thing).__module__.startswith("langchain_rerank.") and not isinstance(thing, Scorer):
        return  # an index of what is known
    if isinstance(thing, (Mapping, list, tuple, set, frozenset)):
        parts = list(thing.values() if isinstance(thing, Mapping) else thing)
        unsaid.held |= bool(parts)
    else:
        parts = list(getattr(thing, "__dict__", {"slots": thing}).values())
        unsaid.held |= any(one is not None and not isinstance(one, _SETTINGS) for one in parts)
    unsaid.generates |= any(isinstance(one, BaseLanguageModel) for one in parts)


def _class(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _secret(name: str, value: Any) -> bool:
    words = name.lower().split("_")
    if hasattr(value, "get_secret_value"):
        return True
    of_mapping = words[-1] == "key" and len(words) > 1 and set(words[:-1]) <= set(_OF_MAPPINGS)
    return isinstance(value, str) and not of_mapping and any(one in words for one in _SECRET)
