"""What clients send and get: the Cohere/Jina form and that of text-embeddings-inference, pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
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


@dataclass(frozen=True)
class RerankRequest:
    """A request as it was understood; `cut` is whether texts may be cut to the model's limit."""

    form: Form
    query: str
    texts: Sequence[str]
    raw: bool
    top_n: int | None
    echo: bool
    model: str | None
    cut: bool = True


def read(path: str, body: bytes, limits: Limits) -> RerankRequest:
    """Return what a request asks for.

    Null stands for an absent field: the Cohere SDK sends `top_n` and `max_tokens_per_doc` so.

    Raises:
        RefusedError: It is malformed, or beyond a limit. The message quotes no text.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is not JSON") from None
    if not isinstance(fields, dict):
        raise RefusedError(422, "the body must be a JSON object")
    fields = {name: value for name, value in fields.items() if value is not None}
    if ("texts" in fields) == ("documents" in fields):
        raise RefusedError(
            422, "give the texts as 'documents' (Cohere, Jina) or as 'texts' (TEI), not both"
        )
    form: Form = "tei" if "texts" in fields else "cohere"
    if PATHS[path] != "either" and form == "tei":
        raise RefusedError(422, f"{path} takes 'documents'; 'texts' go to /rerank")
    query = fields.get("query")
    if not isinstance(query, str):
        raise RefusedError(422, "'query' must be a string")
    texts = _texts(fields["texts" if form == "tei" else "documents"], form)
    if len(texts) > limits.documents:
        raise RefusedError(
            422, f"batch size {len(texts)} > maximum allowed batch size {limits.documents}"
        )
    longest = max(len(query), *map(len, texts)) if texts else len(query)
    if longest > limits.characters:
        raise RefusedError(
            413, f"a text has {longest} characters, more than the limit of {limits.characters}"
        )
    if form == "tei" and str(fields.get("truncation_direction", "right")).lower() != "right":
        raise RefusedError(422, "texts are cut on the right: 'truncation_direction' must be right")
    echo = "return_text" if form == "tei" else "return_documents"
    return RerankRequest(
        form,
        well_formed(query),
        texts,
        raw=_flag(fields, "raw_scores"),
        top_n=_top_n(fields.get("top_n")),
        echo=_flag(fields, echo),
        model=well_formed(fields["model"]) if isinstance(fields.get("model"), str) else None,
        cut=form != "tei" or _flag(fields, "truncate", otherwise=True),
    )


def _texts(value: Any, form: Form) -> list[str]:
    if not isinstance(value, list) or not value:
        raise RefusedError(400 if value == [] else 422, "there must be a list of texts", "Empty")
    texts: list[str] = []
    for position, one in enumerate(value):
        text = one.get("text") if form == "cohere" and isinstance(one, dict) else one
        if not isinstance(text, str):
            raise RefusedError(422, f"text {position} must be a string")
        texts.append(well_formed(text))
    return texts


def _flag(fields: dict[str, Any], name: str, *, otherwise: bool = False) -> bool:
    value = fields.get(name, otherwise)
    if isinstance(value, bool):
        return value
    raise RefusedError(422, f"'{name}' must be true, false or null")


def _top_n(value: Any) -> int | None:
    if value is None or (type(value) is int and value >= 1):
        return value
    raise RefusedError(422, "'top_n' must be a whole number of at least 1, or null")


def answer(
    request: RerankRequest,
    logits: Sequence[float],
    *,
    activation: Callable[[Sequence[float]], list[float]],
    name: str,
) -> Any:
    """Return the answer's JSON data, best first; equal scores keep the order of the texts.

    Args:
        request: What was asked.
        logits: `(n,)` the model's raw scores.
        activation: Gives the scores that the model's `predict` gives for logits.
        name: The model's name.
    """
    order = sorted(range(len(logits)), key=lambda i: -logits[i])
    if request.form == "tei":
        scores = list(logits) if request.raw else [sigmoid(logit) for logit in logits]
        return [
            {"index": i, "score": scores[i]} | ({"text": request.texts[i]} if request.echo else {})
            for i in order
        ]
    scores = activation(logits)
    results = [
        {"index": i, "relevance_score": scores[i]}
        | ({"document": {"text": request.texts[i]}} if request.echo else {})
        for i in order[: request.top_n]
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
