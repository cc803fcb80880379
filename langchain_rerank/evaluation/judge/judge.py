"""A language model as judge: asked with a limit in time, asked again where that can help."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableBinding, RunnableConfig
from pydantic import BaseModel

from langchain_rerank.checks import check_seconds, whole_number
from langchain_rerank.errors import ConfigurationError, InputError, JudgeError
from langchain_rerank.evaluation.judge.failures import UNREADABLE, retryable, status_of
from langchain_rerank.evaluation.judge.parsing import check_answer, parse_answer
from langchain_rerank.evaluation.run.identity import Unsaid, identity, model_settings
from langchain_rerank.optional import require

M = TypeVar("M", bound=BaseModel)

_LONGEST_WAIT = 60.0  # seconds, whatever a server asks for


@dataclass(frozen=True)
class Judge:
    """Any LangChain chat model as judge, and how it is asked.

    Its callbacks, its cache and its rate limiter work as ever; waiting for the limiter does not
    count against `timeout`.

    Attributes:
        model: A chat model, or a Runnable from a prompt to a message or a text.
        name: What the judge is called in reports, and what keeps its verdicts apart from those of
            other judges. None is made of the model's class and settings.
        timeout: Seconds for one answer.
        max_attempts: How often a question is put at most: again after a timeout, a broken
            connection, a refusal for load (429, 5xx), or an answer that cannot be read, which the
            judge is then told.
        backoff: Seconds before the second attempt, doubled before each further one. A
            `Retry-After` of the server comes first.
        structured_output: Whether the model's own `with_structured_output` is used, for servers
            that hold the model to a schema; else the JSON is read out of its text, which works
            with every model.
    """

    model: Any = field(repr=False)  # which may show its address and keys
    name: str | None = None
    timeout: float = 60.0
    max_attempts: int = 3
    backoff: float = 1.0
    structured_output: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.model, Runnable):
            raise ConfigurationError(
                f"A judge is a LangChain chat model, got {self.model!r}. A server that speaks "
                f"OpenAI's protocol becomes one by Judge.at(base_url, model_name)."
            )
        if self.structured_output and not hasattr(self.model, "with_structured_output"):
            raise ConfigurationError(
                f"{type(self.model).__name__} has no with_structured_output; leave "
                f"structured_output=False."
            )
        check_seconds("timeout", self.timeout)
        check_seconds("backoff", self.backoff, zero=True)
        whole_number(self.max_attempts, "max_attempts")

    @classmethod
    def at(
        cls, base_url: str, model_name: str, *, api_key: str | None = None, **settings: Any
    ) -> Judge:
        """Return a judge behind a server that speaks OpenAI's protocol (Ollama, vLLM, llama.cpp).

        Args:
            base_url: The address, with `/v1` where the server has that. A name, a password or a
                query in it stays out of the judge's label, and so out of reports.
            model_name: The model, as the server calls it.
            api_key: Where the server wants one; nothing is read from the environment.
            **settings: `timeout` and the other settings of a judge.

        Raises:
            MissingExtraError: langchain-openai is not installed.
        """
        # No retries of its own: they are counted here.
        model = chat_model(base_url, model_name, api_key=api_key, max_retries=0)
        name = f"{model_name} at {_shown(base_url)}"
        return cls(model, **{"name": name, **settings})

    @property
    def label(self) -> str:
        """What the judge is called in reports."""
        if self.name:
            return self.name
        inner = _innermost(self.model)
        model = getattr(inner, "model_name", None) or getattr(inner, "model", None)
        return f"{type(inner).__name__} {model}" if isinstance(model, str) else type(inner).__name__

    @property
    def identity(self) -> str:
        """What keeps the verdicts of different judges apart."""
        return f"{self.name or _identity(self.model)}, structured={self.structured_output}"

    async def answer(self, prompt: str, model: type[M], config: RunnableConfig) -> M:
        """Return the model's answer to `prompt`.

        Raises:
            JudgeError: It gave none that can be used; `__cause__` is what went wrong last.
        """
        asked = prompt
        for attempt in range(1, self.max_attempts + 1):
            try:
                return await self._answer_once(asked, model, config)
            except UNREADABLE as error:
                asked = _with_complaint(prompt, error)
                failure: Exception = error
            except Exception as error:  # noqa: BLE001 - any client: it raises what it likes
                failure = error
                if not retryable(error):
                    break
            if attempt < self.max_attempts:
                await asyncio.sleep(_wait(failure, self.backoff * 2 ** (attempt - 1)))
        attempts = f"{attempt} attempt{'s' * (attempt > 1)}"
        raise JudgeError(f"{self._reason(failure)} ({attempts})") from failure

    async def _answer_once(self, prompt: str, model: type[M], config: RunnableConfig) -> M:
        limiter = getattr(self.model, "rate_limiter", None)
        if limiter is not None:
            # Here, since inside the model the wait would count against the timeout.
            await limiter.aacquire(blocking=True)
        chat = self._without_limiter
        if self.structured_output:
            structured = chat.with_structured_output(model)
            found = await asyncio.wait_for(structured.ainvoke(prompt, config), self.timeout)
            if not isinstance(found, model):
                raise InputError(f"{model.__name__} was expected, got {found!r}")
            return check_answer(found)
        message = await asyncio.wait_for(chat.ainvoke(prompt, config), self.timeout)
        return parse_answer(message if isinstance(message, str) else str(message.text), model)

    @cached_property
    def _without_limiter(self) -> Any:
        if getattr(self.model, "rate_limiter", None) is None:
            return self.model
        return self.model.model_copy(update={"rate_limiter": None})

    def _reason(self, error: Exception) -> str:
        if isinstance(error, UNREADABLE):
            return f"the judge's answer cannot be read: {_line(error)}"
        if isinstance(error, asyncio.TimeoutError):
            return f"the judge did not answer within {self.timeout:g} s"
        status = status_of(error)
        if status is not None:
            return f"the judge refused with HTTP {status}: {_line(error)}"
        return f"the judge failed with {type(error).__name__}: {_line(error)}"


def _shown(base_url: str) -> str:
    """Return an address without what may be secret in it: user, password, query and fragment."""
    parts = urlsplit(base_url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def chat_model(
    base_url: str, model_name: str, *, api_key: str | None = None, **settings: Any
) -> BaseChatModel:
    """Return a chat model behind a server that speaks OpenAI's protocol.

    The arguments are those of `Judge.at`, the settings what `ChatOpenAI` takes.

    Raises:
        MissingExtraError: langchain-openai is not installed.
    """
    model: BaseChatModel = require("langchain_openai", extra="ragas").ChatOpenAI(
        base_url=base_url, model=model_name, api_key=api_key or "none", temperature=0, **settings
    )
    return model


def as_judge(model: Any) -> Judge:
    """Return `model` as a judge; a judge is returned as it is.

    Raises:
        ConfigurationError: It is neither a judge nor a LangChain model.
    """
    return model if isinstance(model, Judge) else Judge(model)


def _wait(error: BaseException, backoff: float) -> float:
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    try:
        return min(float(headers["retry-after"]), _LONGEST_WAIT)
    except (KeyError, ValueError):  # no such header, or a date
        # Spread, so that requests that failed together do not come back together.
        return min(backoff * random.uniform(0.5, 1.5), _LONGEST_WAIT)  # noqa: S311 - no secret


def _with_complaint(prompt: str, error: Exception) -> str:
    return (
        f"{prompt}\n\nYour last answer could not be used: {_line(error)}\n"
        f"Answer with the JSON object only, by the schema above."
    )


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 240 else f"{text[:239]}…"


def _innermost(model: Any) -> Any:
    while isinstance(model, RunnableBinding):
        model = model.bound
    return model


def _identity(model: Any) -> str:
    if isinstance(model, RunnableBinding):
        return f"{_identity(model.bound)} {json.dumps(model.kwargs, default=str, sort_keys=True)}"
    if isinstance(model, BaseChatModel):
        settings = json.dumps(model_settings(model), default=str, sort_keys=True)
        return f"{type(model).__module__}.{type(model).__qualname__} {settings}"
    return json.dumps(identity(model, Unsaid()), default=str, sort_keys=True)


def embeddings_identity(embeddings: object) -> str:
    """Return what keeps the values of different embeddings apart: class, model and settings."""
    if embeddings is None:
        return ""
    named = [getattr(embeddings, name, None) for name in ("model_name", "model", "dimensions")]
    model = [one for one in named if isinstance(one, (str, int))]
    return f"{json.dumps(identity(embeddings, Unsaid()), default=str, sort_keys=True)} {model}"
