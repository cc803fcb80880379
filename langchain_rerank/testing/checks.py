"""The checks that make up the scorer contract: each raises AssertionError with what it saw."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_rerank.scorers.contract import Scorer
from langchain_rerank.testing.samples import Samples, ask, require, require_same
from langchain_rerank.testing.service_checks import SERVICE_CHECKS
from langchain_rerank.wrappers import is_pointwise


def one_score_per_text(scorer: Scorer, samples: Samples) -> None:
    """`n` texts give a list of `n` scores, for several `n`; a tuple is as good as a list."""
    for n in range(1, len(samples.texts) + 1):
        for texts in (list(samples.texts[:n]), tuple(samples.texts[:n])):
            scores: object = scorer.score(samples.queries[0], texts)
            require(
                isinstance(scores, list),
                f"{n} texts gave a {type(scores).__name__}, expected a list: {scores!r:.80}",
            )
            require(len(scores) == n, f"{n} texts gave {len(scores)} scores.")  # type: ignore[arg-type]


def python_floats(scorer: Scorer, samples: Samples) -> None:
    """Every score is a Python float: numpy and torch scalars break JSON and traces."""
    for position, score in enumerate(scorer.score(samples.queries[0], list(samples.texts))):
        require(
            type(score) is float,
            f"Score {position} is a {type(score).__module__}.{type(score).__qualname__}, expected "
            f"float: convert with .tolist() or float().",
        )


def finite(scorer: Scorer, samples: Samples) -> None:
    """No score is NaN or infinite."""
    for query, texts in samples.requests():
        for position, score in enumerate(ask(scorer, query, texts)):
            require(math.isfinite(score), f"Score {position} for {query!r} is {score}.")


def empty_input(scorer: Scorer, samples: Samples) -> None:
    """No texts give `[]`."""
    nothing: tuple[Sequence[str], ...] = ([], ())
    for texts in nothing:
        scores = list(scorer.score(samples.queries[0], texts))
        require(scores == [], f"No texts gave {scores!r}, expected [].")


def single_text(scorer: Scorer, samples: Samples) -> None:
    """One text gives a list of one score: a batch of one keeps its shape."""
    for text in samples.texts:
        scores: Any = scorer.score(samples.queries[0], [text])
        require(
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
        together = ask(scorer, query, texts)
        if is_pointwise(scorer):
            apart = [scorer.score(query, [text])[0] for text in texts]
        else:
            apart = ask(scorer, query, texts[::-1])[::-1]
        require(len(together) == len(texts), f"{len(texts)} texts gave {len(together)} scores.")
        widest = max(widest, max(apart) - min(apart))
        for i, j in ((i, j) for i in range(len(texts)) for j in range(len(texts))):
            if apart[i] - apart[j] > 4 * samples.tolerance:
                require(
                    together[i] >= together[j] - 2 * samples.tolerance,
                    f"For {query!r}, text {i} ranks above text {j} alone ({apart[i]!r} over "
                    f"{apart[j]!r}) and below it in the list ({together[i]!r}, {together[j]!r}): "
                    f"scores must stand in the order of the texts, not sorted.",
                )
    require(
        widest > 10 * samples.tolerance,
        f"The scores of the sample texts differ by {widest:g} at most, so that this check could "
        f"not fail. Give Samples whose scores differ by more than {10 * samples.tolerance:g}.",
    )


def query_read(scorer: Scorer, samples: Samples) -> None:
    """Some text scores differently for another query."""
    texts = list(samples.texts)
    rows = [ask(scorer, query, texts) for query in samples.queries]
    require(
        any(max(column) - min(column) > samples.tolerance for column in zip(*rows, strict=True)),
        "Every text scores the same for every query: is the query part of every cache key?",
    )


def permutation(scorer: Scorer, samples: Samples) -> None:
    """Texts in another order give the same scores in that order, unless `pointwise` says False."""
    if not is_pointwise(scorer):
        return  # A listwise model reads the texts one after another.
    shuffle = random.Random(0).sample  # noqa: S311 - an order, not a secret
    for query, texts in samples.requests():
        scores = ask(scorer, query, texts)
        for _ in range(3):
            places = shuffle(range(len(texts)), len(texts))
            require_same(
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
        require_same(ask(scorer, query, texts), apart, samples, f"{what} this is meant)")


def duplicates(scorer: Scorer, samples: Samples) -> None:
    """Equal texts are each scored, and score the same, unless `pointwise` says False."""
    query, first, second = samples.queries[0], samples.texts[0], samples.texts[1]
    scores = scorer.score(query, [first, second, first, first])
    require(len(scores) == 4, f"Four texts, three of them equal, gave {len(scores)} scores.")
    if is_pointwise(scorer):
        require_same([scores[2], scores[3]], [scores[0]] * 2, samples, "Equal texts")


def inputs_untouched(scorer: Scorer, samples: Samples) -> None:
    """The list that is passed in stays as it is."""
    for query, texts in samples.requests():
        passed = list(texts)
        scorer.score(query, passed)
        require(passed == list(texts), f"The list of texts was changed from {texts} to {passed}.")


def repeatable(scorer: Scorer, samples: Samples) -> None:
    """The same call gives the same scores, whatever was asked in between."""
    requests = samples.requests()
    first = [ask(scorer, query, texts) for query, texts in requests]
    for (query, texts), expected in zip(requests, first, strict=True):
        require_same(ask(scorer, query, texts), expected, samples, f"{query!r} a second time")


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
        scores = ask(scorer, query, texts)
        require(len(scores) == len(texts), f"{len(texts)} texts gave {len(scores)} scores.")
        for text, score in zip(texts, scores, strict=True):
            require(math.isfinite(score), f"The text {text!r:.40} scores {score}.")


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
        *SERVICE_CHECKS,
    )
}
"""Every check, by name."""
