"""What rerank servers are sent, and how their answers are read: pure functions on plain data."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from langchain_rerank.plain_text import well_formed

DialectName: TypeAlias = Literal["tei", "cohere", "jina", "vllm"]
"""text-embeddings-inference; the Cohere and the Jina form of /rerank; vLLM's /score."""

DIALECT_NAMES: tuple[str, ...] = get_args(DialectName)


class UnreadableAnswerError(ValueError):
    """An answer is not one finite score per text; the message says what is wrong with it."""


@dataclass(frozen=True)
class Dialect:
    """How one kind of server is spoken to.

    Attributes:
        path: Where it answers, below the server's base.
        max_texts: Texts of one request that a server takes unless it was told otherwise.
        body: Returns the fields of a request for a query and texts, without the model.
        answers: The field of the answer that holds the list of scores; a bare list is taken too
            where `bare` says so.
        bare: Whether the answer may be the list itself.
    """

    path: str
    max_texts: int
    body: Callable[[str, Sequence[str]], dict[str, Any]]
    answers: str | None
    bare: bool


def _tei(query: str, texts: Sequence[str]) -> dict[str, Any]:
    return {"query": query, "texts": texts, "raw_scores": True, "truncate": True}


def _cohere(query: str, texts: Sequence[str]) -> dict[str, Any]:
    return {"query": query, "documents": texts, "top_n": len(texts)}


def _jina(query: str, texts: Sequence[str]) -> dict[str, Any]:
    return {**_cohere(query, texts), "return_documents": False}


def _vllm(query: str, texts: Sequence[str]) -> dict[str, Any]:
    return {
        "text_1": query,
        "text_2": texts,
        "use_activation": False,
        "truncate_prompt_tokens": -1,  # cut at the model's limit, as every other server does
    }


DIALECTS: Mapping[str, Dialect] = {
    "tei": Dialect("/rerank", 32, _tei, answers=None, bare=True),
    "cohere": Dialect("/v2/rerank", 1000, _cohere, answers="results", bare=True),
    "jina": Dialect("/v1/rerank", 1000, _jina, answers="results", bare=True),
    "vllm": Dialect("/score", 1000, _vllm, answers="data", bare=False),
}
"""Every dialect, by name. SGLang speaks the Cohere and Jina forms and answers with a bare list."""

_SCORE_NAMES = ("relevance_score", "score")
_LLAMA_CPP_FAILED = -1e6
_EXCERPT_BYTES = 32_000
_RERANK_PATHS = {"rerank", "reranking", "score", "invocations"}
_VERSIONS = {"v1", "v2"}


def endpoint(url: str, dialect: Dialect) -> str:
    """Return where to send requests: `url` itself if it ends in a rerank path, else below it.

    Examples:
        >>> endpoint("http://tei:8080", DIALECTS["tei"])
        'http://tei:8080/rerank'
        >>> endpoint("https://api.jina.ai/v1/", DIALECTS["jina"])
        'https://api.jina.ai/v1/rerank'
        >>> endpoint("http://infinity:7997/rerank", DIALECTS["cohere"])
        'http://infinity:7997/rerank'
    """
    url = url.rstrip("/")
    last = urlsplit(url).path.rsplit("/", 1)[-1]  # not of the host, which may be called "rerank"
    if last in _RERANK_PATHS:
        return url
    path = dialect.path
    if last in _VERSIONS:
        # The base as OpenAI's clients take it: the version is there already.
        path = "/" + path.rsplit("/", 1)[-1]
    return url + path


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return a request's body as JSON in UTF-8.

    That cannot hold surrogates: pairs are joined and lone ones replaced, as for a local model.
    """
    return well_formed(json.dumps(body, ensure_ascii=False)).encode()


def read_scores(content: bytes, n: int, dialect: Dialect) -> list[float]:
    """Return the `(n,)` scores of an answer, joined by `index`.

    Raises:
        UnreadableAnswerError: It is not JSON or has another form, a score is missing, doubled or
            not a finite number, or an index is not one of the texts sent.

    Examples:
        >>> read_scores(b'[{"index": 1, "score": 2}, {"index": 0, "score": -1}]', 2,
        ...             DIALECTS["tei"])
        [-1.0, 2.0]
    """
    items = _items(content, dialect)
    scores: list[float | None] = [None] * n
    for item in items:
        index, score = _entry(item)
        if not 0 <= index < n:
            raise UnreadableAnswerError(f"it scores index {index}, but {n} texts were sent")
        if scores[index] is not None:
            raise UnreadableAnswerError(f"it scores index {index} twice")
        scores[index] = score
    given = [score for score in scores if score is not None]
    if len(given) < n:
        raise UnreadableAnswerError(
            f"it has {len(given)} scores for {n} texts; the first without one is "
            f"index {scores.index(None)}"
        )
    return given


def _items(content: bytes, dialect: Dialect) -> list[Any]:
    try:
        answer = json.loads(content, object_pairs_hook=_object)
    except UnreadableAnswerError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswerError(f"it is not JSON: {excerpt(content)}") from error
    if isinstance(answer, dict) and dialect.answers is not None:
        answer = answer.get(dialect.answers)
    elif not dialect.bare:
        answer = None
    if not isinstance(answer, list):
        expected = [f"an object with the list {dialect.answers!r}"] if dialect.answers else []
        expected += ["a list"] if dialect.bare else []
        raise UnreadableAnswerError(f"{' or '.join(expected)} was expected, got {excerpt(content)}")
    return answer


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; one of two values under the same name would be taken by chance."""
    found = dict(pairs)
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise UnreadableAnswerError(f"an object in it has {twice!r} twice")
    return found


def _entry(item: Any) -> tuple[int, float]:
    fields = item if isinstance(item, dict) else {}
    index: Any = fields.get("index")
    score, *others = [fields[name] for name in _SCORE_NAMES if name in fields] or [None]
    if type(index) is not int or type(score) not in {int, float}:  # True is no number here
        raise UnreadableAnswerError(
            f"an object with a whole number 'index' and a number 'score' or 'relevance_score' was "
            f"expected for each text, got {_short(fields) if fields else repr(item)}"
        )
    if others and others != [score]:
        raise UnreadableAnswerError(
            f"index {index} has two scores, 'relevance_score' {score!r} and 'score' {others[0]!r}"
        )
    try:
        number = float(score)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UnreadableAnswerError(f"the score of index {index} is {number}, no finite number")
    if number == _LLAMA_CPP_FAILED:
        raise UnreadableAnswerError(
            f"the score of index {index} is {number:g}, by which llama.cpp says that it could not "
            f"score this text; its log has the reason"
        )
    return index, number


def _short(fields: Mapping[str, Any]) -> str:
    # The echoed document may be long, and is of no use here.
    return repr({key: fields[key] for key in fields if key not in {"document", "text"}})


def excerpt(content: bytes) -> str:
    """Return the beginning of a body on one line, for a message that is redacted and then cut."""
    words = content[:_EXCERPT_BYTES].decode("utf-8", "replace").split()
    if len(content) > _EXCERPT_BYTES and words and len(words[-1]) < _EXCERPT_BYTES // 4:
        words.pop()  # half of it, which may be half a key
    return "".join(one if one.isprintable() else "?" for one in " ".join(words))
