"""What clients send and get: the Cohere/Jina form and that of text-embeddings-inference, pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_rerank.plain_text import well_formed

Form = Literal["tei", "cohere"]

PATHS = {"/rerank": "either", "/v1/rerank": "cohere", "/v2/rerank": "cohere"}


class RefusedError(Exception):
    """A request that is not served, with the status to answer.

    Attributes:
        status: The HTTP status.
        kind: The type that text-embeddings-inference gives such an error.
        retry_after: Seconds after which it may pass; None where it never will.
    """

    def __init__(
        self, status: int, message: str, kind: str = "Validation", retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.retry_after = status, kind, retry_after


@dataclass(frozen=True)
class Limits:
    """What one request may ask for, and how many may be under way.

    Attributes:
        body_bytes: Bytes of a request's body.
        documents: Texts of a request.
        characters: Characters of the query, and of each text.
        concurrent: Requests that a replica works on at once; others get 429.
        body_seconds: Seconds in which a body must have come; a slow one keeps a place from others.
    """

    body_bytes: int = 8_000_000
    documents: int = 1000
    characters: int = 200_000
    concurrent: int = 256
    body_seconds: float = 30.0


# What would change the scores or what comes back, and is not served, with the one value by which it
# changes nothing. To ignore it would be to answer another question than the one that was asked.
_NOT_SERVED: Mapping[str, Any] = {
    "truncation_direction": "right",
    "truncation_side": "right",
    "truncate_prompt_tokens": -1,
    "max_tokens_per_query": 0,
    "max_query_length": 0,
    "instruction": "",
    "instruct": "",
}


@dataclass(frozen=True)
class RerankRequest:
    """A request as it was understood.

    Attributes:
        form: Whose form it has.
        query: The query.
        texts: `(n,)` what is scored.
        raw: Whether logits are asked for.
        top_n: How many are returned; None for all.
        echo: `(n,)` what an answer repeats of each text, or None.
        model: The name that the client gave.
        cut: Whether texts may be cut to the model's limit.
        max_tokens: Tokens of each text that are read; None for as many as the model reads.
    """

    form: Form
    query: str
    texts: Sequence[str]
    raw: bool
    top_n: int | None
    echo: Sequence[Any] | None
    model: str | None
    cut: bool
    max_tokens: int | None


def read(path: str, body: bytes, limits: Limits) -> RerankRequest:
    """Return what a request asks for.

    Null stands for an absent field: the Cohere SDK sends `top_n` and `max_tokens_per_doc` so.

    Raises:
        RefusedError: It is malformed, beyond a limit, or asks for what is not served. The message
            quotes no text.
    """
    fields = _fields(body)
    form: Form = "tei" if "texts" in fields else "cohere"
    if PATHS[path] != "either" and form == "tei":
        raise RefusedError(422, f"{path} takes 'documents'; 'texts' go to /rerank")
    query = fields.get("query")
    if not isinstance(query, str):
        raise RefusedError(422, "'query' must be a string")
    documents = fields["texts" if form == "tei" else "documents"]
    _check_list(documents, limits)
    names = _rank_fields(fields.get("rank_fields"))
    texts = [_text(one, form, names, position) for position, one in enumerate(documents)]
    longest = max(len(query), *map(len, texts))
    if longest > limits.characters:
        raise RefusedError(
            413, f"a text has {longest} characters, more than the limit of {limits.characters}"
        )
    echo = _flag(fields, "return_text" if form == "tei" else "return_documents")
    chunks = _count(fields, "max_chunks_per_doc", least=1)
    return RerankRequest(
        form,
        well_formed(query),
        texts,
        raw=_flag(fields, "raw_scores") or not _flag(fields, "use_activation", otherwise=True),
        top_n=_count(fields, "top_n", least=1),
        echo=_repeated(documents, texts, form) if echo else None,
        model=well_formed(fields["model"]) if isinstance(fields.get("model"), str) else None,
        # A text of several chunks would be read to its end, which cutting it is not.
        cut=all(_flag(fields, name, otherwise=True) for name in ("truncate", "truncation"))
        and (chunks or 1) == 1,
        max_tokens=_count(fields, "max_tokens_per_doc") or _count(fields, "max_doc_length") or None,
    )


def _fields(body: bytes) -> dict[str, Any]:
    """Return the fields of a request that are not null."""
    try:
        given = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is not JSON") from None
    if not isinstance(given, dict):
        raise RefusedError(422, "the body must be a JSON object")
    fields = {name: value for name, value in given.items() if value is not None}
    if ("texts" in fields) == ("documents" in fields):
        raise RefusedError(
            422, "give the texts as 'documents' (Cohere, Jina) or as 'texts' (TEI), not both"
        )
    for name, only in _NOT_SERVED.items():
        if str(fields.get(name, only)).lower() != str(only):
            raise RefusedError(422, f"'{name}' is not served: leave it out, or give {only!r}")
    return fields


def _check_list(documents: Any, limits: Limits) -> None:
    if not isinstance(documents, list) or not documents:
        status = 400 if documents == [] else 422
        raise RefusedError(status, "there must be a list of texts", "Empty")
    if len(documents) > limits.documents:
        raise RefusedError(
            422, f"batch size {len(documents)} > maximum allowed batch size {limits.documents}"
        )


def _no_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity are no JSON, and no answer could repeat them


def _rank_fields(value: Any) -> Sequence[str]:
    """Return which fields of an object are its text, in order."""
    if value is None:
        return ["text"]
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return value
    raise RefusedError(422, "'rank_fields' must be a list of names of fields")


def _text(document: Any, form: Form, fields: Sequence[str], position: int) -> str:
    """Return what is scored: a text, or the fields of an object, by line."""
    if isinstance(document, str):
        return well_formed(document)
    if form == "tei" or not isinstance(document, dict):
        raise RefusedError(422, f"text {position} must be a string")
    values = [value for name in fields if isinstance(value := document.get(name), str)]
    if len(values) < len(fields):
        raise RefusedError(
            422, f"document {position} must have a string in 'text', or in each of 'rank_fields'"
        )
    return well_formed("\n".join(values))


def _repeated(documents: Sequence[Any], texts: Sequence[str], form: Form) -> Sequence[Any]:
    """Return what an answer repeats of each document: an object as it came."""
    if form == "tei":
        return texts
    return [
        # Its fields may hold surrogates as well.
        json.loads(well_formed(json.dumps(document, ensure_ascii=False)))
        if isinstance(document, dict)
        else {"text": text}
        for document, text in zip(documents, texts, strict=True)
    ]


def _flag(fields: dict[str, Any], name: str, *, otherwise: bool = False) -> bool:
    value = fields.get(name, otherwise)
    if isinstance(value, bool):
        return value
    raise RefusedError(422, f"'{name}' must be true, false or null")


def _count(fields: dict[str, Any], name: str, *, least: int = 0) -> int | None:
    value = fields.get(name)
    if value is None or (type(value) is int and value >= least):
        return value
    raise RefusedError(422, f"'{name}' must be a whole number of at least {least}, or null")


def answer(
    request: RerankRequest,
    logits: Sequence[float],
    *,
    activation: Callable[[Sequence[float]], list[float]],
    name: str,
) -> Any:
    """Return the answer's JSON data, best first; equal scores keep the order of the texts.

    `activation` gives the scores that the model's `predict` gives for logits, `(n,)`.
    """
    best_first = sorted(range(len(logits)), key=lambda i: -logits[i])
    order, echo = best_first[: request.top_n], request.echo
    if request.form == "tei":
        scores = list(logits) if request.raw else [sigmoid(logit) for logit in logits]
        return [
            {"index": i, "score": scores[i]} | ({"text": echo[i]} if echo else {}) for i in order
        ]
    scores = list(logits) if request.raw else activation(logits)
    results = [
        {"index": i, "relevance_score": scores[i]} | ({"document": echo[i]} if echo else {})
        for i in order
    ]
    return {
        "id": "rerank",
        "model": request.model or name,
        "results": results,
        "usage": {"prompt_tokens": 0, "total_tokens": 0},  # Infinity's client needs the fields
    }


def sigmoid(logit: float) -> float:
    """Return 1 / (1 + exp(-logit)), without overflow.

    >>> sigmoid(0.0), sigmoid(-1000.0)
    (0.5, 0.0)
    """
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    return math.exp(logit) / (1.0 + math.exp(logit))


def refusal(error: RefusedError) -> dict[str, Any]:
    """Return the body of an error, with the fields that each kind of client looks for."""
    text = str(error)
    return {"error": text, "error_type": error.kind, "message": text, "detail": text}
