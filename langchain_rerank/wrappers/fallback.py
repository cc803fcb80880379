"""A fallback: a second scorer answers where the first one cannot."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from langchain_rerank.checks import check_seconds
from langchain_rerank.errors import ScorerError, see
from langchain_rerank.scorers.contract import Request, Scorer, Scores, scorer_name
from langchain_rerank.wrappers.wrapper import Ask, Steps, Wrapper

_log = logging.getLogger(__name__)


class FallbackScorer(Wrapper):
    """Asks `primary`; where it raises a `ScorerError`, warns in the log and asks `secondary`.

    With `timeout`, `primary` has so many seconds; its work that has not begun is then cancelled,
    and scores that come later are dropped. `secondary` has the time that the caller gives.

    Only scorer errors are caught (out of memory, unavailable, a broken contract), so that bugs
    stay visible. All requests of one call are answered by the same scorer. The two may score on
    different scales: a threshold set for one need not suit the other.

    Which one answers is not a matter of the texts, so `pointwise` is False and there is no
    `identity`: cache the two scorers and not the fallback.

    Args:
        primary: Asked first.
        secondary: Asked where `primary` cannot score.
        timeout: Seconds for `primary`; None is without limit.

    Raises:
        ConfigurationError: `timeout` is not a number of seconds above 0.

    Examples:
        >>> from langchain_rerank.errors import ScorerUnavailableError
        >>> from langchain_rerank.testing import WordOverlapScorer
        >>> class Down:
        ...     def score(self, query, texts):
        ...         raise ScorerUnavailableError("no answer from host")
        >>> FallbackScorer(Down(), WordOverlapScorer()).score("fox", ["a fox", "a hen"])
        [1.0, 0.0]
    """

    kind = "fallback"
    pointwise = False
    identity = None

    def __init__(self, primary: Scorer, secondary: Scorer, *, timeout: float | None = None) -> None:
        super().__init__(primary, secondary)
        self._timeout = None if timeout is None else check_seconds("timeout", timeout)

    def _steps(self, requests: Sequence[Request]) -> Steps:
        primary, secondary = self.scorers
        try:
            answers: list[Scores] = yield Ask(primary, requests, self._timeout)
        except ScorerError as error:
            _log.warning(
                "%s could not score (%s: %s); %s answers instead. %s",
                scorer_name(primary),
                type(error).__name__,
                error,
                scorer_name(secondary),
                see("the-model-failed"),
            )
            answers = yield Ask(secondary, requests)
        return answers
