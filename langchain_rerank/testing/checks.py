"""The checks that make up the scorer contract: each raises AssertionError with what it saw."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from langchain_rerank.scorers import contract
from langchain_rerank.scorers.contract import Request, Scorer
from langchain_rerank.wrappers import is_pointwise

_THREADS = 8

QUERIES = (
    "how many people live in Berlin",
    "which vitamin prevents scurvy",
    "who wrote the first compiler",
    "capital of France and its river",
    "what makes longer texts cost more",
    "the quick brown fox jumps over the lazy dog",
)
TEXTS = (
    "Berlin had a population of 3,520,031 registered inhabitants in an area of 891.82 square km.",
    "Oranges and lemons contain vitamin C, which prevents scurvy.",
    "Grace Hopper wrote one of the first compilers in 1952.",
    "Paris is the capital of France; its river is the Seine.",
    "A transformer attends to every token, so longer texts cost more time and memory.",
    "The quick brown fox jumps over the lazy dog.",
    "How many people live in Berlin and in Paris?",
    "Nothing of the kind.",
)


@dataclass(frozen=True)
class Samples:
    """What a scorer is checked with.

    Attributes:
        queries: At least two queries.
        texts: At least three different texts; for some query, some must score differently.
        tolerance: How far two runs of the same pair may be apart. The default suits 32-bit models,
            whose sums depend on the batch in the last bits; for 16-bit ones take about 0.02.
    """

    queries: Sequence[str] = QUERIES
    texts: Sequence[str] = TEXTS
    tolerance: float = 1e-5

    def requests(self) -> list[Request]:
        """Return the texts for each query, from another starting point each time."""
        texts = tuple(self.texts)
        return [
            (query, texts[i % len(texts) :] + texts[: i % len(texts)])
            for i, query in enumerate(self.queries)
        ]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _ask(scorer: Scorer, query: str, texts: Sequence[str]) -> list[float]:
    # A fresh list, so that a scorer that changes its input fails the check for that and no other.
    return scorer.score(query, list(texts))


def _require_same(
    got: Sequence[float], expected: Sequence[float], samples: Samples, what: str
) -> None:
    _require(len(got) == len(expected), f"{what}: {len(got)} scores, expected {len(expected)}.")
    for position, (mine, theirs) in enumerate(zip(got, expected, strict=True)):
        _require(
            abs(mine - theirs) <= samples.tolerance,
            f"{what}: text {position} scores {mine!r}, expected {theirs!r} within "
            f"{samples.tolerance:g}.",
        )


def one_score_per_text(scorer: Scorer, samples: Samples) -> None:
    """`n` texts give a list of `n` scores, for several `n`; a tuple is as good as a list."""
    for n in range(1, len(samples.texts) + 1):
        for texts in (list(samples.texts[:n]), tuple(samples.texts[:n])):
            scores: object = scorer.score(samples.queries[0], texts)
            _require(
                isinstance(scores, list),
                f"{n} texts gave a {type(scores).__name__}, expected a list: {scores!r:.80}",
            )
            _require(len(scores) == n, f"{n} texts gave {len(scores)} scores.")  # type: ignore[arg-type]


def python_floats(scorer: Scorer, samples: Samples) -> None:
    """Every score is a Python float: numpy and torch scalars break JSON and traces."""
    for position, score in enumerate(scorer.score(samples.queries[0], list(samples.texts))):
        _require(
            type(score) is float,
            f"Score {position} is a {type(score).__module__}.{type(score).__qualname__}, expected "
            f"float: convert with .tolist() or float().",
        )


def finite(scorer: Scorer, samples: Samples) -> None:
    """No score is NaN or infinite."""
    for query, texts in samples.requests():
        for position, score in enumerate(_ask(scorer, query, texts)):
            _require(math.isfinite(score), f"Score {position} for {query!r} is {score}.")


def empty_input(scorer: Scorer, samples: Samples) -> None:
    """No texts give `[]`."""
    nothing: tuple[Sequence[str], ...] = ([], ())
    for texts in nothing:
        scores = list(scorer.score(samples.queries[0], texts))
        _require(scores == [], f"No texts gave {scores!r}, expected [].")


def single_text(scorer: Scorer, samples: Samples) -> None:
    """One text gives a list of one score: a batch of one keeps its shape."""
    for text in samples.texts:
        scores: Any = scorer.score(samples.queries[0], [text])
        _require(
            isinstance(scores, list) and len(scores) == 1 and isinstance(scores[0], float),
            f"One text gave {scores!r}, expected a list of one float.",
        )


def order(scorer: Scorer, samples: Samples) -> None:
    """The scores stand in the order of the texts: position `i` ranks text `i`.

    The texts are ranked once in one call and once by calls of one text. A scorer that is not
    pointwise is compared with itself on the reversed texts.
    """
    widest = 0.0
    for query, texts in samples.requests():
        together = _ask(scorer, query, texts)
        if is_pointwise(scorer):
            apart = [scorer.score(query, [text])[0] for text in texts]
        else:
            apart = _ask(scorer, query, texts[::-1])[::-1]
        _require(len(together) == len(texts), f"{len(texts)} texts gave {len(together)} scores.")
        widest = max(widest, max(apart) - min(apart))
        for i, j in ((i, j) for i in range(len(texts)) for j in range(len(texts))):
            if apart[i] - apart[j] > 4 * samples.tolerance:
                _require(
                    together[i] >= together[j] - 2 * samples.tolerance,
                    f"For {query!r}, text {i} ranks above text {j} alone ({apart[i]!r} over "
                    f"{apart[j]!r}) and below it in the list ({together[i]!r}, {together[j]!r}): "
                    f"scores must stand in the order of the texts, not sorted.",
                )
    _require(
        widest > 10 * samples.tolerance,
        f"The scores of the sample texts differ by {widest:g} at most, so that this check could "
        f"not fail. Give Samples whose scores differ by more than {10 * samples.tolerance:g}.",
    )


def query_read(scorer: Scorer, samples: Samples) -> None:
    """Some text scores differently for another query."""
    texts = list(samples.texts)
    rows = [_ask(scorer, query, texts) for query in samples.queries]
    _require(
        any(max(column) - min(column) > samples.tolerance for column in zip(*rows, strict=True)),
        "Every text scores the same for every query: is the query part of every cache key?",
    )


def permutation(scorer: Scorer, samples: Samples) -> None:
    """Texts in another order give the same scores in that order."""
    shuffle = random.Random(0).sample  # noqa: S311 - an order, not a secret
    for query, texts in samples.requests():
        scores = _ask(scorer, query, texts)
        for _ in range(3):
            places = shuffle(range(len(texts)), len(texts))
            _require_same(
                scorer.score(query, [texts[i] for i in places]),
                [scores[i] for i in places],
                samples,
                f"The texts of {query!r} in the order {places}",
            )


def pointwise(scorer: Scorer, samples: Samples) -> None:
    """A text's score does not depend on the other texts, unless `pointwise` says False."""
    if not is_pointwise(scorer):
        return
    for query, texts in samples.requests():
        apart = [scorer.score(query, [text])[0] for text in texts]
        what = f"All texts of {query!r} at once against one by one (declare `pointwise = False` if"
        _require_same(_ask(scorer, query, texts), apart, samples, f"{what} this is meant)")


def duplicates(scorer: Scorer, samples: Samples) -> None:
    """Equal texts are each scored, and score the same."""
    query, first, second = samples.queries[0], samples.texts[0], samples.texts[1]
    scores = scorer.score(query, [first, second, first, first])
    _require(len(scores) == 4, f"Four texts, three of them equal, gave {len(scores)} scores.")
    _require_same([scores[2], scores[3]], [scores[0]] * 2, samples, "Equal texts")


def inputs_untouched(scorer: Scorer, samples: Samples) -> None:
    """The list that is passed in stays as it is."""
    for query, texts in samples.requests():
        passed = list(texts)
        scorer.score(query, passed)
        _require(passed == list(texts), f"The list of texts was changed from {texts} to {passed}.")


def repeatable(scorer: Scorer, samples: Samples) -> None:
    """The same call gives the same scores, whatever was asked in between."""
    requests = samples.requests()
    first = [_ask(scorer, query, texts) for query, texts in requests]
    for (query, texts), expected in zip(requests, first, strict=True):
        _require_same(_ask(scorer, query, texts), expected, samples, f"{query!r} a second time")


def strings_only(scorer: Scorer, samples: Samples) -> None:
    """A query or a text that is not a string, or a string in place of texts, is refused."""
    query, text = samples.queries[0], samples.texts[0]
    refused: Any
    for refused in ((query, [text, None]), (query, [7]), (None, [text]), (query, text)):
        try:
            scores = scorer.score(*refused)
        except (TypeError, ValueError):
            continue
        raise AssertionError(
            f"score{refused!r:.80} gave {scores!r:.80}, expected TypeError or ValueError: "
            f"langchain_rerank.scorers.contract.check_request raises it."
        )


def odd_texts(scorer: Scorer, samples: Samples) -> None:
    """Empty, blank, very long and non-Latin texts get finite scores."""
    texts = ["", " \n\t ", "日本語のテキスト", "نص عربي", "👩‍🔬🧪", "e\u0301 é", "a\x00b"]
    texts.append(" ".join(samples.texts) * 40)
    texts.append("x" * 5000)
    for query in (samples.queries[0], "質問 ❓"):
        scores = _ask(scorer, query, texts)
        _require(len(scores) == len(texts), f"{len(texts)} texts gave {len(scores)} scores.")
        for text, score in zip(texts, scores, strict=True):
            _require(math.isfinite(score), f"The text {text!r:.40} scores {score}.")


def score_many_agrees(scorer: Scorer, samples: Samples) -> None:
    """`score_many` gives what `score` gives, request by request, an empty one included."""
    requests = [(query, list(texts)) for query, texts in samples.requests()]
    requests.append((samples.queries[0], []))
    expected = [_ask(scorer, query, texts) for query, texts in requests]
    answers = contract.score_many(scorer, requests)
    for (query, _), got, want in zip(requests, answers, expected, strict=True):
        _require_same(got, want, samples, f"score_many against score for {query!r}")


def ascore_agrees(scorer: Scorer, samples: Samples) -> None:
    """`ascore` gives what `score` gives, also with several calls at once."""
    requests = [(query, list(texts)) for query, texts in samples.requests()]

    async def all_at_once() -> list[contract.Scores]:
        return await asyncio.gather(*(contract.ascore(scorer, *request) for request in requests))

    expected = [_ask(scorer, query, texts) for query, texts in requests]
    # On a thread of its own: the caller may be in an event loop, as every notebook is.
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(asyncio.run, all_at_once()).result()
    for (query, _), got, want in zip(requests, answers, expected, strict=True):
        _require_same(got, want, samples, f"ascore against score for {query!r}")


@contextlib.contextmanager
def _frequent_thread_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # races that take weeks to meet show up in milliseconds
    try:
        yield
    finally:
        sys.setswitchinterval(interval)


def thread_safe(scorer: Scorer, samples: Samples) -> None:
    """Many threads with different queries get what they get one after the other."""
    requests = samples.requests()
    expected = [_ask(scorer, query, texts) for query, texts in requests]
    start = threading.Barrier(_THREADS)

    def work(thread: int) -> list[tuple[int, list[float]]]:
        start.wait()
        mine = [(thread + i) % len(requests) for i in range(len(requests))]
        return [(i, _ask(scorer, *requests[i])) for i in mine]

    with _frequent_thread_switches(), ThreadPoolExecutor(_THREADS) as pool:
        answers = [answer for answers in pool.map(work, range(_THREADS)) for answer in answers]
    for i, scores in answers:
        _require_same(
            scores, expected[i], samples, f"{requests[i][0]!r} beside {_THREADS - 1} other threads"
        )


Check = Callable[[Scorer, Samples], None]

CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        one_score_per_text,
        python_floats,
        finite,
        empty_input,
        single_text,
        order,
        query_read,
        permutation,
        pointwise,
        duplicates,
        inputs_untouched,
        repeatable,
        strings_only,
        odd_texts,
        score_many_agrees,
        ascore_agrees,
        thread_safe,
    )
}
"""Every check, by name."""
