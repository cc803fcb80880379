"""Why a judge gave no answer: whether to ask again, and whether it can be reached at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from langchain_core.exceptions import OutputParserException
from pydantic import ValidationError

from langchain_rerank.errors import InputError, JudgeError

_RETRYABLE_STATUS = {408, 409, 425, 429}
_RETRYABLE_CLASSES = {
    "APIConnectionError",  # openai, anthropic
    "APITimeoutError",
    "ModelConnectionError",  # langchain-core
    "ModelRateLimitError",
    "ModelTimeoutError",
    "TransportError",  # httpx
}
_OF_ONE_REQUEST = {400, 413, 422}  # too long, say: another request may be answered
UNREADABLE = (InputError, OutputParserException, ValidationError)
_GIVE_UP_AFTER = 10  # failures in a row, of a judge that is not to be reached


def retryable(error: BaseException) -> bool:
    """Return whether the same request may succeed later.

    Examples:
        >>> retryable(TimeoutError()), retryable(ValueError("no such model"))
        (True, False)
    """
    status = status_of(error)
    if status is not None:
        return status in _RETRYABLE_STATUS or status >= 500
    if isinstance(error, (asyncio.TimeoutError, TimeoutError, ConnectionError)):
        return True
    # By name: which client a chat model uses is its affair.
    names = {one.__name__ for one in type(error).__mro__}
    return bool(names & _RETRYABLE_CLASSES)


@dataclass
class Reach:
    """Whether a judge still answers: after ten failures in a row it is left alone.

    Attributes:
        never: Whether it cannot be reached and has answered nothing so far: no request will
            succeed.
    """

    never: bool = False
    _failures: int = 0
    _last: str = ""
    _answered: bool = False

    def answered(self) -> None:
        """Note that the judge answered."""
        self._failures, self._answered = 0, True

    def failed(self, error: JudgeError) -> None:
        """Note that the judge gave no answer; one that nobody can read is an answer, too."""
        cause = error.__cause__
        if not unreachable(cause):
            return
        self._failures, self._last = self._failures + 1, str(error)
        # A question may take too long by itself; a refused connection says it of all.
        self.never = not self._answered and not isinstance(cause, asyncio.TimeoutError)

    def check(self) -> None:
        """Raise where asking on would only take time."""
        if self._failures >= _GIVE_UP_AFTER:
            raise JudgeError(
                f"not asked: the judge failed {self._failures} times in a row; the last time, "
                f"{self._last}"
            )


def unreachable(error: BaseException | None) -> bool:
    """Return whether `error` says that no request will succeed: no server, no permission."""
    if error is None or isinstance(error, UNREADABLE):
        return False
    return status_of(error) not in _RETRYABLE_STATUS | _OF_ONE_REQUEST


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error of any client carries, or None."""
    status = getattr(error, "status_code", None)
    if status is None:
        status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None
