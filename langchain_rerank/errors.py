"""Every error the package raises, one tree under `RerankError`.

Each class also inherits the nearest built-in, so that code which knows nothing of this package
(`except ValueError`) still works. A message says what happened with the values, what was expected
and what to do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

MESSAGES_PAGE = "https://langchain-rerank.readthedocs.io/en/latest/guides/messages/"


def see(section: str) -> str:
    """Return the sentence with which a message sends its reader to what helps.

    Args:
        section: The anchor of a section of `docs/guides/messages.md`; a test holds them together.

    Examples:
        >>> see("few-candidates")
        'See https://langchain-rerank.readthedocs.io/en/latest/guides/messages/#few-candidates'
    """
    return f"See {MESSAGES_PAGE}#{section}"


class RerankError(Exception):
    """The root: `except RerankError` catches everything that this package raises on purpose."""


class RerankWarning(UserWarning):
    """Something that works but is likely not what was meant."""


class ConfigurationError(RerankError, ValueError):
    """A setting is impossible: out of its range, unknown, or at odds with another one."""


class InputError(RerankError, ValueError):
    """A query or a document cannot be used: an empty query, too many candidates."""


class InputTypeError(RerankError, TypeError):
    """A query or a text has the wrong type: not a string."""


class MissingExtraError(RerankError, ImportError):
    """An optional package is not installed; the message carries the pip command."""


class DataFileError(RerankError, ValueError):
    """A data file cannot be read as what it should be.

    Attributes:
        path: The file.
        line: The line (1-based), where one is to blame.
    """

    def __init__(self, message: str, *, path: str | Path, line: int | None = None) -> None:
        where = f"{path}:{line}" if line is not None else f"{path}"
        super().__init__(f"{where}: {message}")
        self.path = Path(path)
        self.line = line

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from their positional arguments, which leave out path and line.
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(cls: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class RegressionError(RerankError, AssertionError):
    """A measure fell by more than was allowed; the message has the figures."""


class EvaluationError(RerankError, RuntimeError):
    """An evaluation found nothing to report: every query failed."""


class ScorerError(RerankError, RuntimeError):
    """A scorer could not score. A fallback catches this class only, so that bugs stay visible.

    Attributes:
        retryable: Whether the same request may succeed later.
    """

    retryable: bool = False


class ModelLoadError(ScorerError, OSError):
    """A model could not be loaded: not found, not readable, or not a cross-encoder."""


class ScorerContractError(ScorerError):
    """A scorer broke its contract: one finite number per text, in order."""


class RequestRejectedError(ScorerError, ValueError):
    """A scorer refused the request as it stands, for instance because it is too large."""


class ScorerOutOfMemoryError(ScorerError, MemoryError):
    """Not even the smallest batch fits in memory; the message names the setting to change."""


class ScorerClosedError(ScorerError):
    """The scorer was closed before it answered."""


class ScorerUnavailableError(ScorerError, ConnectionError):
    """A scorer cannot be reached or is overloaded."""

    retryable = True


class ScorerTimeoutError(ScorerError, TimeoutError):
    """A scorer did not answer in time."""

    retryable = True


class JudgeError(RerankError, RuntimeError):
    """A judge (a language model that evaluates) gave no usable answer; the message says why."""
